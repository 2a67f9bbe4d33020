"""Texts cut into tokens: the levels from text to ids, merges step by step, what a text costs, batches with padding."""

import matplotlib.pyplot as plt

from gpt2lessons.plots.style import COLOURS, new_axes, visible

# pale enough for black letters; neighbours differ, and every box has an edge as well, so colour is never alone
SHADES = ("#CFE8F7", "#F8DFA8", "#C2E8DB", "#F2D3E2")
_PADDING, _PICKED = "#B8B8B8", COLOURS["red"]
_LINE = 84  # characters in a line of tokens


def plot_levels(text, pieces, tokens, ids, *, ax=None):
    """Draw one text as characters, pieces, bytes, tokens and ids, a row of boxes for each, and return the Axes.

    `pieces` is a list of str and `tokens` a list of bytes objects; joined, each of them is the text.
    `ids` has a number for each token. A box is as wide as the bytes that it covers.
    """
    rows = (
        ("text", text, [len(character.encode()) for character in text]),
        ("pieces", pieces, [len(piece.encode()) for piece in pieces]),
        ("bytes", [f"{byte:02x}" for byte in text.encode()], [1] * len(text.encode())),
        ("tokens", [token.decode("utf8", "backslashreplace") for token in tokens], list(map(len, tokens))),
        ("ids", list(map(str, ids)), list(map(len, tokens))),
    )
    levels = []
    for name, labels, widths in rows:
        cells = zip(labels, widths, strict=True)
        levels.append((name, [(label, width, SHADES[i % 4], False) for i, (label, width) in enumerate(cells)]))
    return _draw_levels(levels, ax)


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


def plot_message_cost(names, pieces, tokens, *, ax=None):
    """Draw what one message costs in N languages, a bar for each, and return the Axes.

    `pieces` and `tokens` are N counts each: a dark bar for the pieces that the first cut makes, which no merge can
    join, and a pale one behind it for the tokens that they become.
    """
    ax = new_axes(ax, width=8.5, height=1.2 + 0.42 * len(names))
    places = range(len(names))
    ax.barh(places, tokens, color=COLOURS["sky"], label="tokens", hatch="//", edgecolor="white")
    ax.barh(places, pieces, color=COLOURS["blue"], label="pieces", height=0.4)
    for place, few, many in zip(places, pieces, tokens, strict=True):
        ax.text(many, place, f"  {many} tokens from {few} pieces", va="center", size=11)
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlabel("GPT-2's tokens for the same message")
    ax.set_xlim(0, 1.45 * max(tokens))
    ax.legend(loc="upper right")
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
