"""Self-BLEU, how much the texts of one set resemble each other, as an `evaluate` metric."""

import numpy as np

from gpt2lessons.metrics import base
from gpt2lessons.metrics.bleu import bleu


class SelfBleu(base.TextMetric):
    """The mean BLEU (0 to 100) of each text with all the others as references (Zhu et al. 2018): low means diverse.

    It grows with the number of texts, because every further text is one more reference: compare sets of one size.
    Each text's BLEU is sacrebleu's for sentences, with "exp" smoothing: an order with no match counts as half a
    match, the next one as a quarter. Texygen takes nltk's BLEU with its smoothing method 1, which counts a tenth of
    a match. So where texts share no 4-gram, the numbers here are larger, about 1.5 times: compare like with like.
    """

    source = "Zhu et al. 2018, Texygen: A Benchmarking Platform for Text Generation Models"

    def _measure(self, predictions, references, max_ngram_order=4, tokenize="13a"):
        """`max_ngram_order` is the longest n-gram that is compared; `tokenize` is that of the metric bleu."""
        if len(predictions) < 2:
            raise ValueError("self_bleu compares each text with the others: give at least 2 predictions")
        bleu.check_settings(tokenize, max_ngram_order, texts=predictions)
        scorer = bleu.sacrebleu_scorer(tokenize, max_ngram_order=max_ngram_order, effective_order=True)
        others = [predictions[:i] + predictions[i + 1 :] for i in range(len(predictions))]
        each = [scorer.sentence_score(p, rest).score for p, rest in zip(predictions, others, strict=True)]
        return {"self_bleu": float(np.mean(each)), "each": each}, None, None
