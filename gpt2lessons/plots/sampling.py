"""Figures of sampling: a distribution and what a filter leaves of it, temperature, and what happens along a text.

Probabilities and masses are numbers from 0 to 1, entropies and surprisals are in nats.
"""

import numpy as np

from gpt2lessons.plots.style import COLOURS, new_axes, numbers, visible

_SEGMENTS = ("sky", "orange", "green", "purple", "light")
_MARKERS = "osD^vP*X"
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def plot_number_line(words, probs, draws=(), *, ax=None):
    """Draw the numbers from 0 to 1 cut into one stretch per word, as wide as its probability; `draws` are pins."""
    ax = new_axes(ax, width=8, height=1.9)
    probs, left = _one_per(words, probs), 0.0
    for i, (word, width) in enumerate(zip(words, probs, strict=True)):
        ax.barh(0, width, left=left, height=1, color=COLOURS[_SEGMENTS[i % len(_SEGMENTS)]], edgecolor="white")
        text, centre = f"{visible(word)}\n{width:.3g}", left + width / 2
        if width >= 0.09:
            ax.text(centre, 0, text, ha="center", va="center")
        else:
            box = {"arrowstyle": "-", "color": COLOURS["grey"]}
            ax.annotate(text, (centre, -0.5), (centre, -1.35), ha="center", va="center", arrowprops=box, fontsize=11)
        left += width
    for u in numbers(draws).ravel():
        ax.plot(u, 0.74, marker="v", color="black", markersize=9, clip_on=False)
        ax.text(u, 0.96, f"{u:.2f}", ha="center", va="bottom", fontsize=11)
    ax.set(xlim=(0, 1), ylim=(-1.8, 1.25), yticks=[], xlabel="random number u between 0 and 1")
    ax.spines["left"].set_visible(False)
    return ax


def plot_distribution(words, probs, *, kept=None, before=None, title="", ax=None):
    """Draw one bar per word, the first on top.

    `kept` (booleans): a word that is not kept gets a hatched grey bar of its old probability and the note "removed".
    `before`: the probabilities before a change, drawn as outlines.
    """
    words, probs = list(words), _one_per(words, probs)
    ax = new_axes(ax, width=7, height=0.8 + 0.34 * len(words))
    places, shown = np.arange(len(words)), np.ones(len(words), bool) if kept is None else numbers(kept).astype(bool)
    old = probs if before is None else numbers(before)
    ax.barh(places[shown], probs[shown], color=COLOURS["blue"], height=0.72)
    ax.barh(places[~shown], old[~shown], color=COLOURS["light"], hatch="////", edgecolor=COLOURS["grey"], height=0.72)
    if before is not None:
        ax.barh(places[shown], old[shown], fill=False, edgecolor="black", linewidth=1.2, height=0.72)
    longest = max(probs.max(), old.max())
    for place, (new, was, keep) in enumerate(zip(probs, old, shown, strict=True)):
        end = max(new, was if before is not None else 0) if keep else was
        ax.text(end + 0.015 * longest, place, f"{new:.3f}" if keep else "removed", va="center", fontsize=11)
    ax.set(xlim=(0, 1.17 * longest), ylim=(len(words) - 0.4, -0.6), xlabel="probability", title=title)
    ax.set_yticks(places, [visible(word) for word in words])
    return ax


def plot_frequencies(words, probs, shares, low, high, *, ax=None):
    """Draw the true probability of each word as a bar and the share of the draws that it got, with its interval."""
    words, shares = list(words), _one_per(words, shares)
    ax = new_axes(ax, width=8, height=4)
    places, errors = np.arange(len(words)), np.stack([shares - numbers(low), numbers(high) - shares])
    ax.bar(places, numbers(probs), color=COLOURS["light"], edgecolor=COLOURS["grey"], label="true probability")
    ax.errorbar(places, shares, errors, fmt="o", color=COLOURS["blue"], capsize=4, label="share of the draws, 95 %")
    ax.set_xticks(places, [visible(word) for word in words], rotation=_slant(words), ha="center")
    ax.set(ylabel="probability", ylim=(0, None))
    ax.legend()
    return ax


def plot_temperatures(words, probs, temperatures, *, ax=None):
    """Draw each word's probability against the temperature; `probs` (temperatures, words)."""
    ax = new_axes(ax)
    probs, temperatures = numbers(probs), numbers(temperatures)
    for i, word in enumerate(words):
        style = {"linestyle": _LINES[i % 4], "linewidth": 2.4, "color": COLOURS[_SEGMENTS[i % 4]]}  # as on the line
        ax.plot(temperatures, probs[:, i], label=visible(word), **style)
    ax.axvline(1, color=COLOURS["grey"], linewidth=1)
    ax.text(1.05, 1.0, "T = 1: the model itself", color=COLOURS["grey"], fontsize=11, va="top")
    equal = 1 / len(words)
    ax.axhline(equal, color=COLOURS["grey"], linewidth=1, linestyle=":")
    place = temperatures[0], equal + 0.01
    ax.text(*place, f"all equal: {equal:.3g}", color=COLOURS["grey"], fontsize=11, va="bottom")
    ax.set(xscale="log", xlabel="temperature (log scale)", ylabel="probability", ylim=(0, 1))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(title="next word")
    return ax


