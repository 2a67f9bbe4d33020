"""From one distribution to a text: the growing text, the cost of a step, and how sure the model was."""

import matplotlib.pyplot as plt

from gpt2lessons.plots.style import COLOURS, new_axes, visible

# upper limits of the rank classes that a traced token is coloured by, with a mark so that colour is never alone
RANK_CLASSES = ((1, "#CFE8F7", "most probable"), (10, "#8CC4E8", "2 to 10"), (100, "#F3CE7F", "11 to 100"))
_BEYOND = ("#E58A5B", "beyond 100")


def plot_next_token(tokens, probs, *, chosen=None, ax=None):
    """Draw the probabilities of some next tokens as bars, the first on top, and return the Axes.

    `tokens` is a list of N strings, `probs` N numbers; `chosen` is the index of the one that was picked.
    """
    ax = new_axes(ax, height=0.6 + 0.36 * len(tokens))
    probs = [float(p) for p in probs]
    colours = [COLOURS["orange"] if i == chosen else COLOURS["blue"] for i in range(len(tokens))]
    bars = ax.barh(range(len(tokens)), probs, color=colours)
    for i, (bar, p) in enumerate(zip(bars, probs, strict=True)):
        note = f" {p:.3f}" + (" ◀ chosen" if i == chosen else "")
        ax.text(bar.get_width(), i, note, va="center")
    ax.set_yticks(range(len(tokens)), [visible(t) for t in tokens])
    ax.invert_yaxis()
    ax.set_xlim(0, max(probs) * 1.3)
    ax.set_xlabel("probability of being the next token")
    return ax


def plot_growing_text(prompt, tokens, probs, chosen, *, ax=None):
    """Draw how a text grows: one row per step with its best candidates, the chosen one filled; return the Axes.

    `tokens` and `probs` are S lists of N candidates each, `chosen` is S indices into them.
    """
    ax = new_axes(ax, width=10.5, height=0.7 + 0.5 * len(tokens))
    context, width = prompt, max(len(row) for row in tokens)
    for step, (names, values, pick) in enumerate(zip(tokens, probs, chosen, strict=True)):
        tail = visible(context)
        ax.text(-0.25, step, tail if len(tail) <= 30 else "…" + tail[-29:], ha="right", va="center", fontsize=11)
        ax.annotate("", (-0.02, step), (-0.22, step), arrowprops={"arrowstyle": "->", "color": COLOURS["grey"]})
        for column, (name, value) in enumerate(zip(names, values, strict=True)):
            face = COLOURS["orange"] if column == pick else "white"
            box = {"boxstyle": "round,pad=0.3", "facecolor": face, "edgecolor": COLOURS["grey"]}
            label = f"{'▸ ' if column == pick else ''}{visible(name)}  {float(value):.2f}"
            ax.text(column + 0.5, step, label, ha="center", va="center", fontsize=10.5, bbox=box)
        context += names[pick]
    ax.set_xlim(-3.2, width)
    ax.set_ylim(len(tokens) - 0.4, -1)
    ax.text(-0.25, -0.75, "text so far", ha="right", color=COLOURS["grey"])
    ax.text(width / 2, -0.75, "candidates and their probabilities; ▸ goes into the text", ha="center", color="#5a5a5a")
    ax.set_axis_off()
    return ax


def plot_cost(without_cache, with_cache, *, unit, ax=None):
    """Draw what each new token costs without and with a cache, in `unit`, and return the Axes.

    Both are lists of N numbers, one per new token.
    """
    ax = new_axes(ax)
    steps = range(1, len(without_cache) + 1)
    ax.plot(steps, without_cache, "o", markersize=3, color=COLOURS["red"], label="the whole text again")
    ax.plot(steps, with_cache, "s", markersize=3, color=COLOURS["blue"], label="cache: only the new token")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("new token number")
    ax.set_ylabel(f"cost of this token ({unit})")
    ax.legend()
    return ax


