"""The figures of beam search: the tree of what was kept and dropped, where a wider search gains and where it loses.

And how surprising the tokens of texts are.
"""

import math

from gpt2lessons.plots.style import COLOURS, new_axes, visible

# one look per state, and a sign, so that colour is never alone
STATES = {
    "kept": ("●", COLOURS["blue"], "solid"),
    "finished": ("■", COLOURS["green"], "solid"),
    "pruned": ("○", COLOURS["grey"], "dashed"),
    "banned": ("✕", COLOURS["red"], "dotted"),
}
_MEANING = {"kept": "searched on", "finished": "ended, or at the limit", "pruned": "dropped", "banned": "banned"}


def tree_rows(nodes):
    """Return {node: row}: leaves on rows 0, 1, 2 …, best first, parents level with the middle of their children.

    `nodes` have `parent` (None at the root) and `rank`; the key None is the root.
    """
    nodes, rows, children = list(nodes), {}, {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)

    def place(node):
        below = sorted(children.get(node, ()), key=lambda n: (n.group, math.inf if n.rank is None else n.rank))
        for child in below:
            place(child)
        rows[node] = sum(rows[c] for c in (below[0], below[-1])) / 2 if below else leaves.pop(0)

    leaves = list(range(len(nodes) + 1))
    place(None)
    return rows


def plot_beam_tree(nodes, names, *, prompt="", highlight=None, ax=None):
    """Draw the candidates of a beam search as a tree that grows to the right; return the Axes.

    `nodes`: candidates of a `SearchTree`, with their parents; `names`: a function from a token id to its text, or a
    list of texts; `highlight`: the candidate whose path is drawn bold. Each box shows the token, its probability p, and
    Σ, the sum of the log-probabilities up to it (nats).
    """
    nodes, rows = list(nodes), tree_rows(nodes)
    steps = max((n.step for n in nodes), default=0)
    height = max(rows.values()) + 1
    ax = new_axes(ax, width=2.6 * (steps + 0.6), height=max(2.2, 0.55 * height + 0.9))
    path = set(highlight.path()) if highlight is not None else set()
    _box(ax, 0, rows[None], _short(prompt or "prompt", 14), COLOURS["grey"], "solid", bold=bool(path))
    for node in nodes:
        sign, colour, line = STATES[node.state]
        bold = node in path
        x, y = node.step, rows[node]
        edge = {"color": colour, "linestyle": line, "linewidth": 2.6 if bold else 1.2, "zorder": 1}
        start = x - 1 + (0.2 if node.parent else 0)  # the boxes cover the ends
        ax.plot([start, x - 0.2], [rows[node.parent], y], **edge)
        token = names(node.token) if callable(names) else names[node.token]
        text = f"{sign} {_short(visible(token), 11)}\np {_digits(math.exp(node.log_prob))}   Σ {node.total:.2f}"
        _box(ax, x, y, text, colour, line, bold=bold)
    ax.set(xlim=(-0.5, steps + 0.5), ylim=(height - 0.4, -0.6), yticks=[], xlabel="step (new tokens)")
    ax.set_xticks(range(steps + 1), ["prompt", *map(str, range(1, steps + 1))])
    for state, (sign, colour, line) in STATES.items():
        if any(n.state == state for n in nodes):
            ax.plot([], [], color=colour, linestyle=line, label=f"{sign} {_MEANING[state]}")
    if nodes:
        ax.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), fontsize=11, borderaxespad=0.2)
    ax.spines["left"].set_visible(False)
    return ax


