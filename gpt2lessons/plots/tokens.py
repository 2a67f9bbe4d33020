"""Texts cut into tokens: the levels from text to ids, merges step by step, what a text costs, batches with padding."""

import matplotlib.pyplot as plt

from gpt2lessons.plots.style import COLOURS, new_axes, visible

# pale enough for black letters; neighbours differ, and every box has an edge as well, so colour is never alone
SHADES = ("#CFE8F7", "#F8DFA8", "#C2E8DB", "#F2D3E2")
_PADDING, _PICKED = "#B8B8B8", COLOURS["red"]
_LINE = 84  # characters in a line of tokens


def plot_levels(levels, *, ax=None):
    """Draw one text cut in several ways, one row of boxes above the other, and return the Axes.

    `levels` is a list of (name, cells), the first on top; `cells` is a list of (label, bytes): what is written into a
    box and how many bytes of the text the box covers. All rows cover the same bytes.
    """
    coloured = [
        (name, [(label, width, SHADES[i % len(SHADES)], False) for i, (label, width) in enumerate(cells)])
        for name, cells in levels
    ]
    return _draw_levels(coloured, ax)


def _draw_levels(levels, ax):
    """Draw rows of cells (label, bytes, fill, whether it has a thick frame), from the left."""
    total = sum(cell[1] for cell in levels[0][1])
    ax = new_axes(ax, width=min(11, 2.2 + 0.42 * total), height=0.3 + 0.55 * len(levels))
    inches = max(7.5, 0.9 * ax.figure.get_size_inches()[0])  # about how wide the rows become
    for row, (name, cells) in enumerate(levels):
        left = 0
        for label, width, fill, picked in cells:
            _box(ax, left, row, width, label, fill, picked=picked, room=inches * width / max(total, 1))
            left += width
        ax.text(-0.015 * total, row, name, ha="right", va="center")
    return _blank(ax, total, len(levels))


def plot_merges(stages, ranks, *, ax=None):
    """Draw how merges turn bytes into tokens, one row per merge, the new token framed; return the Axes.

    `stages` is a list of N + 1 lists of bytes objects, the single bytes first; `ranks` are the N ranks, 0 learnt first.
    """
    names = ["bytes", *(f"merge {rank:,}" for rank in ranks)]
    rows, before = [], None
    for name, stage in zip(names, stages, strict=True):
        ends = [sum(map(len, stage[: i + 1])) for i in range(len(stage))]
        spans = [(end - len(token), end) for token, end in zip(stage, ends, strict=True)]
        new = [before is not None and span not in before for span in spans]
        labels = [token.decode("utf8", "backslashreplace") for token in stage]
        fills = [SHADES[1] if n else SHADES[0] for n in new]
        rows.append((name, list(zip(labels, map(len, stage), fills, new, strict=True))))
        before = spans
    return _draw_levels(rows, new_axes(ax, width=8, height=0.3 + 0.5 * len(rows)))


def plot_tokens(tokens, ids, *, picked=None, ax=None):
    """Draw tokens as boxes, in lines, each with its id below, and return the Axes.

    `tokens` is a list of N strings, `ids` N numbers; the token at index `picked` gets a thick frame.
    """
    places, x, line = [], 0, 0
    for token, number in zip(tokens, ids, strict=True):
        width = 1 + max(len(_shown(token)), len(str(int(number))))
        if x and x + width > _LINE:
            x, line = 0, line + 1
        places.append((x, line, width))
        x += width
    ax = new_axes(ax, width=9.5, height=0.3 + 0.75 * (line + 1))
    for i, (token, number, (x, y, width)) in enumerate(zip(tokens, ids, places, strict=True)):
        _box(ax, x, y, width, token, SHADES[i % len(SHADES)], picked=i == picked, size=9.5, height=0.48)
        ax.text(x + width / 2, y + 0.4, int(number), ha="center", va="center", size=8, color="#333333")
    return _blank(ax, _LINE, line + 1)


def plot_token_cost(names, tokens_per_character, tokens_per_byte, *, axes=None):
    """Draw tokens per character and per byte, a bar for each of N texts, and return the two Axes."""
    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(9, 0.9 + 0.32 * len(names)), sharey=True)
    sides = ((tokens_per_character, "tokens per character", "blue"), (tokens_per_byte, "tokens per byte", "orange"))
    for ax, (values, label, colour) in zip(axes, sides, strict=True):
        values = [float(v) for v in values]
        ax.barh(range(len(names)), values, color=COLOURS[colour])
        for i, value in enumerate(values):
            ax.text(value, i, f" {value:.2f}", va="center", size=10)
        ax.set_xlabel(label)
        ax.set_xlim(0, 1.18 * max(values))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    return axes


def plot_learning(lengths, *, ax=None):
    """Draw the length of a text, in tokens, after 0, 1, 2, … merges, and return the Axes."""
    ax = new_axes(ax, height=3.2)
    ax.plot(range(len(lengths)), lengths, marker=".")
    ax.set_xlabel("merges learnt")
    ax.set_ylabel("length of the text (tokens)")
    ax.set_ylim(0, 1.05 * max(lengths))
    return ax


def plot_batch(tokens, mask, positions=None, *, ax=None):
    """Draw a batch as a grid, padding grey and hatched, and return the Axes.

    `tokens` is B lists of T strings; `mask` (B, T) is 1 for real tokens, 0 for padding; `positions` (B, T), if given,
    is written below each token.
    """
    rows, columns = len(tokens), len(tokens[0])
    ax = new_axes(ax, width=1.2 + 0.95 * columns, height=0.5 + 0.7 * rows)
    for r in range(rows):
        for c in range(columns):
            real = bool(mask[r][c])
            label = tokens[r][c] if real else "padding"
            note = "" if positions is None or not real else f"position {int(positions[r][c])}"
            fill = SHADES[r % len(SHADES)] if real else _PADDING
            size = 10 if real else 9
            _box(ax, c, r, 1, label, fill, size=size, height=0.8, lift=0.1 if note else 0, hatch=None if real else "//")
            ax.text(c + 0.5, r + 0.22, note, ha="center", va="center", size=8, color="#333333")
        ax.text(-0.08, r, f"row {r}", ha="right", va="center")
    return _blank(ax, columns, rows)


def _shown(token):
    """Return the token as it is drawn, for counting characters (the dollar sign is drawn without its backslash)."""
    return visible(token).replace(r"\$", "$")


def _box(ax, x, y, width, label, fill, *, picked=False, size=11, height=0.8, lift=0, hatch=None, room=None):
    edge = (_PICKED, 2.5) if picked else ("#444444", 0.8)
    gap = min(0.06, 0.06 * width)
    box = plt.Rectangle(
        (x + gap / 2, y - height / 2), width - gap, height, facecolor=fill, edgecolor=edge[0], linewidth=edge[1]
    )
    box.set_zorder(3 if picked else 2)
    if hatch:
        box.set(hatch=hatch, edgecolor="#8A8A8A")
    ax.add_patch(box)
    if room is not None:  # inches that the box is wide: long labels are written smaller
        size = max(5.5, min(size, 95 * room / max(len(_shown(label)), 1)))
    ground = {"facecolor": fill, "edgecolor": "none", "pad": 1} if hatch else None
    ax.text(x + width / 2, y - lift, visible(label), ha="center", va="center", size=size, zorder=4, bbox=ground)


def _blank(ax, width, rows):
    ax.set_xlim(-0.005 * width, 1.005 * width)
    ax.set_ylim(rows - 0.4, -0.55)
    ax.axis("off")
    return ax
