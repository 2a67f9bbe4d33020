"""Loops and bans: how a phrase grows more probable, which heads copy it, and what it costs to forbid it."""

from gpt2lessons.plots.style import COLOURS, new_axes, visible


def plot_phrase(tokens, probs, *, ax=None):
    """Draw the probability of every token of a phrase at every repetition as a map, and return the Axes.

    `tokens` is a list of L strings, `probs` (N, L): one row per repetition.
    """
    rows = [[float(p) for p in row] for row in probs]
    ax = new_axes(ax, width=max(5, 0.85 * len(tokens) + 1.5), height=0.8 + 0.36 * len(rows))
    ax.imshow(rows, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for i, row in enumerate(rows):
        for j, p in enumerate(row):
            colour = "white" if p > 0.6 else "black"
            ax.text(j, i, f"{p:.2f}" if p >= 0.005 else "<.01", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(len(tokens)), [visible(t) for t in tokens], rotation=30, ha="right")
    ax.set_yticks(range(len(rows)), range(1, len(rows) + 1))
    ax.set_ylabel("repetition")
    ax.set_xlabel("token of the phrase, with its probability")
    ax.spines[:].set_visible(False)
    return ax


def plot_chosen(probs, *, starts=(), ax=None):
    """Draw the probability of the chosen token at every step, and return the Axes.

    `probs` is N numbers; `starts` are the steps (from 1) at which a repeated phrase begins again.
    """
    ax = new_axes(ax, height=3.4)
    probs = [float(p) for p in probs]
    for i, start in enumerate(starts):
        label = "the phrase begins again" if i == 0 else None
        ax.axvline(start, color=COLOURS["orange"], linewidth=1.2, linestyle="--", label=label)
    ax.plot(range(1, len(probs) + 1), probs, "o-", color=COLOURS["blue"], markersize=3, linewidth=1)
    ax.set_ylim(0, 1.02)
    ax.set_xlim(0, len(probs) + 1)
    ax.set_xlabel("new token number")
    ax.set_ylabel("probability of the\nchosen token")
    if starts:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1))
    return ax


def plot_ban(steps, wanted, taken, prices, *, ax=None):
    """Draw what a ban cost at every step where it changed the choice, and return the Axes.

    `steps` are S step numbers, `wanted` and `taken` S token texts (the forbidden one, the one chosen instead),
    `prices` S numbers in nats.
    """
    ax = new_axes(ax, width=8.5, height=0.9 + 0.28 * len(steps))
    prices = [float(p) for p in prices]
    ax.barh(range(len(prices)), prices, color=COLOURS["red"])
    for i, (price, new) in enumerate(zip(prices, taken, strict=True)):
        ax.text(price, i, f" {price:.2f}   → {visible(new)}", va="center", fontsize=10)
    labels = [f"step {step}:  {visible(old)}" for step, old in zip(steps, wanted, strict=True)]
    ax.set_yticks(range(len(prices)), labels, fontsize=10)
    ax.set_ylim(len(prices) - 0.4, -0.6)
    ax.set_xlim(0, max(prices, default=1) * 1.35)
    ax.set_xlabel("price of the ban (nats)")
    return ax


def plot_paths(paths, probs, marks, *, ax=None):
    """Draw the probability of complete sequences as bars, some of them marked, and return the Axes.

    `paths` is a list of N texts, `probs` N numbers, `marks` maps a text to what it is ("greedy", "best").
    """
    ax = new_axes(ax, height=0.8 + 0.32 * len(paths))
    order = sorted(range(len(paths)), key=lambda i: -float(probs[i]))
    for place, i in enumerate(order):
        mark, p = marks.get(paths[i]), float(probs[i])
        ax.barh(place, p, color=COLOURS["orange" if mark else "light"], hatch="//" if mark else None, edgecolor="white")
        ax.text(p, place, f" {p:.3f}" + (f"  ◀ {mark}" if mark else ""), va="center")
    ax.set_yticks(range(len(paths)), [paths[i] for i in order])
    ax.invert_yaxis()
    ax.set_xlim(0, max(float(p) for p in probs) * 1.3)
    ax.set_xlabel("probability of the whole sequence")
    return ax


def plot_heads(scores, *, ax=None):
    """Draw the attention that each head pays to what followed an earlier copy, as a map, and return the Axes.

    `scores` (layers, heads) are shares from 0 to 1; each stands in its place.
    """
    rows = [[float(s) for s in row] for row in scores]
    ax = new_axes(ax, width=max(5, 0.65 * len(rows[0]) + 2), height=1.2 + 0.42 * len(rows))
    image = ax.imshow(rows, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for layer, row in enumerate(rows):
        for head, share in enumerate(row):
            colour = "white" if share > 0.6 else "black"
            ax.text(head, layer, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=10)
    ax.set_xticks(range(len(rows[0])))
    ax.set_yticks(range(len(rows)))
    ax.set_xlabel("head")
    ax.set_ylabel("layer")
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label="share of attention")
    return ax
