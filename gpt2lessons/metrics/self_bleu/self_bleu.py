"""Self-BLEU, how much the texts of one set resemble each other, as an `evaluate` metric."""

import numpy as np
import sacrebleu

from gpt2lessons.metrics import base


class SelfBleu(base.TextMetric):
    """The mean BLEU (0 to 100) of each text with all the others as references (Zhu et al. 2018): low means diverse.

    It grows with the number of texts, because every further text is one more reference: compare sets of one size.
    """

    source = "Zhu et al. 2018, Texygen: A Benchmarking Platform for Text Generation Models"

    def _measure(self, predictions, references, max_ngram_order=4):
        """`max_ngram_order` is the longest n-gram that is compared."""
        if len(predictions) < 2:
            raise ValueError("self_bleu compares each text with the others: give at least 2 predictions")
        bleu = sacrebleu.BLEU(max_ngram_order=max_ngram_order, effective_order=True)
        others = [predictions[:i] + predictions[i + 1 :] for i in range(len(predictions))]
        each = [bleu.sentence_score(p, rest).score for p, rest in zip(predictions, others, strict=True)]
        return {"self_bleu": float(np.mean(each)), "each": each}, None, None
