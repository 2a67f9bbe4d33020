"""Drawings of how things are put together: the data flow through GPT-2, three block stacks, a tree of next tokens."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from gpt2lessons.plots.style import COLOURS, new_axes, numbers, visible

_PAPER = {
    "look up": "#DCEBF7",
    "norm": "#EFEFEF",
    "attention": "#FCE9C8",
    "mlp": "#D5EFE6",
    "head": "#F6E1EC",
    "plain": "#FFFFFF",
}
_COLOURS = ("blue", "orange", "green", "red", "purple")


def plot_data_flow(record, tokens, input_ids, next_tokens, *, layer=0, head=0, n_layer=None):
    """Draw GPT-2 from text to next token, each tensor with the shape that it had: `record` as filled by `GPT2`.

    `tokens` (T) texts and `input_ids` (T) of the first row; `next_tokens` the likeliest next ones, {text: probability}.
    The small pattern is the recorded one of `layer` and `head`. Returns the Axes.
    """
    B, T, C = record["embeddings"].shape
    _, H, _, D = record[f"h.{layer}.attn.q"].shape
    V, at = record["logits"].shape[-1], f"h.{layer}"
    count = n_layer or sum(name.endswith(".mid") for name in record)
    _, ax = plt.subplots(figsize=(14.5, 7.9))
    ax.set(xlim=(0, 16.4), ylim=(-0.65, 8.25))
    ax.axis("off")

    def box(x, y, name, text, kind, width=1.72):
        shape = f"({', '.join(f'{n:,}' for n in record[name].shape)})"
        _box(ax, x, y, width, 0.74, text, shape, _PAPER[kind])

    ax.add_patch(
        FancyBboxPatch(
            (3.05, 0.05), 8.95, 7.1, boxstyle="round,pad=0,rounding_size=0.25", fc="#FAFAFA", ec="#555555", ls="--"
        )
    )
    ax.text(7.5, 7.42, f"{count} blocks of this form, each with weights of its own", ha="center", size=13)
    stream = {"color": COLOURS["blue"], "linewidth": 5, "solid_capstyle": "round", "zorder": 1}
    ax.plot([1.35, 13.1], [6.45, 6.45], **stream)
    ax.text(6.1, 6.6, "residual stream", color=COLOURS["blue"], size=12, ha="center")
    # on the left: tokens, ids, embeddings
    shown = T if T <= 9 else 8
    if shown < T:
        ax.text(1.35, 0.12, f"… and {T - shown} more", ha="center", va="center", size=11)
    for i in range(shown):
        y = (0.3 if shown == T else 0.5) + 0.36 * (shown - 1 - i)
        ax.text(1.25, y, visible(tokens[i]), ha="right", va="center", size=12)
        ax.text(1.5, y, f"{int(input_ids[i]):,}", ha="left", va="center", size=11, family="monospace", color="#444444")
    top = (0.3 if shown == T else 0.5) + 0.36 * shown
    ax.text(1.35, top + 0.08, f"input_ids ({B}, {T})", ha="center", size=11.5, weight="bold")
    box(1.35, 4.75, "wte", "wte: look up", "look up", 2.0)
    box(1.35, 7.75, "wpe", "wpe: positions", "look up", 2.0)
    _arrow(ax, (1.35, top + 0.4), (1.35, 4.36))
    _arrow(ax, (1.35, 5.13), (1.35, 6.2))
    _arrow(ax, (1.35, 7.37), (1.35, 6.7))
    _plus(ax, 1.35, 6.45)
    # attention: down, along, up
    box(4.15, 5.35, f"{at}.ln_1", "ln_1", "norm")
    box(4.15, 4.25, f"{at}.attn.q", "c_attn → q, k, v", "attention", 1.95)
    box(4.15, 3.15, f"{at}.attn.scores", "q · k / √D, mask", "attention", 1.95)
    box(7.35, 3.15, f"{at}.attn.heads", "pattern · v", "attention")
    joined = f"({B}, {T}, {H} × {D})"
    _box(ax, 7.35, 4.25, 1.72, 0.74, "join the heads", joined, _PAPER["attention"])
    box(7.35, 5.35, f"{at}.attn.out", "c_proj", "attention")
    for x, y, to in ((4.15, 6.4, 5.74), (4.15, 4.97, 4.63), (4.15, 3.87, 3.53), (4.15, 2.77, 2.4)):
        _arrow(ax, (x, y), (x, to))
    for x, y, to in ((7.35, 3.53, 3.87), (7.35, 4.63, 4.97), (7.35, 5.74, 6.22)):
        _arrow(ax, (x, y), (x, to))
    _plus(ax, 7.35, 6.45)
    inset = ax.inset_axes([4.75, 0.42, 2.1, 2.1], transform=ax.transData)
    pattern = numbers(record[f"{at}.attn.pattern"][0, head])
    inset.imshow(np.ma.masked_equal(pattern, 0), vmin=0, vmax=1, cmap="cividis")
    inset.set(xticks=[], yticks=[])
    inset.spines[:].set_visible(True)
    ax.text(4.15, 2.05, "softmax", ha="center", va="center", size=12)
    ax.text(5.8, 0.24, f"pattern of layer {layer}, head {head} (of {H})", ha="center", va="center", size=11)
    _arrow(ax, (4.15, 1.85), (4.7, 1.45), curve=0.3)
    _arrow(ax, (6.92, 1.45), (7.35, 2.76), curve=0.3)
    # the MLP
    box(9.15, 5.35, f"{at}.ln_2", "ln_2", "norm", 1.55)
    box(9.15, 4.25, f"{at}.mlp.c_fc", "c_fc", "mlp", 1.55)
    box(10.95, 4.25, f"{at}.mlp.gelu", "GELU", "mlp", 1.55)
    box(10.95, 5.35, f"{at}.mlp.out", "c_proj", "mlp", 1.55)
    for a, b in (((9.15, 6.4), (9.15, 5.74)), ((9.15, 4.97), (9.15, 4.63)), ((9.94, 4.25), (10.16, 4.25))):
        _arrow(ax, a, b)
    _arrow(ax, (10.95, 4.63), (10.95, 4.97))
    _arrow(ax, (10.95, 5.74), (10.95, 6.22))
    _plus(ax, 10.95, 6.45)
    ax.text(10.05, 3.45, "MLP: each position\nby itself", ha="center", va="center", size=12, color="#00654b")
    ax.text(9.95, 1.3, _letters(B, T, C, H, D, V), ha="center", va="center", size=11.5, linespacing=1.45)
    # on the right: logits, probabilities, choice
    box(14.3, 6.45, "ln_f", "ln_f", "norm", 2.0)
    box(14.3, 5.3, "logits", "head = wteᵀ: logits", "head", 2.5)
    _box(ax, 14.3, 4.15, 2.5, 0.74, "last row, softmax", f"({B}, {V:,})", _PAPER["head"])
    for y, to in ((6.07, 5.69), (4.91, 4.54), (3.76, 3.35)):
        _arrow(ax, (14.3, y), (14.3, to))
    _arrow(ax, (13.0, 6.45), (13.29, 6.45), colour=COLOURS["blue"])
    # and around again
    ax.plot([14.3, 14.3, 1.35], [0.0, -0.55, -0.55], color="#333333", linewidth=1.4)
    _arrow(ax, (1.35, -0.55), (1.35, 0.02))
    ax.text(7.5, -0.42, "the chosen token is appended, and everything runs again", ha="center", va="bottom", size=12)
    bars = ax.inset_axes([13.75, 1.0, 2.2, 2.2], transform=ax.transData)
    names, values = list(next_tokens), list(next_tokens.values())
    bars.barh(range(len(values)), values, color=COLOURS["blue"], height=0.7)
    for i, value in enumerate(values):
        bars.text(value + 0.02 * max(values), i, f"{value:.2f}", va="center", size=10.5)
    bars.set_yticks(range(len(values)), [visible(name) for name in names], size=11.5)
    bars.set(xticks=[], xlim=(0, 1.3 * max(values)), ylim=(len(values) - 0.5, -0.5))
    bars.spines["bottom"].set_visible(False)
    ax.text(14.3, 0.45, "probabilities of the next token:\na decoding rule chooses", ha="center", va="center", size=12)
    return ax


def plot_stacks(models):
    """Draw block stacks side by side, each above its attention pattern; `models` is a list of dicts with

    `name`, `kind` (one line), `inputs`, `block` (the layers in a block, from below), `skips` (a pair of first and last
    layer for each residual connection), `repeat` (a text such as "12 ×"), `output`, `pattern` (T, S) and `rows`,
    `columns`, its labels; `cached`, if given, is how many columns come from a cache; `drawn_from`, if given, says above
    the pattern what it was made from. Returns the Axes (2, models).
    """
    _, axes = plt.subplots(2, len(models), figsize=(4.9 * len(models), 8.9), height_ratios=(1.35, 1))
    for model, stack, below in zip(models, axes[0], axes[1], strict=True):
        _stack(stack, model)
        pattern = numbers(model["pattern"])
        below.imshow(np.ma.masked_equal(pattern, 0), vmin=0, vmax=1, cmap="cividis")
        below.spines[:].set_visible(True)
        below.set_xticks(range(pattern.shape[1]), [visible(t) for t in model["columns"]], rotation=60)
        below.set_yticks(range(pattern.shape[0]), [visible(t) for t in model["rows"]])
        below.set(xlabel="looks at", ylabel="position that looks")
        if "drawn_from" in model:
            below.set_title(model["drawn_from"], loc="center", pad=24)
        if cached := model.get("cached", 0):
            below.axvline(cached - 0.5, color=COLOURS["red"], linewidth=2.5)
            below.text(cached / 2 - 0.5, -0.75, "cached segment", ha="center", color=COLOURS["red"], size=11)
            below.text((cached + pattern.shape[1]) / 2 - 0.5, -0.75, "this segment", ha="center", size=11)
    return axes


def _stack(ax, model):
    ax.set(xlim=(0, 10.6), ylim=(0, 10.3))
    ax.axis("off")
    ax.text(5, 9.85, model["name"], ha="center", size=17, weight="bold")
    ax.text(5, 9.25, model["kind"], ha="center", size=12, color="#444444")
    _box(ax, 5, 0.65, 8.6, 0.9, model["inputs"], "", _PAPER["look up"])
    _box(ax, 5, 8.45, 8.6, 0.9, model["output"], "", _PAPER["head"])
    for shift in (0.3, 0.15, 0):  # a pack of blocks
        corner, round_style = (0.5 + shift, 1.75 + shift), "round,pad=0,rounding_size=0.3"
        ax.add_patch(FancyBboxPatch(corner, 8.7, 5.65, boxstyle=round_style, fc="#FAFAFA", ec="#666666"))
    slot, middle = 5.3 / len(model["block"]), 5.2
    floor = [1.95 + slot * i for i in range(len(model["block"]) + 1)]
    ax.plot([middle, middle], [1.75, 7.4], color="#333333", linewidth=1.4, zorder=1)
    for y, layer in zip(floor, model["block"], strict=False):
        kind = "attention" if "attention" in layer else "mlp" if "MLP" in layer else "norm"
        _box(ax, middle, y + 0.55 * slot, 7.0, 0.58 * slot, layer, "", _PAPER[kind])
    for first, last in model["skips"]:
        low, high = floor[first] + 0.1 * slot, floor[last + 1]
        ax.plot([middle, 1.05, 1.05], [low, low, high], color=COLOURS["blue"], linewidth=2, zorder=1)
        _arrow(ax, (1.05, high), (middle - 0.22, high), colour=COLOURS["blue"])
        _plus(ax, middle, high, size=11)
    _arrow(ax, (middle, 1.12), (middle, 1.74))
    _arrow(ax, (middle, 7.7), (middle, 7.98))
    ax.text(9.65, 4.5, model["repeat"], ha="left", va="center", size=14, weight="bold")


def plot_next_token_tree(root, nodes, paths, *, drawn=(), ax=None):
    """Draw a tree of next tokens and the way that each decoding strategy takes through it.

    `nodes` {path (a tuple of texts): probability of its last token, given the rest}; `paths` {strategy: path}, each
    prefix of which is in `nodes`; `drawn` names the strategies that sample: their lines are broken.
    """
    depth = max(map(len, nodes))
    inner = {path[:n] for path in nodes for n in range(len(path))}
    leaves = sorted(set(nodes) - inner, key=lambda p: [(-nodes[p[: n + 1]], p[n]) for n in range(len(p))])
    place = {path: i for i, path in enumerate(leaves)}
    for path in sorted(inner, key=len, reverse=True):
        children = [y for child, y in place.items() if child[:-1] == path and child]
        place[path] = sum(children) / len(children)
    ax = new_axes(ax, width=1.5 + 3.1 * depth, height=1.4 + 0.42 * len(leaves))
    for path, prob in nodes.items():
        takers = [i for i, way in enumerate(paths.values()) if way[: len(path)] == path]
        ends = np.array([[len(path) - 0.5, len(path) - 0.03], [place[path[:-1]], place[path]]])
        if not takers:
            ax.plot(*ends, color=COLOURS["light"], linewidth=1 + 5 * prob, zorder=1)
        for order, i in enumerate(takers):
            shift = 0.16 * (order - (len(takers) - 1) / 2)
            ax.plot(ends[0], ends[1] + shift, linewidth=2.6, zorder=2, **_line(i, list(paths)[i] in drawn))
        label = f"{visible(path[-1])}  {_digits(prob)}"
        ax.text(len(path), place[path], label, va="center", size=11.5, weight="bold" if takers else "normal")
    ax.text(0.47, place[()], root, ha="right", va="center", size=12, weight="bold")
    for i, strategy in enumerate(paths):
        ax.plot([], [], linewidth=2.6, label=strategy, **_line(i, strategy in drawn))
    if paths:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=11.5)
    ax.set(xlim=(0.1, depth + 0.5), ylim=(len(leaves) - 0.4, -0.6))
    ax.axis("off")
    return ax


def _digits(prob):
    """Two places, or as many as it takes to show two digits: one may multiply along a line."""
    return f"{prob:.2f}" if prob >= 0.0995 else f"{prob:.2g}" if prob >= 1e-4 else f"{prob:.0e}"


def _line(i, drawn):
    """A colour of its own for each strategy; solid, or one of three broken lines."""
    return {"color": COLOURS[_COLOURS[i % 5]], "linestyle": ("--", "-.", ":")[i % 3] if drawn else "-"}


def _letters(B, T, C, H, D, V):
    return (
        f"B = {B} text{'s' * (B > 1)},  T = {T} positions\nC = {C} numbers per vector\n"
        f"H = {H} heads of D = {D}\nV = {V:,} tokens in the vocabulary"
    )


def _box(ax, x, y, width, height, text, shape, colour):
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.12", fc=colour, ec="#555"
    )
    ax.add_patch(patch)
    ax.text(x, y + (0.15 if shape else 0), text, ha="center", va="center", size=12)
    if shape:
        ax.text(x, y - 0.18, shape, ha="center", va="center", size=10.5, family="monospace", color="#333333")


def _arrow(ax, start, end, *, curve=0.0, colour="#333333"):
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=style | {"connectionstyle": f"arc3,rad={curve}"}, zorder=3)


def _plus(ax, x, y, *, size=15):
    circle = {"boxstyle": "circle,pad=0.1", "fc": "white", "ec": "black"}
    ax.text(x, y, "+", ha="center", va="center", size=size, bbox=circle, zorder=4)
