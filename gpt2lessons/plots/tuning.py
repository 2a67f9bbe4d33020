"""Figures of a search for settings: scores over a grid, the score that won and a later one, gaps to people.

Perplexities are drawn on a logarithmic axis, where equal steps are equal ratios.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker
from matplotlib.colors import LogNorm

from gpt2lessons.plots.style import COLOURS, new_axes, numbers

_LEADER = {"arrowstyle": "-", "color": COLOURS["grey"]}


def plot_grid(scores, *, names=("top_k", "top_p", "temperature"), mark=None, axes=None):
    """Draw {(a, b, c): perplexity} as one heat map for each value of a; return the array of Axes.

    The rows are b, the columns c, every cell bears its number, and the cell `mark` gets a frame. What is not in
    `scores` stays empty.
    """
    firsts, rows, columns = (sorted({key[i] for key in scores}) for i in range(3))
    if axes is None:
        _, axes = plt.subplots(1, len(firsts), figsize=(2.9 * len(firsts), 1.5 + 0.5 * len(rows)), sharey=True)
    axes = np.atleast_1d(axes)
    norm = LogNorm(min(scores.values()), max(scores.values()) * (1 + 1e-9))
    middle = np.sqrt(norm.vmin * norm.vmax)
    for ax, first in zip(axes, firsts, strict=True):
        table = np.array([[scores.get((first, row, column), np.nan) for column in columns] for row in rows])
        ax.imshow(table, norm=norm, aspect="auto")
        for (y, x), value in np.ndenumerate(table):
            if np.isnan(value):
                ax.text(x, y, "–", ha="center", va="center", color=COLOURS["grey"])
            else:
                ax.text(x, y, f"{value:.3g}", ha="center", va="center", color="white" if value < middle else "black")
            if (first, rows[y], columns[x]) == mark:
                frame = plt.Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, ec=COLOURS["red"], lw=3)
                ax.add_patch(frame)
        ax.set_xticks(range(len(columns)), [f"{c:g}" for c in columns])
        ax.set_yticks(range(len(rows)), [f"{r:g}" for r in rows])
        ax.set(title=f"{names[0]} {first:g}" if first else f"{names[0]} off", xlabel=names[2])
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[0].set_ylabel(names[1])
    return axes


def plot_gaps(temperatures, lines, *, margin, marks=(), ax=None):
    """Draw gaps to people's texts at each temperature, one line per entry of `lines`: {label: (gap, low, high)}.

    The band from −`margin` to +`margin` counts as near; `marks` are further points {label: (temperature, gap)}.
    """
    ax = new_axes(ax, width=7.5, height=4.4)
    ax.axhspan(-margin, margin, color=COLOURS["green"], alpha=0.15, lw=0, label="near: within the margin")
    ax.axhline(0, color=COLOURS["green"], lw=1.5)
    temperatures = numbers(temperatures)
    for place, (name, (gap, low, high)) in enumerate(lines.items()):
        colour, shape = ((COLOURS["blue"], "o"), (COLOURS["orange"], "s"), (COLOURS["sky"], "^"))[place % 3]
        gap, low, high = map(numbers, (gap, low, high))
        at = temperatures + 0.008 * (2 * place - len(lines) + 1)  # so that no interval hides another
        ax.errorbar(at, gap, (gap - low, high - gap), fmt=f"{shape}-", color=colour, lw=2, capsize=3, label=name)
    for name, point in dict(marks).items():
        ax.plot(*point, "D", color=COLOURS["red"], markersize=9, label=name)
    ax.set(xlabel="temperature", ylabel="gap to people, in ln")
    ax.set_xticks(temperatures, [f"{t:g}" for t in temperatures])
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=11)
    return ax


def plot_curse(printed, honest, *, x_label="perplexity", ax=None):
    """Draw, for each search, the score that won and the same setting's mean in the other searches, joined by a line."""
    ax = new_axes(ax, width=7.5, height=1.2 + 0.17 * len(printed))
    printed, honest = numbers(printed), numbers(honest)
    order = np.argsort(printed, kind="stable")
    places = np.arange(len(order))
    ax.hlines(places, printed[order], honest[order], color=COLOURS["light"], lw=2)
    ax.plot(printed[order], places, "v", color=COLOURS["red"], label="the score that won")
    ax.plot(honest[order], places, "o", color=COLOURS["blue"], label="the same setting in all other searches, mean")
    ax.set(xlabel=f"{x_label} (log scale)", ylabel="searches", yticks=[], ylim=(len(order) - 0.4, -0.6))
    _log_axis(ax)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=11)
    return ax


def plot_settings(names, x, y, *, human=None, chosen=None, x_label="perplexity", y_label="distinct-2", ax=None):
    """Draw settings as points; `human` (x, y), a star, stands for the reference texts.

    The setting `chosen`, one of `names`, gets a ring, and its name in the legend, where it covers no neighbour.
    """
    ax = new_axes(ax, width=8, height=5)
    x, y = numbers(x), numbers(y)
    ax.plot(x, y, "o", color=COLOURS["blue"], label="a setting")
    if human is not None:
        ax.plot(*human, "*", color=COLOURS["red"], markersize=17, label="reference texts")
    if chosen is not None:
        i = list(names).index(chosen)
        ax.plot(x[i], y[i], "o", mfc="none", mec=COLOURS["orange"], mew=3, markersize=15, label=chosen)
    ax.set(xlabel=f"{x_label} (log scale)", ylabel=y_label)
    _log_axis(ax)
    ax.margins(0.08)
    ax.legend(loc="lower right")
    return ax


def plot_temperature_curve(temperatures, perplexities, *, x_label="temperature", ax=None):
    """Draw the perplexity of a fixed text at each temperature, and mark the lowest point."""
    ax = new_axes(ax, width=7, height=3.6)
    temperatures, perplexities = numbers(temperatures), numbers(perplexities)
    best = int(perplexities.argmin())
    ax.plot(temperatures, perplexities, "o-", color=COLOURS["blue"], markersize=4)
    ax.plot(temperatures[best], perplexities[best], "D", color=COLOURS["red"], markersize=9)
    text = f"T = {temperatures[best]:.2f}: {perplexities[best]:.3g}"
    ax.annotate(
        text, (temperatures[best], perplexities[best]), (14, 56), textcoords="offset points", arrowprops=_LEADER
    )
    ax.axvline(1, color=COLOURS["grey"], lw=1, ls=":")
    ax.set(xlabel=x_label, ylabel="perplexity of the fixed text")
    return ax


def _log_axis(ax):
    """Make x logarithmic, with plain numbers as labels."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    steps = [m * 10**e for e in range(-3, 7) for m in (1, 1.5, 2, 3, 5, 7)]
    ticks = [s for s in steps if low <= s <= high]
    ax.set_xticks(ticks[:: 2 if len(ticks) > 12 else 1])
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
