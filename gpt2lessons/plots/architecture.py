"""Figures of what is inside GPT-2: attention patterns, where the parameters are, what the scaling does."""

import numpy as np

from gpt2lessons.plots.style import COLOURS, new_axes, numbers, visible

_PARTS = ("blue", "sky", "green", "orange", "purple", "grey")
_HATCHES = ("", "//", "", "..", "", "xx")


def plot_pattern(pattern, tokens, *, sources=None, ax=None):
    """Draw one attention pattern (T, S), rows that look at columns, its weights written in where there is room.

    `tokens` (T) are the texts of the rows; `sources` (S) those of the columns, if they differ. A weight of exactly 0,
    what the mask hides, stays white.
    """
    pattern, sources = numbers(pattern), list(tokens if sources is None else sources)
    rows, columns = pattern.shape
    ax = new_axes(ax, width=1.8 + 0.55 * columns, height=1.2 + 0.5 * rows)
    _draw(ax, pattern)
    if columns <= 10:
        for i, j in zip(*np.nonzero(pattern), strict=True):
            dark = pattern[i, j] < 0.55
            ax.text(j, i, f"{pattern[i, j]:.2f}", ha="center", va="center", color="white" if dark else "black", size=10)
    ax.set_xticks(range(columns), [visible(t) for t in sources], rotation=60 if columns > 4 else 0)
    ax.set_yticks(range(rows), [visible(t) for t in tokens])
    ax.set(xlabel="looks at", ylabel="position that looks")
    return ax


def plot_head_grid(patterns, *, picked=None, ax=None):
    """Draw all patterns (layers, heads, T, T) as small pictures, a row per layer; `picked` (layer, head) is framed."""
    patterns = numbers(patterns)
    layers, heads, size, _ = patterns.shape
    ax = new_axes(ax, width=1.2 + 0.72 * heads, height=0.9 + 0.72 * layers)
    step = size + max(1, size // 6)
    canvas = np.zeros((layers * step - (step - size), heads * step - (step - size)))
    for layer, head in np.ndindex(layers, heads):
        canvas[layer * step : layer * step + size, head * step : head * step + size] = patterns[layer, head]
    _draw(ax, canvas)
    if picked is not None:
        corner = (picked[1] * step - 0.5, picked[0] * step - 0.5)
        ax.add_patch(_rectangle(corner, size, size, fill=False, edgecolor=COLOURS["red"], linewidth=3))
    ax.set_xticks([head * step + size / 2 - 0.5 for head in range(heads)], range(heads))
    ax.set_yticks([layer * step + size / 2 - 0.5 for layer in range(layers)], range(layers))
    ax.set(xlabel="head", ylabel="layer")
    ax.spines[:].set_visible(False)
    return ax


def plot_parameters(models, *, ax=None):
    """Draw one bar per model, cut into its parts; `models` {name: {part: number of parameters}}, same parts in each."""
    ax = new_axes(ax, width=10, height=1.5 + 0.95 * len(models))
    for y, parts in enumerate(models.values()):
        left, total = 0.0, sum(parts.values())
        for i, (part, count) in enumerate(parts.items()):
            share = 100 * count / total
            style = {"color": COLOURS[_PARTS[i % 6]], "hatch": _HATCHES[i % 6], "edgecolor": "white"}
            ax.barh(y, share, left=left, height=0.62, label=part if y == 0 else None, **style)
            if share >= 5:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9}
                text = f"{count / 1e6:,.1f} M\n{share:.0f} %"
                ax.text(left + share / 2, y, text, ha="center", va="center", size=10.5, bbox=box)
            left += share
    names = [f"{name}\n{sum(parts.values()):,}" for name, parts in models.items()]
    ax.set_yticks(range(len(models)), names)
    ax.set(xlim=(0, 100), ylim=(len(models) - 0.5, -0.5), xlabel="share of the parameters, %")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=11)
    return ax


def plot_scaling(sizes, unscaled, scaled, limit, *, ax=None):
    """Draw the entropy (nats) of attention weights against the size of a head, without and with the division by √D.

    `limit` is the entropy of equal weights.
    """
    ax = new_axes(ax, width=7.5, height=3.6)
    ax.axhline(limit, color=COLOURS["grey"], linestyle=":", label="equal weights")
    ax.plot(sizes, numbers(scaled), "o-", color=COLOURS["blue"], label="scores divided by √D")
    ax.plot(sizes, numbers(unscaled), "s--", color=COLOURS["red"], label="scores as they are")
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(sizes), [str(size) for size in sizes])
    ax.set(xlabel="size of a head, D", ylabel="entropy of the weights, nats", ylim=(0, 1.15 * limit))
    ax.legend()
    return ax


def plot_stream(norms, *, names=("embeddings",), ax=None):
    """Draw how long the vectors of the residual stream are: `norms` {label: one number per place along the stream}."""
    ax = new_axes(ax, width=7.5, height=3.4)
    for i, (label, values) in enumerate(norms.items()):
        values = numbers(values)
        ax.plot(range(len(values)), values, "os^D"[i % 4] + "-", label=label)
    places = [*names, *(f"h.{i}" for i in range(len(values) - len(names)))]
    ax.set_xticks(range(len(places)), places, rotation=45 if len(places) > 8 else 0)
    ax.set(xlabel="after", ylabel="root mean square", ylim=(0, None))
    ax.legend()
    return ax


def _draw(ax, pattern):
    shown = np.ma.masked_equal(pattern, 0)
    ax.imshow(shown, vmin=0, vmax=1, cmap="cividis", interpolation="nearest")
    ax.spines[:].set_visible(True)


def _rectangle(*args, **kwargs):
    from matplotlib.patches import Rectangle

    return Rectangle(*args, **kwargs)
