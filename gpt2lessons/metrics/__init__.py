"""ROUGE, BLEU, perplexity, diversity and other measures of text, as `evaluate` metrics that need no network.

`load(name).compute(predictions=[…], references=[…])` works as with `evaluate.load(name)`, whose scripts have to be
downloaded; the scripts here lie in folders of their own beside this file.
"""

import functools
import json
from pathlib import Path

from gpt2lessons.metrics.agreement import cohen_kappa, fleiss_kappa, kappa_interval
from gpt2lessons.metrics.intervals import bootstrap_interval, student_interval, wilson_interval
from gpt2lessons.metrics.permutation import permutation_test

NAMES = ("rouge", "bleu", "perplexity", "distinct_n", "self_bleu", "loops", "repetition", "zipf", "mauve")
__all__ = [
    "NAMES",
    "bootstrap_interval",
    "cohen_kappa",
    "fleiss_kappa",
    "kappa_interval",
    "load",
    "permutation_test",
    "reference_texts",
    "student_interval",
    "wilson_interval",
]
_TEXTS = Path(__file__).parent.parent / "assets" / "texts"


def load(name):
    """Return the metric `name` (one of `NAMES`) as an `evaluate.Metric`.

    It is loaded with `evaluate.load(folder)`, which copies the script into Hugging Face's cache. Where that cannot be
    written to (a read-only home), the same class is used straight from this package, with a temporary folder.
    Raises ValueError for another name, ImportError where `evaluate` cannot be imported.
    """
    if name not in NAMES:
        raise ValueError(f"there is no metric {name!r}; there are: {', '.join(NAMES)}")
    try:
        import evaluate
    except ImportError as error:
        raise ImportError(_why_not(error)) from error

    try:
        return evaluate.load(str(Path(__file__).parent / name), keep_in_memory=True)
    except OSError:
        return _without_cache(name)


def _why_not(error):
    """Return why `evaluate` cannot be imported, and what to do: mostly transformers is of the old kind."""
    import importlib.metadata

    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if version and int(version.partition(".")[0]) < 5:
        trouble = f"transformers {version} is too old for this course, which needs 5.0 or newer"
        remedy = 'pip install "transformers>=5.0"'
    else:
        trouble = f"the package evaluate cannot be imported: {str(error).partition(chr(10))[0]}"
        remedy = "pip install --upgrade evaluate transformers"
    return f"{trouble}. Run {remedy} and start the kernel again; python -m gpt2lessons doctor looks further."


def _without_cache(name):
    import importlib
    import inspect
    import tempfile

    import evaluate

    script = importlib.import_module(f"gpt2lessons.metrics.{name}.{name}")
    classes = [c for c in vars(script).values() if inspect.isclass(c) and issubclass(c, evaluate.Metric)]
    return classes[0](keep_in_memory=True, cache_dir=tempfile.mkdtemp(prefix="gpt2lessons-metrics-"))


@functools.cache
def reference_texts(kind="stories"):
    """Return texts that a far larger language model wrote for this course, as a tuple of strings (CC BY 4.0).

    `kind` is "stories" (openings of stories, 80 to 120 words each) or "explanations" (plain non-fiction).
    They are well written, but by no person: what people wrote is in `gpt2lessons.human`.
    Their first sentences can serve as prompts that no sample was tuned on.
    """
    kinds = sorted(path.stem for path in _TEXTS.glob("*.json"))
    if kind not in kinds:
        raise ValueError(f"there are no reference texts of kind {kind!r}; there are: {', '.join(kinds)}")
    return tuple(json.loads((_TEXTS / f"{kind}.json").read_text("utf8"))["texts"])
