"""ROUGE as an `evaluate` metric: the numbers of the package `rouge_score`."""

import numpy as np
from rouge_score import rouge_scorer

from gpt2lessons.metrics import base


class Rouge(base.TextMetric):
    """ROUGE-N and ROUGE-L (Lin 2004): shared n-grams, or the longest common subsequence, of text and reference.

    Each number is the plain mean over texts of the F1 score (0 to 1); of several references the best counts.
    evaluate's own script takes the median of an unseeded bootstrap instead, so its digits change from run to run.
    """

    references = "many"
    source = "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries"

    def _measure(
        self,
        predictions,
        references,
        rouge_types=("rouge1", "rouge2", "rougeL"),
        use_stemmer=False,
        measure="fmeasure",
        use_aggregator=True,
    ):
        """`rouge_types` names what to compute ("rouge1" … "rouge9", "rougeL", "rougeLsum").

        `use_stemmer` cuts endings, so that "walked" and "walks" count as the same word. `measure` is "fmeasure",
        "precision" or "recall". `use_aggregator=False` gives a list with one number for each text.
        """
        if measure not in ("fmeasure", "precision", "recall"):
            raise ValueError(f"measure is 'fmeasure', 'precision' or 'recall', not {measure!r}")
        scorer = rouge_scorer.RougeScorer(list(rouge_types), use_stemmer=use_stemmer)
        scores = [scorer.score_multi(r, p) for p, r in zip(predictions, references, strict=True)]
        table = np.array([[getattr(score[t], measure) for t in rouge_types] for score in scores])
        counted = np.column_stack([table, np.ones(len(table))])
        columns = {t: table[:, i] for i, t in enumerate(rouge_types)}
        result = {t: float(c.mean()) if use_aggregator else c.tolist() for t, c in columns.items()}
        return result, counted, lambda total: dict(zip(rouge_types, total[:-1] / total[-1], strict=True))
