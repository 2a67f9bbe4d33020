"""Perplexity of texts under a language model, as an `evaluate` metric."""

import numpy as np
import torch

from gpt2lessons import scoring
from gpt2lessons.metrics import base


class Perplexity(base.TextMetric):
    """exp of the mean surprisal (nats) of the tokens of each text under `model`; low means predictable, not good.

    `perplexity` pools the tokens of all texts (exp of the mean); `perplexities` are those of single texts and
    `mean_perplexity` is their mean, which one strange text can dominate.
    """

    source = "Jelinek et al. 1977; see gpt2lessons.scoring"

    def _measure(self, predictions, references, model=None, stride=None, add_bos=False, prompts=None):
        """`model` is a `LanguageModel`. `prompts` (a text for each prediction) are read first and not scored.

        `stride` reads texts that are longer than the context; `add_bos` predicts the first token too.
        """
        base.check_model(model, "perplexity")
        if isinstance(prompts, str):
            raise ValueError("prompts is a list with a text for each prediction, not one text; put it in brackets")
        if prompts is not None and len(prompts) != len(predictions):
            raise ValueError(f"{len(predictions)} predictions need as many prompts, not {len(prompts)}")
        rows = []
        for i, text in enumerate(predictions):
            try:
                ids = model.encode(text)
                prompt = model.encode(prompts[i]) if prompts is not None and prompts[i] else ids[:, :0]
                ids, head = torch.cat([prompt, ids], dim=1), prompt.shape[1]
                log_probs = scoring.token_log_probs(model, ids, stride=stride, add_bos=add_bos)[0]
            except ValueError as error:
                raise ValueError(f"predictions[{i}]: {error}") from None
            scored = log_probs[max(head - (0 if add_bos else 1), 0) :].double()
            rows.append((-scored.sum().item(), len(scored)))
        statistics = np.array(rows)

        def score(total):
            return {"perplexity": float(np.exp(total[0] / total[1]))}

        each = [score(row)["perplexity"] for row in statistics]
        pooled = score(statistics.sum(axis=0))
        return pooled | {"perplexities": each, "mean_perplexity": float(np.mean(each))}, statistics, score
