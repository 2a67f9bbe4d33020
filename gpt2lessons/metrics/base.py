"""What the metric scripts share: checked input, one kind of token, and bootstrap intervals on request.

A script imports this module, not the class: evaluate takes the first metric class that it finds in a script. It also
reads the script's import lines itself and understands only one import per line.
"""

import re
from collections import Counter

import datasets
import evaluate
import numpy as np

from gpt2lessons.metrics.intervals import bootstrap_interval

_TEXT = datasets.Value("string")


class TextMetric(evaluate.Metric):
    """A metric on a list of texts. A subclass sets what follows and defines `_measure`.

    `references` is False (looks at predictions alone), "one" (a text for each prediction) or "many" (a text or a list
    of texts for each prediction). `_measure(predictions, references, **settings)` returns the result (a dict), one
    row of statistics for each text (N, K), and a function from the sum of rows to a dict of numbers, for intervals;
    the last two are None where a resampled set of texts would not mean anything.
    """

    references = False
    source = ""

    def _info(self):
        one = {"predictions": _TEXT}
        features = [datasets.Features(one)]
        if self.references:
            features = [datasets.Features(one | {"references": datasets.Sequence(_TEXT)})]
            features.append(datasets.Features(one | {"references": _TEXT}))
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation=self.source,
            inputs_description=self._measure.__doc__ or "",
            features=features,
        )

    def compute(self, *, predictions=None, references=None, **settings):
        """Return the measures as a dict. `interval=True` adds `"interval"`: (low, high) for each number.

        `seed`, `resamples` and `confidence` belong to the interval, a percentile bootstrap over texts; the other
        settings belong to the metric. Raises ValueError for empty or unequal lists and wrongly nested references.
        """
        if predictions is None and references is None:  # texts were given before, with add_batch
            return super().compute(**settings)
        self._check(predictions, references)
        texts = {"predictions": list(predictions)} | ({"references": list(references)} if self.references else {})
        return super().compute(**texts, **settings)

    def _compute(
        self, predictions, references=None, *, interval=False, seed=0, resamples=1000, confidence=0.95, **settings
    ):
        predictions = list(predictions)
        references = None if references is None else [[r] if isinstance(r, str) else list(r) for r in references]
        self._check(predictions, references)
        result, statistics, score = self._measure(predictions, references, **settings)
        if interval:
            if statistics is None:
                raise ValueError(
                    f"{self.name} has no bootstrap interval here: texts drawn again stand in it twice, which changes "
                    "what it measures; compare several independent sets of texts instead"
                )
            names = list(score(np.sum(statistics, axis=0)))
            low, high = bootstrap_interval(
                statistics,
                lambda rows: np.array([score(rows.sum(axis=0))[name] for name in names]),
                seed=seed,
                resamples=resamples,
                confidence=confidence,
            )
            result["interval"] = {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}
        return result

    def _measure(self, predictions, references):
        raise NotImplementedError("a metric defines _measure")

    def _check(self, predictions, references):
        _check_texts(predictions, "predictions")
        if not self.references:
            if references is not None:
                raise ValueError(f"{self.name} looks at the predictions alone; leave references out")
            return
        if references is None:
            raise ValueError(f"{self.name} compares with references: give one for each prediction")
        if isinstance(references, str) or not hasattr(references, "__len__"):
            raise ValueError(
                "references is a list with one entry for each prediction, not one text; put it in brackets"
            )
        if len(references) != len(predictions):
            raise ValueError(
                f"{len(predictions)} predictions need as many references, not {len(references)}; "
                "references[i] belongs to predictions[i]"
            )
        nested = {isinstance(r, str) for r in references}
        texts = [r for r in references if isinstance(r, str)]
        for i, entry in enumerate(references):
            if isinstance(entry, list | tuple):
                texts += entry
            if (
                not isinstance(entry, str | list | tuple)
                or len(entry) == 0
                or not all(isinstance(t, str) for t in entry)
            ):
                raise ValueError(
                    f"references[{i}] must be a text or a list of texts (several right answers), not {entry!r:.60}"
                )
        if len(nested) > 1:
            raise ValueError("references mixes texts and lists of texts; use one form: [text, …] or [[text], …]")


def words(text):
    """Return the words of `text`, lowercase: what the diversity metrics count unless told otherwise."""
    return re.findall(r"\w+(?:['’]\w+)*", text.lower())


def token_lists(texts, tokenize):
    """Return `tokenize(text)` (default `words`) of each text as tuples; ValueError if a text has no token."""
    tokens = [tuple(getattr(t := (tokenize or words)(text), "tolist", lambda t=t: t)()) for text in texts]
    if empty := [i for i, row in enumerate(tokens) if not row]:
        raise ValueError(f"predictions[{empty[0]}] has no word to count: {texts[empty[0]]!r:.60}; leave it out")
    return tokens


def ngrams(tokens, n):
    """Return how often each run of `n` neighbouring tokens occurs, as a Counter of tuples."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _check_texts(texts, what):
    if isinstance(texts, str) or texts is None or not hasattr(texts, "__len__"):
        raise ValueError(f"{what} is a list of texts, not {type(texts).__name__}; put a single text in brackets")
    if len(texts) == 0:
        raise ValueError(f"{what} is empty: there is nothing to measure; give at least one text")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{what}[{i}] must be a text, not {type(text).__name__}; decode token ids first")
