"""gpt2lessons: how GPT-2 writes text, built by hand and checked against the library.

Everything is reached from here (`import gpt2lessons as gl`) and loads when it is first used, because
torch, transformers and evaluate together take several seconds to import.
"""

import importlib

__version__ = "0.1.0"

_NAMES = {
    "load": "models",
    "LanguageModel": "models",
    "GPT2": "gpt2",
    "GPT2Config": "gpt2",
    "BPE": "bpe",
    "generate": "generation",
    "generate_text": "generation",
    "beam_search": "beam",
    "perplexity": "scoring",
}
_MODULES = {
    "baselines",
    "beam",
    "bpe",
    "checks",
    "corpus",
    "generation",
    "gpt2",
    "induction",
    "make_mini",
    "metrics",
    "models",
    "plots",
    "processors",
    "recorded",
    "scoring",
    "speculative",
    "toy",
    "training",
    "tuning",
    "widgets",
}
__all__ = sorted([*_NAMES, *_MODULES])


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"gpt2lessons has no {name!r}; it has: {', '.join(__all__)}")


def __dir__():
    return __all__
