"""ROUGE as an `evaluate` metric: the numbers of the package `rouge_score`."""

import numpy as np
from rouge_score import rouge_scorer

from gpt2lessons.metrics import base

TYPES = (*(f"rouge{n}" for n in range(1, 10)), "rougeL", "rougeLsum")


class Rouge(base.TextMetric):
    """ROUGE-N and ROUGE-L (Lin 2004): shared n-grams, or the longest common subsequence, of text and reference.

    Each number is the plain mean over texts of the F1 score (0 to 1); of several references the best counts.
    evaluate's own script takes the median of an unseeded bootstrap instead, so its digits change from run to
    run. It also computes "rougeLsum" (the texts' lines compared one by one) without being asked; here ask for it.
    """

    references = "many"
    source = "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries"

    def _measure(
        self,
        predictions,
        references,
        rouge_types=("rouge1", "rouge2", "rougeL"),
        use_stemmer=False,
        tokenizer=None,
        measure="fmeasure",
        use_aggregator=True,
    ):
        """`rouge_types` names what to compute ("rouge1" … "rouge9", "rougeL", "rougeLsum"), one or several.

        `use_stemmer` cuts endings, so that "walked" and "walks" count as the same word. `tokenizer` is a
        function from a text to a list of tokens, or an object with such a method `tokenize`. Without it
        rouge_score lowers the letters and takes runs of a to z and 0 to 9 for words; any other letter
        separates words ("naïve" is "na" and "ve"). So a reference made mostly of other letters is a ValueError
        without a tokenizer: `tokenizer=str.split` takes what stands between spaces, `list` characters.

        `measure` is "fmeasure", "precision" or "recall". `use_aggregator=False` gives a list with one number
        for each text.
        """
        types = [rouge_types] if isinstance(rouge_types, str) else list(rouge_types)
        if not types or (unknown := [t for t in types if t not in TYPES]):
            raise ValueError(
                "rouge_types is one or several of rouge1 … rouge9, rougeL and rougeLsum, "
                f"not {unknown[0] if types else rouge_types!r}"
            )
        if measure not in ("fmeasure", "precision", "recall"):
            raise ValueError(f"measure is 'fmeasure', 'precision' or 'recall', not {measure!r}")
        if tokenizer is None:
            _check_letters(references)
        elif use_stemmer:
            raise ValueError("use_stemmer belongs to ROUGE's own tokenizer: leave it out, or stem in yours")
        tokenizer = None if tokenizer is None else _Tokenizer(tokenizer)
        scorer = rouge_scorer.RougeScorer(types, use_stemmer=use_stemmer, tokenizer=tokenizer)
        scores = [scorer.score_multi(r, p) for p, r in zip(predictions, references, strict=True)]
        table = np.array([[getattr(score[t], measure) for t in types] for score in scores])
        counted = np.column_stack([table, np.ones(len(table))])
        columns = {t: table[:, i] for i, t in enumerate(types)}
        result = {t: float(c.mean()) if use_aggregator else c.tolist() for t, c in columns.items()}
        return result, counted, lambda total: dict(zip(types, total[:-1] / total[-1], strict=True))


class _Tokenizer:
    """What rouge_score wants: an object with a method `tokenize`."""

    def __init__(self, tokenizer):
        self._tokenizer = getattr(tokenizer, "tokenize", tokenizer)
        if not callable(self._tokenizer):
            raise TypeError(f"tokenizer is a function from a text to a list of tokens, not {type(tokenizer).__name__}")

    def tokenize(self, text):
        return list(self._tokenizer(text))


def _check_letters(references):
    """Raise ValueError for a text of which ROUGE's own tokenizer would lose more than half."""
    for i, several in enumerate(references):
        for text in several:
            if base.share(r"[^a-z0-9\P{L}]|[^0-9\P{N}]", text.lower()) > 0.5:
                raise ValueError(
                    f"references[{i}] is written in letters that ROUGE's own tokenizer drops (it keeps a to z and 0 "
                    f"to 9), so that even equal texts would score 0: {text!r:.60}; give tokenizer=str.split "
                    "(words between spaces), tokenizer=list (characters) or a function that finds the words"
                )
