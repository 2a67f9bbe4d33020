"""Figures of what is inside GPT-2: how attention gathers, its patterns, the stream, the parameters."""

import matplotlib.pyplot as plt
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


def plot_heads(patterns, tokens, picked, *, title=""):
    """Draw all patterns (layers, heads, T, T) and, beside them, that of `picked` (layer, head).

    `title` says whose they are. Returns the two Axes.
    """
    figure, axes = plt.subplots(1, 2, figsize=(13, 6))
    plot_head_grid(patterns, picked=picked, ax=axes[0])
    plot_pattern(patterns[picked], tokens, ax=axes[1])
    layers, heads = patterns.shape[:2]
    axes[0].set_title(f"{title}: all {layers * heads} patterns".removeprefix(": "))
    axes[1].set_title(f"{title}: layer {picked[0]}, head {picked[1]}".removeprefix(": "))
    figure.colorbar(axes[1].images[0], ax=axes, label="weight", shrink=0.8)
    return axes


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


def plot_gather(words, query, keys, values, *, ax=None):
    """Draw how the last of `words` (T) gathers: query · key, scores, weights, values, and their sum.

    `query` (D), `keys` (T, D), `values` (T, 2): what is written into the figure is computed from them.
    """
    query, keys, values = numbers(query), numbers(keys), numbers(values)
    products = keys @ query
    scores = products / np.sqrt(len(query))
    powers = np.exp(scores)
    weights = powers / powers.sum()
    end = len(words) + 0.15
    ax = new_axes(ax, width=3.6 + 1.75 * end, height=6)
    rows = {
        "key": ([_pair(key) for key in keys], ""),
        "query · key": ([f"{x:.2f}" for x in products], ""),
        f"score: ÷ √{len(query)}": ([f"{x:.2f}" for x in scores], ""),
        "exponential": ([f"{x:.2f}" for x in powers], f"sum {powers.sum():.2f}"),
        "weight: ÷ sum": ([], "sum 1.00"),
        "value": ([_pair(v) for v in values], ""),
        "weight × value": (
            [_pair(v) for v in weights[:, None] * values],
            f"sum {_pair(weights @ values)}",
        ),
    }
    for y, (name, (texts, total)) in enumerate(rows.items()):
        ax.text(-0.6, y, name, ha="right", va="center", size=13)
        for x, text in enumerate(texts):
            ax.text(x, y, text, ha="center", va="center", size=13)
        bold = {"weight": "bold", "color": COLOURS["blue"]} if "value" in name else {}
        ax.text(end, y, total, ha="center", va="center", size=13, **bold)
    for x, (word, weight) in enumerate(zip(words, weights, strict=True)):
        ax.text(x, -0.95, word, ha="center", va="center", size=15, weight="bold")
        ax.barh(4, 0.84, left=x - 0.42, height=0.62, color=COLOURS["light"])
        ax.barh(4, 0.84 * weight, left=x - 0.42, height=0.62, color=COLOURS["sky"])
        ax.text(x, 4, f"{weight:.2f}", ha="center", va="center", size=13)
    asks = f"“{words[-1]}” asks,\nquery {_pair(query)}"
    ax.text(-0.6, -0.95, asks, ha="right", va="center", size=13, color=COLOURS["blue"])
    ax.set(xlim=(-1.9, end + 0.9), ylim=(len(rows) - 0.4, -1.5))
    ax.axis("off")
    return ax


def plot_lens(words, probs, tokens, *, names=("embeddings",), ax=None):
    """Draw the best next token at each stage: `words` (S, T) texts, `probs` (S, T), from below.

    `tokens` (T) are the texts of the columns. Stage 0 is called `names[0]`, the last ones h.0, h.1, …
    """
    probs = numbers(probs)
    stages, columns = probs.shape
    ax = new_axes(ax, width=2.6 + 1.45 * columns, height=1.3 + 0.52 * stages)
    image = ax.imshow(probs, vmin=0, vmax=1, cmap="cividis", aspect="auto", origin="lower")
    for i, j in np.ndindex(stages, columns):
        colour = "white" if probs[i, j] < 0.55 else "black"
        ax.text(j, i, visible(words[i][j]), ha="center", va="center", color=colour, size=12)
    places = [*names, *(f"after h.{i}" for i in range(stages - len(names)))]
    ax.set_xticks(range(columns), [visible(token) for token in tokens])
    ax.set_yticks(range(stages), places)
    ax.set(xlabel="token that was read", ylabel="stage of the stream")
    ax.spines[:].set_visible(True)
    ax.figure.colorbar(image, ax=ax, label="probability of the token written in the cell")
    return ax


def plot_silenced(heads, effects, intervals, *, picked=(), ax=None):
    """Draw what the silence of a head does to the loss, in nats per token, with its interval.

    `heads` (N) pairs (layer, head), `effects` (N), `intervals` (N, 2); those in `picked` stand out.
    """
    effects, intervals = numbers(effects), numbers(intervals)
    ax = new_axes(ax, width=9, height=1.2 + 0.4 * len(heads))
    places = np.arange(len(heads))
    style = [("orange", "//") if head in picked else ("blue", "") for head in heads]
    colours, hatches = [COLOURS[name] for name, _ in style], [hatch for _, hatch in style]
    ax.barh(places, effects, color=colours, hatch=hatches, edgecolor="white", height=0.62)
    ends = np.abs(intervals.T - effects)
    ax.errorbar(effects, places, xerr=ends, fmt="none", ecolor="black", capsize=4, linewidth=1.4)
    for y, effect, (low, high) in zip(places, effects, intervals, strict=True):
        text = f"{effect:+.3f}  ({low:+.3f} to {high:+.3f})".replace("-", "−")
        ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", size=12)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(places, [f"layer {layer}, head {head}" for layer, head in heads])
    ax.set(ylim=(len(heads) - 0.4, -0.6), xlabel="rise of the loss, nats per token (95 % interval)")
    return ax


def _pair(vector):
    return f"({', '.join(f'{x:.0f}' if abs(x - round(x)) < 1e-4 else f'{x:.2f}' for x in vector)})"


def plot_stream(norms, *, names=("embeddings",), ends=(), ax=None):
    """Draw how long the vectors of the residual stream are: `norms` {label: one number per place along it}.

    The first places are called `names`, the last `ends`; those between are h.0, h.1, …
    """
    ax = new_axes(ax, width=7.5, height=3.4)
    for i, (label, values) in enumerate(norms.items()):
        values = numbers(values)
        ax.plot(range(len(values)), values, "os^D"[i % 4] + "-", label=label)
    blocks = len(values) - len(names) - len(ends)
    places = [*names, *(f"h.{i}" for i in range(blocks)), *ends]
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
