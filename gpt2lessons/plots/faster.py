"""What limits speed and what lifts it: the roofline, batches, errors of number formats, speculation's rounds."""

from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from gpt2lessons.plots.style import COLOURS, new_axes, visible

_STYLES = (("blue", "o", "-"), ("red", "s", "--"), ("green", "^", "-."), ("purple", "D", ":"), ("grey", "v", "-"))
FATES = {
    "accepted": ("green", None, "✓"),
    "refused": ("red", "///", "✗"),
    "never looked at": ("light", "...", ""),
    "added by the target": ("sky", None, "+"),
}


def plot_roofline(bandwidth, peak, points, *, ax=None):
    """Draw a machine's roofline with measured points, and return the Axes.

    `bandwidth` in bytes per second, `peak` in FLOP per second; `points` maps a label to (intensities in FLOP per
    byte, FLOP per second, the text beside each point), N each.
    """
    ax = new_axes(ax, height=4.6)
    ridge = float(peak) / float(bandwidth)
    every = [float(x) for intensities, *_ in points.values() for x in intensities]
    low, high = min([*every, ridge]) / 2, max([*every, ridge]) * 3
    ax.plot([low, ridge, high], [low * bandwidth, peak, peak], color="black", linewidth=2, label="roof")
    ax.axvline(ridge, color=COLOURS["grey"], linestyle=":", linewidth=1.2)
    ax.text(ridge, low * bandwidth, f" ridge:\n {ridge:.3g} FLOP per byte", va="bottom", fontsize=10)
    for (label, (xs, ys, texts)), (colour, marker, _) in zip(points.items(), _STYLES, strict=False):
        ax.plot([float(x) for x in xs], [float(y) for y in ys], marker, color=COLOURS[colour], label=label)
        for x, y, text in zip(xs, ys, texts, strict=True):
            ax.annotate(text, (float(x), float(y)), (0, -16), textcoords="offset points", fontsize=10, ha="center")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_xlabel("arithmetic intensity (FLOP per byte, log scale)")
    ax.set_ylabel("speed (FLOP per second, log scale)")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=10)
    return ax


def plot_batches(batches, curves, *, ax=None):
    """Draw, relative to one text, how time and tokens per second grow with the batch, and return the Axes.

    `batches` are N numbers of texts, `curves` maps a label to N ratios to the first.
    """
    ax = new_axes(ax, height=3.8)
    batches = [int(b) for b in batches]
    ax.plot(batches, batches, color=COLOURS["light"], linewidth=5, label="the batch itself", solid_capstyle="round")
    _curves(ax, batches, curves)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(batches, batches)
    ax.set_yticks(batches, [f"{b}×" for b in batches])
    ax.set_xlabel("texts in the batch (log scale)")
    ax.set_ylabel("ratio to one text\n(log scale)")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=10)
    return ax


def plot_errors(names, errors, *, ax=None):
    """Draw the relative error of each of M matrices under several number formats, and return the Axes.

    `names` are the matrices', `errors` maps a format to M ratios (norm of the error / norm of the matrix).
    """
    ax = new_axes(ax, width=8.5, height=3.6)
    for (label, values), (colour, marker, _) in zip(errors.items(), _STYLES, strict=False):
        ax.plot(range(len(names)), [float(v) for v in values], marker, color=COLOURS[colour], label=label)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator([1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1]))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    ax.yaxis.set_minor_formatter(NullFormatter())
    step = max(1, len(names) // 25)
    ax.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=8)
    ax.set_xlabel("matrix")
    ax.set_ylabel("relative error\n(log scale)")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=10)
    return ax


