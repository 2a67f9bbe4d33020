"""BLEU as an `evaluate` metric: the numbers of the package `sacrebleu`."""

import numbers

import numpy as np
import sacrebleu

from gpt2lessons.metrics import base

TOKENIZERS = ("13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab")
SMOOTHING = ("exp", "floor", "add-k", "none")
_WITH_VALUE = ("floor", "add-k")


class Bleu(base.TextMetric):
    """BLEU (Papineni et al. 2002) as sacrebleu defines it (Post 2018): `score` from 0 to 100 for the whole set.

    Clipped n-gram precisions (n = 1 … 4, in percent) are pooled over all texts, not averaged; their
    geometric mean is multiplied by the brevity penalty `bp`. A precision of 0 is smoothed
    (sacrebleu's "exp"). So a set in which no text has four tokens scores 0, even against itself.
    """

    references = "many"
    source = "Papineni et al. 2002; Post 2018, A Call for Clarity in Reporting BLEU Scores"

    def _measure(
        self,
        predictions,
        references,
        lowercase=False,
        tokenize="13a",
        smooth_method="exp",
        smooth_value=None,
        max_ngram_order=4,
        effective_order=False,
    ):
        """All settings are sacrebleu's, and `counts` and `totals` are what it reports.

        `tokenize` is "13a", "intl", "zh" (Chinese), "char", "none" (split at spaces), "ja-mecab" or "ko-mecab"
        (these two need sacrebleu[ja], sacrebleu[ko]). `smooth_method` is "exp", "floor", "add-k" or "none";
        `smooth_value` belongs to "floor" (default 0.1) and "add-k" (default 1, added to numerator and
        denominator from n = 2 on). `max_ngram_order` is the largest n; `effective_order=True` leaves out
        the orders for which the texts are too short. ValueError for other settings, and where "13a" or
        "intl" would take a Chinese, Japanese or Thai sentence for one word.
        """
        check_settings(tokenize, max_ngram_order, texts=[t for several in references for t in several])
        smoothing = {"smooth_method": smooth_method, "smooth_value": _smooth_value(smooth_method, smooth_value)}
        options = {"max_ngram_order": max_ngram_order, "effective_order": effective_order}
        # "add-k" changes the counts that it is given, so each text's are taken without smoothing
        counter = sacrebleu_scorer(tokenize, lowercase=lowercase, smooth_method="none", **options)
        counted = [counter.corpus_score([p], [[r] for r in rs]) for p, rs in zip(predictions, references, strict=True)]
        statistics = np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in counted])

        def score(row):
            sys_len, ref_len, *counts = (int(n) for n in row)
            correct, total = counts[:max_ngram_order], counts[max_ngram_order:]
            return sacrebleu.BLEU.compute_bleu(correct, total, sys_len, ref_len, **smoothing, **options)

        whole = score(statistics.sum(axis=0))
        names = ("score", "counts", "totals", "precisions", "bp", "sys_len", "ref_len")
        return {n: getattr(whole, n) for n in names}, statistics, lambda total: {"score": score(total).score}


def check_settings(tokenize, max_ngram_order, texts):
    """Raise ValueError for a tokenizer or order that BLEU cannot use here, or cannot use on `texts`."""
    if tokenize not in TOKENIZERS:
        raise ValueError(
            f"tokenize is one of {', '.join(TOKENIZERS)}, not {tokenize!r}; sacrebleu's other tokenizers "
            "are fetched from the network: call sacrebleu itself for them"
        )
    if isinstance(max_ngram_order, bool) or not isinstance(max_ngram_order, int) or max_ngram_order < 1:
        raise ValueError(f"max_ngram_order is a whole number from 1 (4 is usual), not {max_ngram_order!r}")
    if tokenize in ("13a", "intl") and (whole := [text for text in texts if base.unsplit(text)]):
        raise ValueError(
            f"tokenize={tokenize!r} splits at spaces, and {whole[0]!r:.60} has none between its words; "
            "give tokenize='zh' for Chinese, or 'char' for any script"
        )


def sacrebleu_scorer(tokenize, **options):
    """Return `sacrebleu.BLEU`; ValueError where the tokenizer's packages are missing."""
    try:
        return sacrebleu.BLEU(tokenize=tokenize, **options)
    except RuntimeError as error:
        extra = tokenize.partition("-")[0]
        raise ValueError(f"tokenize={tokenize!r} needs more packages: pip install 'sacrebleu[{extra}]'") from error


def _smooth_value(method, value):
    if method not in SMOOTHING:
        raise ValueError(f"smooth_method is one of {', '.join(SMOOTHING)}, not {method!r}")
    if value is None:
        return None
    if method not in _WITH_VALUE:
        raise ValueError(f"smooth_value belongs to 'floor' and 'add-k'; {method!r} has none: leave it out")
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
        raise ValueError(f"smooth_value is a number from 0, not {value!r}")
    return value
