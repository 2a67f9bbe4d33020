"""Arrays in, matplotlib `Axes` out: every figure of the course, one module per topic, one look.

Every `plot_…` function takes plain arrays (tensors, lists) and an optional `ax`, and returns the `Axes`
(or, for a figure of several panels, the array of them).
"""

import importlib

from gpt2lessons.plots.style import COLOURS, new_axes, show_inline, use_style, visible

_TOPICS = (
    "start",
    "architecture",
    "blueprints",
    "tokens",
    "next_token",
    "loops",
    "search",
    "sampling",
    "top_k",
    "filters",
    "tuning",
    "evaluation",
    "training",
    "faster",
)
__all__ = ["COLOURS", *_TOPICS, "new_axes", "show_inline", "use_style", "visible"]
show_inline()
use_style()


def __getattr__(name):
    if name in _TOPICS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"gpt2lessons.plots has no {name!r}; it has: {', '.join(__all__)}")