def plot_overlap(words, p, q, *, ax=None):
    """Draw two distributions and what they share, word by word, and return the Axes.

    `p` (V numbers) is the target's, `q` the draft's. What both give is accepted; what p has more is drawn after a
    refusal; what q has more is refused.
    """
    ax = new_axes(ax, height=3.4)
    p, q = [float(x) for x in p], [float(x) for x in q]
    both = [min(pair) for pair in zip(p, q, strict=True)]
    parts = [
        ("both: accepted", both, [0] * len(p), "green", None),
        ("target only: drawn after a refusal", [a - b for a, b in zip(p, both, strict=True)], both, "sky", "\\\\\\"),
        ("draft only: refused", [a - b for a, b in zip(q, both, strict=True)], both, "red", "///"),
    ]
    for label, heights, bottoms, colour, hatch in parts:
        ax.bar(words, heights, bottom=bottoms, color=COLOURS[colour], hatch=hatch, edgecolor="white", label=label)
    for i, (a, b) in enumerate(zip(p, q, strict=True)):
        ax.text(i, max(a, b), f"p {a:.2f}, q {b:.2f}", ha="center", va="bottom", fontsize=10)
    ax.set_ylim(0, max(p + q) * 1.15)
    ax.set_xlabel("next word")
    ax.set_ylabel("probability")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=10)
    return ax


def plot_speedups(alphas, curves, points, *, ax=None):
    """Draw predicted speeds over the rate of acceptance (log scale), with drafts as predicted and as measured.

    `alphas` are N rates, `curves` maps a label (a cost) to N speeds; `points` maps a draft to (rate, predicted speed,
    measured speed): a hollow diamond and a filled circle. Returns the Axes.
    """
    ax = new_axes(ax, height=4.6)
    ax.axhline(1, color="black", linewidth=1)
    _curves(ax, alphas, curves, markers=False)
    marks = (("predicted", "D", "white", 11), ("measured", "o", "black", 6))
    for place, (name, (x, *speeds)) in enumerate(points.items()):
        x, speeds = float(x), [float(speed) for speed in speeds]
        ax.plot([x, x], speeds, color="black", linewidth=1, zorder=3)
        for (label, marker, inside, size), y in zip(marks, speeds, strict=True):
            label = f"drafts, {label}" if place == 0 else None
            style = {"color": "black", "markerfacecolor": inside, "markersize": size, "zorder": 4}
            ax.plot(x, y, marker, linestyle="none", label=label, **style)
        ax.annotate(name, (x, (speeds[0] * speeds[1]) ** 0.5), (12, -4), textcoords="offset points", fontsize=12)
    ax.set_xlim(0, 1)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}×")
    ax.set_xlabel("α: rate at which guesses are accepted")
    ax.set_ylabel("speed, plain decoding = 1\n(log scale)")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=10)
    return ax


def plot_rounds(rounds, *, ax=None):
    """Draw speculation's rounds as rows of tokens with their fates, and return the Axes.

    `rounds` is a list of lists of (token text, fate), a fate being a key of `FATES`.
    """
    widest = max(len(row) for row in rounds)
    ax = new_axes(ax, width=max(6.5, 1.35 * widest), height=1 + 0.42 * len(rounds))
    for y, row in enumerate(rounds):
        for x, (token, fate) in enumerate(row):
            colour, hatch, sign = FATES[fate]
            ax.barh(y, 0.94, left=x, height=0.84, color=COLOURS[colour], hatch=hatch, edgecolor="white", alpha=0.55)
            shown = visible(token)
            shown = shown if len(shown) <= 10 else f"{shown[:9]}…"
            ax.text(x + 0.47, y, f"{sign} {shown}".strip(), ha="center", va="center", fontsize=9)
    key = [
        Patch(facecolor=COLOURS[colour], hatch=hatch, edgecolor="white", alpha=0.55, label=f"{sign} {fate}".strip())
        for fate, (colour, hatch, sign) in FATES.items()
    ]
    ax.set_xlim(0, widest)
    ax.set_ylim(len(rounds) - 0.4, -0.6)
    ax.set_yticks(range(len(rounds)), range(1, len(rounds) + 1))
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_ylabel("round = one reading\nby the target")
    ax.legend(
        handles=key, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=9, handlelength=1.5, columnspacing=1
    )
    return ax


def _curves(ax, xs, curves, markers=True):
    for (label, ys), (colour, marker, line) in zip(curves.items(), _STYLES, strict=False):
        xs, ys = [float(x) for x in xs], [float(y) for y in ys]
        ax.plot(xs, ys, line, marker=marker if markers else None, color=COLOURS[colour], label=label, markersize=5)
