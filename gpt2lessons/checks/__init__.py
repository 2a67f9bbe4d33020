"""What tells a learner that an exercise is right, or what is wrong with it: one module per lesson topic."""

import importlib

_TOPICS = (
    "start",
    "architecture",
    "tokenization",
    "tokenizers_in_practice",
    "next_token",
    "greedy_search",
    "beam_search",
    "random_sampling",
    "top_k",
    "top_p",
    "top_k_top_p",
    "tuning",
    "evaluation",
    "training",
    "faster_generation",
)
__all__ = list(_TOPICS)


def __getattr__(name):
    if name in _TOPICS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "limit":
        return importlib.import_module(f"{__name__}.guard").limit
    raise AttributeError(f"gpt2lessons.checks has no {name!r}; it has: {', '.join(_TOPICS)}")
