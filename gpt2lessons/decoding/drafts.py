"""What may guess for speculative decoding: the text itself, or the first blocks of the model.

A draft has to be cheap and often right. Neither of these needs a second model, so they work with whatever is loaded.
"""

from dataclasses import replace

import torch
from torch import nn

from gpt2lessons.adapters import network_of
from gpt2lessons.decoding.arguments import check_whole
from gpt2lessons.gpt2 import GPT2


class PromptLookup:
    """A draft without a model: what followed the last few ids when they stood in the text before (Saxena 2023).

    It tries the last `max_matching_ngram_size` ids, then fewer, and takes the first place in the text that fits, as
    transformers does. `ValueError` unless the size is a whole number of at least 1.
    """

    def __init__(self, max_matching_ngram_size=2):
        check_whole(max_matching_ngram_size, "max_matching_ngram_size", 1)
        self.size = max_matching_ngram_size

    def find(self, ids, n):
        """Return up to `n` ids that may follow the list `ids`; [] if nothing fits."""
        for size in range(min(self.size, len(ids) - 1), 0, -1):
            for start in range(len(ids) - size):
                if ids[start : start + size] == ids[-size:]:
                    return ids[start + size : start + size + n]
        return []


def early_exit(model, n_layer, input_ids=None):
    """Return a `GPT2` of the first `n_layer` blocks of `model` (a `LanguageModel` or our GPT-2), sharing its weights.

    With `input_ids` (B, T), an affine map is fitted by least squares that guesses the last block's output on these
    texts from the early one's ("tuned lens", Belrose and others 2023). `ValueError` for a number of blocks that
    the model does not have.
    """
    network = network_of(model)
    if not isinstance(network, GPT2):
        raise TypeError(f"early_exit takes a LanguageModel or our GPT2, not {type(network).__name__}.")
    check_whole(n_layer, "n_layer", 1, network.config.n_layer)
    with torch.device("meta"):  # a frame without memory: all its parts are the model's own
        draft = GPT2(replace(network.config, n_layer=n_layer))
    draft.wte, draft.wpe, draft.h, draft.ln_f = (
        network.wte,
        network.wpe,
        network.h[:n_layer],
        network.ln_f,
    )
    if input_ids is not None:
        draft.ln_f = nn.Sequential(_fit(network, n_layer, input_ids), network.ln_f)
    return draft.eval()


@torch.no_grad()
def _fit(network, n_layer, input_ids):
    pairs = []
    for row in input_ids:  # one text at a time: a record holds every attention pattern
        record = {}
        network(row[None], record=record, last_only=True)
        pairs.append([record[f"h.{i}.out"][0] for i in (n_layer - 1, network.config.n_layer - 1)])
    early, late = map(torch.cat, zip(*pairs, strict=True))
    early, late = early - (mean := early.mean(0)), late - (goal := late.mean(0))
    gram = early.T @ early
    # a little ridge: with fewer tokens than n_embd the map would not be unique
    gram += 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    layer = nn.Linear(early.shape[1], early.shape[1], dtype=early.dtype, device=early.device)
    layer.weight.copy_(torch.linalg.solve(gram, early.T @ late).T)
    layer.bias.copy_(goal - layer.weight @ mean)
    return layer.requires_grad_(False)
