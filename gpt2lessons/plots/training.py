"""Figures of training: loss against step with the lines to beat, several runs side by side, schedules, singular values.

Losses are in nats per token, steps are counted from 1; lines differ in style and marker, not in colour alone.
"""

import matplotlib.pyplot as plt
import numpy as np

from gpt2lessons.plots.style import COLOURS, new_axes, numbers, visible

_LINES = ("-", "--", "-.", ":")
_MARKERS = "osD^vP*X"


def smooth(values, width):
    """Return the running mean (N,) of the last `width` values (fewer at the start)."""
    values = _numbers(values, "values")
    if width < 1:
        raise ValueError(f"width is at least 1, not {width}.")
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return (sums[ends] - sums[starts]) / (ends - starts)


def plot_loss(losses, *, lines=None, steps=None, marked=None, unit="nats per token", ax=None):
    """Draw a training's loss (N,) against its step (1 … N, or `steps`), pale, and its running mean.

    `lines` {name: value}: horizontal lines to compare with, named at the right; `marked`: a step to be marked.
    """
    losses = _numbers(losses, "losses")
    steps = np.arange(1, len(losses) + 1) if steps is None else _numbers(steps, "steps")
    if len(steps) != len(losses):
        raise ValueError(f"there are {len(losses)} losses, but {len(steps)} steps.")
    ax = new_axes(ax, width=8.5, height=4.2)
    ax.plot(steps, losses, color=COLOURS["sky"], linewidth=0.8, alpha=0.8, label="each step")
    mean = smooth(losses, max(1, len(losses) // 40))
    ax.plot(steps, mean, color=COLOURS["blue"], linewidth=2.2, label="running mean")
    _draw_lines(ax, lines or {})
    if marked is not None:
        ax.axvline(marked, color=COLOURS["red"], linestyle="--", linewidth=1.5, label=f"step {marked:,}")
    ax.set(xlabel="step", ylabel=f"loss ({unit})")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return ax


def plot_runs(runs, *, lines=None, ylabel="loss (nats per token)", xlabel="step", ax=None):
    """Draw several curves with a legend; `runs` {name: losses (N,), or (steps (N,), losses (N,))}; NaN leaves a gap."""
    if not runs:
        raise ValueError("there is no run to draw: give {name: losses}.")
    ax = new_axes(ax, width=8.5, height=4.2)
    for i, (name, values) in enumerate(runs.items()):
        pair = isinstance(values, tuple)
        y = _numbers(values[1] if pair else values, name)
        x = _numbers(values[0], name) if pair else np.arange(1, len(y) + 1)
        if len(x) != len(y):
            raise ValueError(f"{name} has {len(x)} steps, but {len(y)} values.")
        few = len(y) <= 40
        marker = {"marker": _MARKERS[i % 8], "markersize": 5} if few else {}
        ax.plot(x, y, linestyle=_LINES[i % 4], linewidth=2, label=name, **marker)
    _draw_lines(ax, lines or {})
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2 if len(runs) > 3 else len(runs), borderaxespad=0.2)
    return ax


def plot_scaling(sizes, above, fit, predicted, reached, *, ax=None):
    """Draw how far models of `sizes` (K parameters) are above the floor, log-log, with a line through the last ones.

    `above` {name: (K,)}: one curve each, measured (dots). `fit` (K + 1,): the line's value at `sizes` and at the size
    `predicted`, where it is an open square; `reached`, what was then measured there, is a filled one.
    """
    sizes, fit = _numbers(sizes, "sizes"), _numbers(fit, "fit")
    if len(fit) != len(sizes) + 1 or any(len(values) != len(sizes) for values in above.values()):
        raise ValueError(f"{len(sizes)} sizes need as many values in each curve, and a fit of {len(sizes) + 1}.")
    ax = new_axes(ax, width=8.5, height=4.2)
    for i, (name, values) in enumerate(above.items()):
        ax.plot(sizes, _numbers(values, name), marker=_MARKERS[i % 8], linestyle=_LINES[i % 4], label=name)
    ends = [*sizes, predicted]
    ax.plot(ends, fit, color=COLOURS["grey"], linewidth=1.3, label="fitted line")
    square = {"marker": "s", "markersize": 10, "linestyle": "", "color": COLOURS["red"]}
    ax.plot([predicted], fit[-1:], fillstyle="none", label="predicted", **square)
    ax.plot([predicted], [reached], label="measured", **square)
    ax.set(xscale="log", yscale="log", xlabel="parameters", ylabel="loss above the floor\n(nats per byte)")
    ax.set_xticks(ends, [f"{size:,.0f}" for size in ends])
    ax.minorticks_off()
    low, high = ax.get_ylim()
    shown = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if low <= tick <= high]
    ax.set_yticks(shown, [f"{tick:g}" for tick in shown])
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return ax


def plot_schedule(rates, *, ax=None):
    """Draw the learning rate of every step as a share of its peak; `rates` as the runs of `plot_runs`."""
    ax = plot_runs(rates, ylabel="learning rate\n(share of its peak)", ax=new_axes(ax, width=8, height=3))
    ax.set_ylim(0, 1.05)
    return ax