def plot_entropies(temperatures, curves, ceilings, *, ax=None):
    """Draw entropy against temperature, one curve per name in `curves`; `ceilings` {name: ln V} are its limits."""
    ax = new_axes(ax, height=5.4)
    for i, (name, values) in enumerate(curves.items()):
        style = {"linestyle": _LINES[i % len(_LINES)], "linewidth": 2.4}
        ax.plot(numbers(temperatures), numbers(values), label=name, **style)
    highest = max([*ceilings.values(), *(numbers(values).max() for values in curves.values())])
    for name, limit in ceilings.items():
        ax.axhline(limit, color=COLOURS["grey"], linestyle=":", linewidth=1.2)
        place = numbers(temperatures)[0], limit + 0.02 * highest
        ax.text(*place, name, color=COLOURS["grey"], fontsize=11, va="bottom")
    ax.axvline(1, color=COLOURS["grey"], linewidth=1)
    ax.text(0.95, 0.8 * highest, "T = 1: the model itself", color=COLOURS["grey"], fontsize=11, ha="right")
    ax.set(xscale="log", xlabel="temperature (log scale)", ylabel="entropy (nats)", ylim=(0, 1.15 * highest))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=11)  # no room among the curves
    return ax


def plot_tradeoff(names, x, y, *, x_error, y_error, x_label, y_label, ax=None):
    """Draw one point per setting in `names`, joined in order, with error bars in both directions.

    `y` is a share: its axis ends at 1.
    """
    ax = new_axes(ax, width=7, height=4.4)
    x, y = numbers(x), numbers(y)
    ax.plot(x, y, color=COLOURS["light"], linewidth=2, zorder=0)
    ax.errorbar(x, y, numbers(y_error), numbers(x_error), fmt="o", color=COLOURS["blue"], capsize=3)
    for name, a, b in zip(names, x, y, strict=True):
        ax.annotate(name, (a, b), (9, 9), textcoords="offset points")
    ax.margins(0.16)
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.spines["left"].set_bounds(ax.get_ylim()[0], 1)  # room for the labels, but no share above 1
    ax.set_yticks([tick for tick in ax.get_yticks() if ax.get_ylim()[0] <= tick <= 1])
    return ax


def plot_ranked(curves, *, cut=None, floor=1e-7, ax=None):
    """Draw probability against rank, both logarithmic, one curve per name in `curves` {name: probs (V,), any order}.

    `cut`: a rank to mark (top-k), or {name: rank} to mark one on each curve (a nucleus); the legend says what mass
    lies up to it.
    """
    ax = new_axes(ax)
    for i, (name, probs) in enumerate(curves.items()):
        ranked = np.sort(numbers(probs))[::-1]
        rank = cut.get(name) if isinstance(cut, dict) else cut
        label = name if rank is None else f"{name}: the first {rank} hold {ranked[:rank].sum():.3f}"
        (line,) = ax.plot(np.arange(1, len(ranked) + 1), ranked, linestyle=_LINES[i % 4], linewidth=2.4, label=label)
        if isinstance(cut, dict):
            ax.plot(rank, ranked[rank - 1], marker=_MARKERS[i], markersize=10, color=line.get_color())
    if cut is not None and not isinstance(cut, dict):
        ax.axvspan(cut, ax.get_xlim()[1], color=COLOURS["light"], alpha=0.6, zorder=0)
        ax.axvline(cut, color="black", linewidth=1.2)
        ax.text(cut * 1.08, 0.9, f"removed: rank > {cut}", va="top", fontsize=11)
    longest = max(len(numbers(probs)) for probs in curves.values())
    ax.set(xscale="log", yscale="log", xlim=(0.9, longest), ylim=(floor, 1.2))
    ax.set(xlabel="rank of the token (log scale)", ylabel="probability (log scale)")
    ax.legend(loc="lower left", frameon=True, facecolor="white", framealpha=1, edgecolor="none")
    return ax


def _slant(words):
    return 90 if sum(len(word) + 2 for word in words) > 70 else 0


def _one_per(words, values):
    values = numbers(values)
    if values.shape != (len(words),):
        raise ValueError(f"{len(words)} words need {len(words)} numbers, one each, not {values.shape}")
    return values
