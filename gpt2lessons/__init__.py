"""gpt2lessons: how GPT-2 writes text, built by hand and checked against the library.

Everything is reached from here (`import gpt2lessons as gl`) and loads when it is first used, because
torch, transformers and evaluate together take several seconds to import.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # so that editors know what `gl.` offers; nothing is imported at run time
    from gpt2lessons import (
        adapters,
        bpe,
        checks,
        gpt2,
        human,
        induction,
        metrics,
        plots,
        recorded,
        scoring,
        toy,
        training,
        tuning,
        widgets,
    )
    from gpt2lessons.bpe import BPE
    from gpt2lessons.decoding import beam, generation, processors, speculative
    from gpt2lessons.decoding.beam import beam_search
    from gpt2lessons.decoding.generation import generate, generate_text
    from gpt2lessons.desk.progress import progress
    from gpt2lessons.gpt2 import GPT2, GPT2Config
    from gpt2lessons.loading import models
    from gpt2lessons.loading.models import LanguageModel, load
    from gpt2lessons.scoring import perplexity
    from gpt2lessons.training import baselines, corpus, country, make_mini

__version__ = "0.2.0"

# what a learner types -> where it lives
_NAMES = {
    "load": "loading.models",
    "LanguageModel": "loading.models",
    "GPT2": "gpt2",
    "GPT2Config": "gpt2",
    "BPE": "bpe",
    "generate": "decoding.generation",
    "generate_text": "decoding.generation",
    "beam_search": "decoding.beam",
    "perplexity": "scoring",
    "progress": "desk.progress",
}
_MODULES = {
    "baselines": "training.baselines",
    "beam": "decoding.beam",
    "bpe": "bpe",
    "checks": "checks",
    "corpus": "training.corpus",
    "country": "training.country",
    "generation": "decoding.generation",
    "gpt2": "gpt2",
    "human": "human",
    "induction": "induction",
    "make_mini": "training.make_mini",
    "metrics": "metrics",
    "models": "loading.models",
    "plots": "plots",
    "processors": "decoding.processors",
    "recorded": "recorded",
    "scoring": "scoring",
    "speculative": "decoding.speculative",
    "toy": "toy",
    "training": "training",
    "tuning": "tuning",
    "widgets": "widgets",
}
__all__ = sorted([*_NAMES, *_MODULES])


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"gpt2lessons has no {name!r}; it has: {', '.join(__all__)}")


def __dir__():
    return __all__
