"""Judged texts: tokens painted by surprisal, perplexities side by side, shared n-grams, decoders, a class's answers."""

import math

import matplotlib.pyplot as plt

from gpt2lessons.plots.style import COLOURS, new_axes, visible

# upper limit of each class in bits, its colour, and the probability at that limit; pale enough for black letters
SURPRISAL_CLASSES = (
    (1, "#F2F2F2", "up to 1 bit (p ≥ 1/2)"),
    (4, "#CFE8F7", "up to 4 bits (p ≥ 1/16)"),
    (8, "#F8DFA8", "up to 8 bits (p ≥ 1/256)"),
    (12, "#F5B77A", "up to 12 bits (p ≥ 1/4,096)"),
    (math.inf, "#EE8A5F", "more than 12 bits"),
)
UNSCORED = ("#FFFFFF", "not predicted")
_LINE = 84  # characters in a line of tokens


def surprisal_class(bits):
    """Return (colour, what it means) for a surprisal in bits; None stands for a token that nothing predicted."""
    return UNSCORED if bits is None else next((c, name) for limit, c, name in SURPRISAL_CLASSES if bits <= limit)


def plot_surprisal(tokens, bits, *, ax=None):
    """Draw N tokens as boxes, in lines, coloured by surprisal, with the bits below each; return the Axes.

    `tokens` are strings, `bits` numbers, None for a token that was not predicted.
    """
    places, x, line = [], 0, 0
    for token, value in zip(tokens, bits, strict=True):
        width = 1 + max(len(visible(token).replace(r"\$", "$")), len(_bits(value)))
        if x and x + width > _LINE:
            x, line = 0, line + 1
        places.append((x, line, width))
        x += width
    ax = new_axes(ax, width=9.5, height=0.9 + 0.62 * (line + 1))
    for token, value, (left, row, width) in zip(tokens, bits, places, strict=True):
        colour, _ = surprisal_class(value)
        ax.add_patch(plt.Rectangle((left + 0.1, row), width - 0.2, 0.48, facecolor=colour, edgecolor="#767676", lw=0.7))
        ax.text(left + width / 2, row + 0.25, visible(token), ha="center", va="center", size=9.5, color="black")
        ax.text(left + width / 2, row + 0.66, _bits(value), ha="center", va="center", size=7.5, color="#333333")
    ax.set(xlim=(0, _LINE), ylim=(line + 0.95, -0.1))
    ax.axis("off")
    present = [UNSCORED] * (None in bits) + [
        (c, n) for _, c, n in SURPRISAL_CLASSES if any(surprisal_class(b) == (c, n) for b in bits if b is not None)
    ]
    boxes = [plt.Rectangle((0, 0), 1, 1, facecolor=c, edgecolor="#767676") for c, _ in present]
    ax.legend(
        boxes, [n for _, n in present], ncols=3, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 0), borderpad=0.2
    )
    return ax


def plot_perplexities(names, values, *, intervals=None, marked=(), ax=None):
    """Draw N perplexities as points on a logarithmic axis, the first on top; return the Axes.

    `intervals` is None or N pairs (low, high), None for a value without one; the names in `marked` are drawn in
    another colour and shape.
    """
    ax = new_axes(ax, width=8, height=0.9 + 0.36 * len(names))
    intervals = [None] * len(names) if intervals is None else intervals
    ends = [*values, *(end for pair in intervals if pair for end in pair)]
    ax.set(xscale="log", xlim=(min(ends) / 1.3, max(ends) * 2.2), xlabel="perplexity (logarithmic)")
    for row, (name, value, pair) in enumerate(zip(names, values, intervals, strict=True)):
        colour, shape = (COLOURS["red"], "D") if name in marked else (COLOURS["blue"], "o")
        if pair:
            ax.plot(pair, [row, row], color=colour, lw=2, solid_capstyle="butt")
        ax.plot(value, row, shape, color=colour)
        place = max(value, pair[1] if pair else 0)
        ax.annotate(
            f"{value:,.0f}" if value >= 1000 else f"{value:.4g}",
            (place, row),
            (8, 0),
            textcoords="offset points",
            va="center",
            size=10,
        )
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x", which="major", color=COLOURS["light"], lw=0.6)
    return ax