def plot_loss_and_gradient(words, probs, target, *, axes=None):
    """Draw the loss −ln p against p with the present p marked, and the gradient p − [is the target] as bars.

    `words` V strings, `probs` V numbers, `target` the index of the right word. Returns the array of two Axes.
    """
    probs = _numbers(probs, "probs")
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(9.5, 3.2))[1]
    left, right = axes
    p = np.linspace(0.005, 1, 300)
    left.plot(p, -np.log(p), color=COLOURS["blue"])
    here = probs[target]
    left.plot([here], [-np.log(here)], marker="o", markersize=9, color=COLOURS["red"])
    left.annotate(
        f"p = {here:.2f}\nloss {-np.log(here):.2f}", (here, -np.log(here)), (12, 14), textcoords="offset points"
    )
    left.set(xlabel="probability of the right word", ylabel="loss −ln p (nats)", ylim=(0, 5.5), xlim=(0, 1.02))
    gradient = probs - (np.arange(len(probs)) == target)
    colours = [COLOURS["red"] if g < 0 else COLOURS["grey"] for g in gradient]
    right.barh(range(len(words)), gradient, color=colours)
    for i, g in enumerate(gradient):
        right.text(g + (0.02 if g >= 0 else -0.02), i, f"{g:+.2f}", va="center", ha="left" if g >= 0 else "right")
    right.axvline(0, color="black", linewidth=0.8)
    names = [f"{w} (right)" if i == target else w for i, w in enumerate(words)]
    right.set_yticks(range(len(words)), names)
    right.invert_yaxis()
    right.set(xlabel="gradient of the loss\nwith respect to the logit", xlim=(-1.15, 1.15))
    return axes


def plot_singular_values(spectra, *, ax=None):
    """Draw singular values, largest first, log scale; `spectra` {name: (K,)}, each divided by its largest."""
    ax = new_axes(ax, width=8, height=3.6)
    for i, (name, values) in enumerate(spectra.items()):
        values = np.sort(_numbers(values, name))[::-1]
        if values[0] <= 0:
            raise ValueError(f"{name} has no singular value above 0.")
        shares = np.maximum(values / values[0], 1e-7)  # what rounding made 0 would vanish from a logarithmic scale
        ax.plot(np.arange(1, len(values) + 1), shares, linestyle=_LINES[i % 4], linewidth=2.2, label=name)
    ax.set(yscale="log", xlabel="direction, strongest first", ylabel="singular value\n(share of the largest)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return ax


def plot_head_scores(scores, *, title="", ax=None):
    """Draw a score from 0 to 1 for each head, (n_layer, n_head), as a map with the numbers in it."""
    scores = numbers(scores)
    if scores.ndim != 2:
        raise ValueError(f"scores should be (n_layer, n_head), not {scores.shape}.")
    layers, heads = scores.shape
    ax = new_axes(ax, width=1.6 + 0.62 * heads, height=1.3 + 0.45 * layers)
    top = max(scores.max(), 1e-6)
    ax.imshow(scores, vmin=0, vmax=top, aspect="auto")
    for (layer, head), value in np.ndenumerate(scores):
        ax.text(head, layer, f"{value:.2f}", ha="center", va="center", color="white" if value < top / 2 else "black")
    ax.set_xticks(range(heads))
    ax.set_yticks(range(layers))
    ax.set(xlabel="head", ylabel="layer", title=title)
    return ax


def plot_phase_change(steps, losses, scores, *, axes=None):
    """Draw, above, losses {name: (N,)} and, below, attention scores {name: (N,)} against the same steps (N,)."""
    if axes is None:
        axes = plt.subplots(2, 1, figsize=(8.5, 6), sharex=True)[1]
    plot_runs({name: (steps, y) for name, y in losses.items()}, xlabel="", ax=axes[0])
    plot_runs({name: (steps, y) for name, y in scores.items()}, ylabel="share of attention", ax=axes[1])
    axes[1].set_ylim(0, 1.02)
    return axes


def plot_watched(losses, step, tokens, probs, *, lines=None, axes=None):
    """Draw a training's loss with `step` marked and, beside it, the next tokens of that time (N,) with their `probs`.

    Returns the array of two Axes; `losses` and `lines` as in `plot_loss`.
    """
    if axes is None:
        widths = {"width_ratios": [2.2, 1]}
        axes = plt.subplots(1, 2, figsize=(11, 3.8), gridspec_kw=widths)[1]
    plot_loss(losses, lines=lines, marked=step, ax=axes[0])
    probs = _numbers(probs, "probs")
    axes[1].barh(range(len(tokens)), probs, color=COLOURS["blue"])
    for i, p in enumerate(probs):
        axes[1].text(p + 0.02, i, f"{p:.2f}", va="center")
    axes[1].set_yticks(range(len(tokens)), [visible(t) for t in tokens])
    axes[1].invert_yaxis()
    axes[1].set(xlim=(0, 1.25), xlabel="probability of being next")
    return axes


def _draw_lines(ax, lines):
    """Draw named horizontal lines; names that would touch are moved apart, in the lines' order."""
    if not lines:
        return
    ordered = sorted(lines.items(), key=lambda item: item[1])
    low, high = ax.get_ylim()
    low, high = min(low, ordered[0][1]), max(high, ordered[-1][1])
    high += 0.04 * (high - low)
    ax.set_ylim(low, high)
    place, step = -np.inf, 0.065 * (high - low)
    for i, (name, value) in enumerate(ordered):
        place = max(value, place + step)
        ax.axhline(value, color=COLOURS["grey"], linestyle=_LINES[1 + i % 3], linewidth=1.3)
        ax.annotate(f"{name} {value:.2f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=11)


def _numbers(values, what):
    values = np.asarray([float(v) for v in values])
    if not len(values):
        raise ValueError(f"{what} is empty: there is nothing to draw.")
    return values