def plot_surprisals(texts):
    """Draw how surprising each token of some texts is, one panel per text; return the Figure.

    `texts`: {name: (tokens, surprisals)}, as many tokens (str) as surprisals (nats).
    The panels share one scale; the mean of each stands in its title and is drawn dashed.
    """
    import matplotlib.pyplot as plt

    highest = 1.1 * max(float(max(values)) for _, values in texts.values())
    size = (11, 2.9 * len(texts))
    fig, axes = plt.subplots(len(texts), 1, figsize=size, squeeze=False, layout="constrained")
    looks = zip(["red", "blue", "green", "purple"], ["", "//", "..", "xx"], strict=True)
    for (name, (tokens, values)), (colour, hatch), ax in zip(texts.items(), looks, axes[:, 0], strict=False):
        heights = [float(value) for value in values]
        mean = sum(heights) / len(heights)
        places = range(len(heights))
        ax.bar(places, heights, color=COLOURS[colour], hatch=hatch, edgecolor="white", linewidth=0)
        ax.axhline(mean, color="black", linestyle="--", linewidth=1)
        ax.set_xticks(places, [_short(visible(token), 12) for token in tokens], rotation=45, ha="right")
        ax.set(ylim=(0, highest), ylabel="surprisal (nats)", title=f"{name}: mean {mean:.2f} nats per token")
    return fig


def plot_gains(gains, *, ax=None):
    """Draw how far the wider search's text is ahead, one bar per prompt, the largest gain first; return the Axes.

    `gains`: nats, one per prompt; those below 0, where the wider search lost, are orange and hatched.
    """
    ax = new_axes(ax, height=3.6)
    ordered = sorted((float(gain) for gain in gains), reverse=True)
    places = range(1, len(ordered) + 1)
    for sign, colour, hatch in ((1, "blue", ""), (-1, "orange", "////")):
        heights = [gain if gain * sign > 0 else 0 for gain in ordered]
        ax.bar(places, heights, width=0.8, color=COLOURS[colour], hatch=hatch, edgecolor="white", linewidth=0)
    ax.axhline(0, color="black", linewidth=1)
    ax.set(xlabel="prompts, in order of the gain", ylabel="gain in ln P (nats)", xlim=(0, len(ordered) + 1))
    return ax


def plot_dropped(tokens, followed, winner, lowest, *, ax=None):
    """Draw the sums of a text that a beam search dropped, beside the lowest sums that it kept; return the Axes.

    `tokens`: of the dropped text (str); `followed`, `winner`, `lowest`: as many numbers each (nats), the sums of this
    text, of the search's best text, and of the worst text kept at each step. A cross marks the first step at which
    the text lies below the kept ones.
    """
    ax = new_axes(ax, width=11, height=4.8)
    followed, winner, lowest = ([float(x) for x in sums] for sums in (followed, winner, lowest))
    steps = range(1, len(tokens) + 1)
    ax.plot(steps, winner, color=COLOURS["blue"], marker="o", label="the best text of the search")
    ax.plot(steps, followed, color=COLOURS["orange"], marker="s", linestyle="-.", label="the text that was dropped")
    ax.plot(steps, lowest, color=COLOURS["grey"], linestyle="--", label="the lowest sum that was kept")
    below = [i for i, (a, b) in enumerate(zip(followed, lowest, strict=True)) if a < b - 1e-6]  # a tie is kept
    if below:
        place = steps[below[0]], followed[below[0]]
        ax.plot(*place, marker="X", color=COLOURS["red"], markersize=14, linestyle="none", label="dropped here")
    ax.set_xticks(steps, [_short(visible(token), 12) for token in tokens], rotation=45, ha="right")
    ax.set(xlabel="new tokens of the text that was dropped", ylabel="Σ, the sum so far (nats)")
    ax.legend(loc="lower left")
    return ax


def _box(ax, x, y, text, colour, line, *, bold):
    frame = {"boxstyle": "round,pad=0.28", "facecolor": "white", "edgecolor": colour, "linestyle": line}
    frame["linewidth"] = 2.6 if bold else 1.2
    weight = "bold" if bold else "normal"
    ax.text(x, y, text, ha="center", va="center", fontsize=10.5, fontweight=weight, bbox=frame, zorder=2)


def _short(text, limit):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _digits(p):
    return f"{p:.2f}" if p >= 0.005 else f"{p:.0e}"