def plot_context(lengths, lines, *, ax=None):
    """Draw perplexity against context length; `lines` maps a label to N perplexities; return the Axes."""
    ax = new_axes(ax, width=7, height=3.6)
    for (label, values), marker in zip(lines.items(), "os^Dv", strict=False):
        ax.plot(lengths, values, marker=marker, label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(lengths, [f"{n:,}" for n in lengths])
    ax.minorticks_off()
    ax.set(xlabel="context (tokens)", ylabel="perplexity")
    ax.legend()
    return ax


def plot_overlap(candidate, reference, spans, *, n=1, ax=None):
    """Draw two texts as rows of words, with a bar below each n-gram; return the Axes.

    `spans` is two lists of booleans, for the candidate's and the reference's n-grams from left to right: whether the
    n-gram counts as shared. Shared ones get a thick green bar with a tick, the others a thin grey one.
    """
    rows = (("candidate", candidate, spans[0]), ("reference", reference, spans[1]))
    widths = [[1.2 + 0.62 * len(visible(w)) for w in words] for _, words, _ in rows]
    ax = new_axes(ax, width=9, height=1.1 + 0.5 * (1 + min(n, 3)))
    tall = 1.5 + 0.3 * n
    for line, ((name, words, shared), width) in enumerate(zip(rows, widths, strict=True)):
        lefts = [sum(width[:i]) for i in range(len(words) + 1)]
        top = line * tall
        ax.text(-0.6, top + 0.3, name, ha="right", va="center", size=11)
        for word, left, w in zip(words, lefts, width, strict=False):
            ax.add_patch(plt.Rectangle((left, top), w - 0.15, 0.6, facecolor="#F2F2F2", edgecolor="#767676", lw=0.7))
            ax.text(left + w / 2 - 0.07, top + 0.3, visible(word), ha="center", va="center", size=10, color="black")
        for i, hit in enumerate(shared):
            left, right, y = lefts[i] + 0.1, lefts[i + n] - 0.25, top + 0.78 + 0.3 * (i % n)
            colour, thick = (COLOURS["green"], 9) if hit else (COLOURS["light"], 1.5)
            ax.plot([left, right], [y, y], color=colour, lw=thick, solid_capstyle="butt")
            if hit:
                ax.text(
                    (left + right) / 2, y + 0.06, "✓", ha="center", va="center", size=10, color="white", weight="bold"
                )
    ax.set(xlim=(-0.5, max(map(sum, widths))), ylim=(2 * tall - 0.2, -0.2))
    ax.axis("off")
    return ax


def plot_differences(gaps, *, zero, axes=None):
    """Draw how far systems are from a target, a panel for each measure; return the array of Axes.

    `gaps` maps a measure's name to {system: (difference, low, high)}; all panels have the same systems.
    The dashed line at 0 is the target, whose name is `zero`.
    """
    names = list(next(iter(gaps.values())))
    if axes is None:
        columns = min(2, len(gaps))
        rows = math.ceil(len(gaps) / columns)
        size = (4.6 * columns, rows * (1.1 + 0.32 * len(names)))
        _, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for ax in axes.flat[len(gaps) :]:
        ax.axis("off")
    for ax, (measure, values) in zip(axes.flat, gaps.items(), strict=False):
        ax.axvline(0, color=COLOURS["red"], ls="--", lw=1.5)
        for row, name in enumerate(names):
            middle, low, high = values[name]
            ax.plot([low, high], [row, row], color=COLOURS["blue"], lw=2, solid_capstyle="butt")
            ax.plot(middle, row, "o", color=COLOURS["blue"])
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel(f"{measure}, minus {zero}", fontsize=11)
        ax.margins(x=0.12)
    return axes


def plot_shares(names, right, asked, intervals, *, chance=None, ax=None):
    """Draw shares of right answers with their intervals and the chance level; return the Axes.

    `right` and `asked` are N counts, `intervals` N pairs (low, high); `chance` is a share from 0 to 1.
    """
    ax = new_axes(ax, width=7.5, height=1.1 + 0.42 * len(names))
    for row, (good, total, (low, high)) in enumerate(zip(right, asked, intervals, strict=True)):
        ax.plot([low, high], [row, row], color=COLOURS["blue"], lw=2)
        ax.plot(good / total, row, "o", color=COLOURS["blue"], clip_on=False)
        ax.text(1.02, row, f"{good} of {total}", va="center", size=10)
    if chance is not None:
        ax.axvline(chance, color=COLOURS["red"], ls="--", label=f"guessing: {chance:.2f}")
        ax.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel="share of right answers, with 95 % interval")
    return ax


def _bits(value):
    return "–" if value is None else "∞" if math.isinf(value) else f"{value:.1f}"
