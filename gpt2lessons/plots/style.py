"""One look for all figures: colours that colour-blind readers can tell apart, letters readable when projected."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito, "Color universal design" (2008); the yellow is left out, it vanishes on white
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#767676",
    "light": "#D9D9D9",
}
_FILES_ONLY = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}  # matplotlib's backends that show nothing
_CYCLE = ["blue", "orange", "green", "red", "purple", "sky", "grey"]


def use_style():
    """Set matplotlib's defaults to the look of the course, for its figures and the learner's own."""
    mpl.rcParams.update(
        {
            "figure.figsize": (8, 4),
            "figure.dpi": 90,
            "figure.constrained_layout.use": True,
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=[COLOURS[name] for name in _CYCLE]),
            "image.cmap": "cividis",
            "legend.frameon": False,
            "figure.facecolor": "white",
        }
    )


def show_inline():
    """In a notebook whose machine asks for a backend that only writes files (MPLBACKEND=agg), draw inline instead.

    On such a machine `plt.show()` would show nothing, and say nothing. Elsewhere, nothing changes.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel") and plt.get_backend().lower() in _FILES_ONLY:
        shell.run_line_magic("matplotlib", "inline")


def new_axes(ax=None, *, width=8, height=4):
    """Return `ax`, or the Axes of a new figure of `width` × `height` inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def numbers(values):
    """Return `values`, a list, array or tensor on any device, as an array of float64 of the same shape."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)


def visible(token):
    """Return a token's text as it can be drawn: spaces as ␣, line breaks as ⏎, what the font lacks as \\u escapes."""
    font = _font()
    shown = token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥").replace("$", r"\$")
    return "".join(c if ord(c) in font else f"\\u{ord(c):04x}" for c in shown) or "∅"


_glyphs = None


def _font():
    global _glyphs
    if _glyphs is None:
        path = mpl.font_manager.findfont("DejaVu Sans")
        _glyphs = set(mpl.font_manager.get_font(path).get_charmap())
    return _glyphs
