"""Figures of top-k: the ranks of the tokens that were drawn, and what a cut costs at every k.

Ranks are whole numbers, 1 for the most probable token; shares are numbers from 0 to 1.
"""

import numpy as np

from gpt2lessons.plots.style import COLOURS, new_axes, numbers, visible

_MARKERS, _LINES = "osD^", ("-", "--", "-.", ":")


def plot_ranks(tokens, ranks, cut, *, ax=None):
    """Draw one dot per token of a text at its rank, log scale; those beyond rank `cut` are labelled red diamonds.

    Raises ValueError unless there is one rank per token.
    """
    tokens, ranks = list(tokens), numbers(ranks)
    if ranks.shape != (len(tokens),):
        raise ValueError(f"{len(tokens)} tokens need {len(tokens)} ranks, one each, not {ranks.shape}")
    ax = new_axes(ax, width=max(6, 0.36 * len(tokens) + 1), height=4.2)
    places, beyond = np.arange(len(tokens)), ranks > cut
    ax.axhline(cut, color="black", linewidth=1.2)
    ax.text(len(tokens) - 0.4, cut * 1.12, f"rank {cut}", ha="right", va="bottom", fontsize=11)
    ax.vlines(places, 1, ranks, color=COLOURS["light"], zorder=0)
    ax.plot(places[~beyond], ranks[~beyond], "o", color=COLOURS["blue"], markersize=7)
    ax.plot(places[beyond], ranks[beyond], "D", color=COLOURS["red"], markersize=8)
    for place, rank in zip(places[beyond], ranks[beyond], strict=True):
        ax.text(place, rank * 1.35, f"{rank:,.0f}", ha="center", va="bottom", fontsize=11)
    ax.set_xticks(places, [visible(token) for token in tokens], rotation=90)
    ax.set(yscale="log", ylim=(0.8, 4 * max(ranks.max(), cut)), xlim=(-0.6, len(tokens) - 0.4))
    ax.set_ylabel("rank of the token (log scale)")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return ax


def plot_shares(ks, curves, *, ax=None):
    """Draw a share of tokens against k (log scale), one curve per name in `curves` {name: (means, lows, highs)}.

    The vertical bars go from `lows` to `highs`, the ends of an interval, one number per k.
    """
    ax = new_axes(ax, width=8, height=4.4)
    ks = numbers(ks)
    for i, (name, values) in enumerate(curves.items()):
        means, lows, highs = (numbers(v) for v in values)
        style = {"marker": _MARKERS[i % 4], "linestyle": _LINES[i % 4], "linewidth": 2.2}
        ax.errorbar(ks, means, np.stack([means - lows, highs - means]), label=name, capsize=3, **style)
    ax.set(xscale="log", xlabel="k (log scale)", ylabel="share of tokens", ylim=(0, None))
    ax.set_xticks(ks, [f"{k:,.0f}" for k in ks])
    ax.minorticks_off()
    ax.legend()
    return ax
