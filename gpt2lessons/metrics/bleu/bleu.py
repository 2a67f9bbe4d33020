"""BLEU as an `evaluate` metric: the numbers of the package `sacrebleu`."""

import numpy as np
import sacrebleu

from gpt2lessons.metrics import base


class Bleu(base.TextMetric):
    """BLEU (Papineni et al. 2002) as sacrebleu defines it (Post 2018): `score` from 0 to 100 for the whole set.

    Clipped n-gram precisions (n = 1 … 4, in percent) are pooled over all texts, not averaged; their geometric mean is
    multiplied by the brevity penalty `bp`. A precision of 0 is smoothed (sacrebleu's "exp").
    """

    references = "many"
    source = "Papineni et al. 2002; Post 2018, A Call for Clarity in Reporting BLEU Scores"

    def _measure(self, predictions, references, lowercase=False, tokenize="13a", smooth_method="exp"):
        """`lowercase`, `tokenize` and `smooth_method` are sacrebleu's."""
        bleu = sacrebleu.BLEU(lowercase=lowercase, tokenize=tokenize, smooth_method=smooth_method)
        scores = [bleu.corpus_score([p], [[r] for r in rs]) for p, rs in zip(predictions, references, strict=True)]
        statistics = np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores])

        def score(total):
            return bleu.compute_bleu(
                correct=total[:4].astype(int).tolist(),
                total=total[4:8].astype(int).tolist(),
                sys_len=int(total[8]),
                ref_len=int(total[9]),
                smooth_method=smooth_method,
            )

        whole = score(statistics.sum(axis=0))
        names = ("score", "counts", "totals", "precisions", "bp", "sys_len", "ref_len")
        return {n: getattr(whole, n) for n in names}, statistics, lambda total: {"score": score(total).score}
