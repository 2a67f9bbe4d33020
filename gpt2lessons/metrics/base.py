"""What the metric scripts share: checked input, one kind of token, and bootstrap intervals on request.

A script imports this module, not the class: evaluate takes the first metric class that it finds in a script. It also
reads the script's import lines itself and understands only one import per line.
"""

import inspect
from collections import Counter

import datasets
import evaluate
import numpy as np
import regex

from gpt2lessons.metrics.intervals import bootstrap_interval

_TEXT = datasets.Value("string")
# scripts whose writers put no spaces between words
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_PART = r"[\p{L}\p{N}_][\p{L}\p{N}\p{M}_]*"  # a mark belongs to the letter before it, in Hindi for example
_WORD = regex.compile(rf"{_PART}(?:['’]{_PART})*")


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
        allowed = list(inspect.signature(self._measure).parameters)[2:]
        if unknown := [name for name in settings if name not in allowed]:
            allowed += ["interval", "seed", "resamples", "confidence"]
            raise TypeError(f"{self.name} has no setting {unknown[0]!r}; its settings are: {', '.join(allowed)}")
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
        for i, entry in enumerate(references):
            several = [entry] if isinstance(entry, str) else entry
            if (
                not isinstance(several, list | tuple)
                or len(several) == 0
                or not all(isinstance(t, str) for t in several)
            ):
                raise ValueError(
                    f"references[{i}] must be a text or a list of texts (several right answers), not {entry!r:.60}"
                )
            for text in several:
                _check_characters(text, f"references[{i}]")
        if len(nested) > 1:
            raise ValueError("references mixes texts and lists of texts; use one form: [text, …] or [[text], …]")


def words(text):
    """Return the words of `text`, lowercase: what the diversity metrics count unless told otherwise."""
    return _WORD.findall(text.lower())


def unsplit(text):
    """Is `text` written in a script without spaces (Chinese, Japanese, Thai …), and not split into words?

    True where more than half of its letters belong to such a script and a run between two spaces has more than six
    of them on average, or there is no space at all.
    """
    letters, runs = len(_UNSPACED.findall(text)), len(text.split())
    return share(_UNSPACED, text) > 0.5 and (runs == 1 or letters > 6 * runs)


def share(pattern, text):
    """Return the share of the letters and digits of `text` that match `pattern`, 0 where there is none."""
    return len(regex.findall(pattern, text)) / max(1, len(regex.findall(r"[\p{L}\p{N}]", text)))


def check_model(model, metric):
    """Raise unless `model` is a `LanguageModel`: ValueError where none was given, TypeError for something else."""
    example = f"{metric}.compute(…, model=gl.load())"
    if model is None:
        raise ValueError(f"{metric} needs a model: {example}")
    if isinstance(model, str):
        raise TypeError(f"model is a LanguageModel, not a name: {metric}.compute(…, model=gl.load({model!r}))")
    if not hasattr(model, "encode"):
        raise TypeError(f"model is a LanguageModel, which has the tokenizer too, not {type(model).__name__}: {example}")


def token_lists(texts, tokenize):
    """Return `tokenize(text)` (default `words`) of each text as tuples.

    Raises ValueError if a text has no token, or if `words` would take whole sentences for words, as in Chinese.
    """
    if tokenize is None and (whole := [i for i, text in enumerate(texts) if unsplit(text)]):
        raise ValueError(
            f"predictions[{whole[0]}] has no spaces between its words, so that a sentence would count as one word: "
            f"{texts[whole[0]]!r:.60}; give tokenize=list to count characters, or a function that finds the words"
        )
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
        _check_characters(text, f"{what}[{i}]")


def _check_characters(text, what):
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{what} has half of a surrogate pair at position {error.start}, which is no character; "
            "read the text again with the right encoding"
        ) from None