def plot_surprise(tokens, surprisal, entropy, *, ax=None):
    """Draw the surprisal of each token beside the entropy before it, both in nats, and return the Axes.

    `tokens` is a list of N strings, `surprisal` and `entropy` are N numbers.
    """
    ax = new_axes(ax, width=max(6, 0.28 * len(tokens) + 1.5), height=4.2)
    places = range(len(tokens))
    ax.bar(places, [float(s) for s in surprisal], color=COLOURS["sky"], label="surprisal of the token")
    ax.plot(places, [float(h) for h in entropy], "o-", color=COLOURS["red"], label="entropy before it", markersize=4)
    ax.set_xticks(places, [visible(t) for t in tokens], rotation=90, fontsize=10)
    ax.set_ylabel("nats")
    ax.margins(x=0.01)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return ax


def plot_own_surprise(rules, *, ax=None):
    """Draw one point per text, its mean surprisal against its mean entropy, in nats per token; return the Axes.

    `rules` maps a decoding rule to (entropies, surprisals), N numbers each. On the diagonal they are equal.
    """
    ax = new_axes(ax, width=6, height=5)
    looks = (("blue", "o"), ("orange", "s"), ("green", "^"))
    most = max(float(x) for pair in rules.values() for values in pair for x in values) * 1.08
    for (rule, (entropies, surprisals)), (colour, marker) in zip(rules.items(), looks, strict=False):
        points = [float(h) for h in entropies], [float(s) for s in surprisals]
        ax.plot(*points, marker, color=COLOURS[colour], alpha=0.8, label=rule)
    ax.plot([0, most], [0, most], "--", color=COLOURS["grey"], label="as surprising as expected")
    ax.set_xlim(0, most)
    ax.set_ylim(0, most)
    ax.set_xlabel("mean entropy before the token (nats)")
    ax.set_ylabel("mean surprisal of the token (nats)")
    ax.legend(loc="upper left", fontsize=11)
    return ax


def rank_class(rank):
    """Return (colour, label) of the class that a rank belongs to; 1 is the model's most probable token."""
    for limit, colour, label in RANK_CLASSES:
        if rank <= limit:
            return colour, label
    return _BEYOND


def plot_trace(tokens, ranks, *, ax=None, columns=76):
    """Draw a text with every token coloured by its rank, which stands below it, and return the Axes.

    `tokens` is a list of N strings, `ranks` N whole numbers (1: the most probable); lines break at `columns` letters.
    """
    rows, column = [[]], 0
    for token, rank in zip(tokens, ranks, strict=True):
        text = visible(token)
        width = max(len(text.replace(r"\$", "$")), len(f"{int(rank):,}"))
        if column and column + width > columns:
            rows, column = [*rows, []], 0
        rows[-1].append((column, width, text, int(rank)))
        column += width + 0.6
    ax = new_axes(ax, width=10, height=0.7 + 0.55 * len(rows))
    for row, line in enumerate(rows):
        for start, width, text, rank in line:
            ax.add_patch(plt.Rectangle((start - 0.2, row - 0.42), width + 0.4, 0.46, color=rank_class(rank)[0], lw=0))
            style = {"ha": "center", "va": "center", "family": "DejaVu Sans Mono"}
            ax.text(start + width / 2, row - 0.2, text, fontsize=9, **style)
            ax.text(start + width / 2, row + 0.22, f"{rank:,}", fontsize=7, color="#5a5a5a", **style)
    classes = [*((colour, label) for _, colour, label in RANK_CLASSES), _BEYOND]
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour, _ in classes]
    names = [f"rank {label}" if label[0].isdigit() else label for _, label in classes]
    ax.legend(handles, names, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=9)
    ax.set_xlim(-0.5, columns + 1)
    ax.set_ylim(len(rows) - 0.4, -0.7)
    ax.set_axis_off()
    return ax
