"""Figures of the filters: who is in the nucleus, what several filters keep side by side, and what strategies write.

Probabilities and masses are numbers from 0 to 1; a removed token is hatched, or has the sign ✗, never a colour alone.
"""

import matplotlib.pyplot as plt
import numpy as np

from gpt2lessons.plots.style import COLOURS, new_axes, numbers, visible

_MARKERS = "osD^vP*X"
_LINES = ("-", "--", "-.", ":")
_REMOVED = {"color": "white", "hatch": "////", "edgecolor": COLOURS["light"], "linewidth": 0.5}


def plot_nuclei(tokens, words, sizes, *, ax=None):
    """Draw one column per step of a text: its most probable words from the top, those outside the nucleus hatched.

    `tokens` are what the text really has at each step, `words` the candidates of each step (steps, rows), the most
    probable first, and `sizes` (steps,) how many tokens the nucleus of the step has. A candidate that is the text's own
    token is framed; "+ n" counts what there was no room for.
    """
    tokens, sizes = list(tokens), numbers(sizes).astype(int)
    rows = max(len(column) for column in words)
    _same_length(tokens, sizes, "steps")
    ax = new_axes(ax, width=1.15 * len(tokens) + 0.6, height=0.34 * rows + 1.6)
    for x, (token, column, size) in enumerate(zip(tokens, words, sizes, strict=True)):
        for y, word in enumerate(column):
            inside = y < size
            look = {"color": COLOURS["sky"], "alpha": 0.45} if inside else _REMOVED
            ax.barh(y, 0.94, left=x - 0.47, height=0.9, **look)
            if word == token:
                ax.barh(y, 0.94, left=x - 0.47, height=0.9, fill=False, edgecolor="black", linewidth=1.8)
            shade = "black" if inside else COLOURS["grey"]
            ax.text(x, y, _shorten(visible(word), 10), ha="center", va="center", fontsize=11, color=shade)
        rest = size - len(column)
        ax.text(x, rows, f"+ {rest:,}" if rest > 0 else "", ha="center", va="center", fontsize=11)
    ax.set_xticks(
        np.arange(len(tokens)), [f"{_shorten(visible(t), 10)}\n{n:,}" for t, n in zip(tokens, sizes, strict=True)]
    )
    ax.set_yticks(np.arange(rows), np.arange(1, rows + 1))
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set(xlim=(-0.6, len(tokens) - 0.4), ylim=(rows + 0.6, -0.6), ylabel="rank")
    ax.set_xlabel("the token that the text really has (framed), and the size of the nucleus")
    return ax


def plot_counts(tokens, counts, *, ax=None):
    """Draw how many tokens each filter keeps at each step of a text, log scale; `counts` {name: one per token}."""
    tokens = list(tokens)
    ax = new_axes(ax, width=max(7, 0.32 * len(tokens) + 1), height=4)
    for i, (name, values) in enumerate(counts.items()):
        _same_length(tokens, values, "tokens")
        ax.plot(numbers(values), linestyle=_LINES[i % 4], marker=_MARKERS[i % 8], markersize=6, label=name)
    ax.set(yscale="log", ylabel="tokens kept (log scale)", xlim=(-0.6, len(tokens) - 0.4))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    _name_tokens(ax, tokens)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(counts)), borderaxespad=0.2)
    return ax


def plot_cumulative(distributions, *, k, p, title="", ax=None):
    """Draw the probability of the 1, 2, 3, … most probable tokens together, log ranks.

    `distributions` {name: probs (V,)}, in any order of tokens.
    A vertical line at rank `k` and a horizontal one at `p` are where top-k and top-p cut.
    A square marks what the `k` tokens hold, a dot the first rank at which the sum reaches `p`.
    """
    ax = new_axes(ax, width=8.5, height=5)
    for i, (name, probs) in enumerate(distributions.items()):
        sums = np.sort(numbers(probs))[::-1].cumsum()
        (line,) = ax.plot(np.arange(1, len(sums) + 1), sums, linestyle=_LINES[i % 4], label=name)
        reached = min(int((sums < p).sum()), len(sums) - 1)
        places, shares = [k, reached + 1], [sums[k - 1], sums[reached]]
        ax.scatter(places[:1], shares[:1], marker="s", color=line.get_color(), zorder=3)
        ax.scatter(places[1:], shares[1:], marker="o", color=line.get_color(), zorder=3)
    ax.axvline(k, color="black", linewidth=1)
    ax.axhline(p, color="black", linewidth=1)
    ax.text(k * 1.1, 0.02, f"top-k, k = {k}", va="bottom")
    ax.text(1.05, p + 0.01, f"top-p, p = {p:g}", va="bottom")
    ax.set(xscale="log", ylim=(0, 1.02), xlabel="rank of the token (log scale)")
    ax.set(xlim=(0.9, 1.1 * len(sums)), ylabel="probability so far")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    look = {"title": title, "alignment": "left", "fontsize": 10}
    columns = 2 if max(map(len, distributions)) <= 45 else 1  # wider than the axes otherwise
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, **look)
    return ax


def plot_token_probs(texts, *, axes=None):
    """Draw the probability of each token of some texts, one panel per text; `texts` {name: (T,)}.

    Returns the array of Axes.
    """
    if axes is None:
        size = (8.5, 1.5 * len(texts) + 0.6)
        _, axes = plt.subplots(len(texts), 1, figsize=size, sharex=True, sharey=True)
    axes = np.atleast_1d(axes)
    for ax, (name, probs) in zip(axes, texts.items(), strict=True):
        values = numbers(probs)
        ax.bar(np.arange(1, len(values) + 1), values, width=0.8, color=COLOURS["blue"])
        ax.set(ylim=(0, 1), yticks=[0, 0.5, 1], title=name)
    axes[-1].set(xlabel="token of the continuation", xlim=(0.4, len(values) + 0.6))
    axes[0].figure.supylabel("probability under the model", fontsize=12)
    return axes


def plot_kept(settings, counts, *, label, ax=None):
    """Draw how many tokens filters keep at each of some settings, log scale; the axis is `label`.

    `settings` (N,) are numbers, such as temperatures; `counts` {name: (N,)}.
    """
    ax = new_axes(ax, width=7, height=4)
    for i, (name, values) in enumerate(counts.items()):
        _same_length(settings, values, name)
        look = {"linestyle": _LINES[i % 4], "marker": _MARKERS[i % 8], "label": name}
        ax.plot(numbers(settings), numbers(values), **look)
    ax.set(yscale="log", xlabel=label, ylabel="tokens kept (log scale)", xticks=list(settings))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper left")
    return ax


def plot_survivors(words, filters, *, title="", ax=None):
    """Draw a table: one column per word, one row per filter with the probabilities it leaves; ✗ where they are 0.

    `filters` {name: probs (words,)}; the first row is usually the model's own distribution.
    """
    words = list(words)
    ax = new_axes(ax, width=0.8 * len(words) + 2.2, height=0.42 * len(filters) + 1)
    for y, (name, probs) in enumerate(filters.items()):
        _same_length(words, probs, name)
        for x, p in enumerate(numbers(probs)):
            look = {"color": COLOURS["sky"], "alpha": 0.15 + 0.6 * p} if p > 0 else _REMOVED
            ax.barh(y, 0.94, left=x - 0.47, height=0.88, **look)
            ax.text(x, y, f"{p:.3f}".lstrip("0") if 0 < p < 1 else ("1" if p else "✗"), ha="center", va="center")
    ax.set_xticks(np.arange(len(words)), [visible(word) for word in words])
    ax.set_yticks(np.arange(len(filters)), list(filters))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set(xlim=(-0.6, len(words) - 0.4), ylim=(len(filters) - 0.4, -0.6), title=title)
    return ax


def plot_pipeline(words, stages, *, axes=None):
    """Draw the distribution after each stage, side by side; `stages` {name: probs (words,)}, the model's own first.

    A word that a stage has removed is marked ✗ there and in all that follow. Returns the array of Axes.
    """
    words = list(words)
    if axes is None:
        _, axes = plt.subplots(
            1, len(stages), figsize=(2.5 * len(stages) + 0.8, 0.7 + 0.4 * len(words)), sharey=True, sharex=True
        )
    axes = np.atleast_1d(axes)
    for ax, (name, probs) in zip(axes, stages.items(), strict=True):
        _same_length(words, probs, name)
        values = numbers(probs)
        ax.barh(np.arange(len(words)), values, color=COLOURS["blue"], height=0.7)
        for place, p in enumerate(values):
            wide = p > 0.65  # no room to the right of the bar: the number stands in it
            look = {"ha": "right", "color": "white"} if wide else {"ha": "left", "color": "black"}
            label = f"{p:.3f}" if p > 0 else "✗"
            ax.text(p - 0.02 if wide else p + 0.02, place, label, va="center", fontsize=11, **look)
        ax.set(xlim=(0, 1), ylim=(len(words) - 0.4, -0.6), xticks=[0, 0.5, 1], xlabel="probability", title=name)
        ax.set_yticks(np.arange(len(words)), [visible(word) for word in words])
    return axes


def plot_strategies(names, measures, *, axes=None):
    """Draw one panel per measure and one line per strategy: a mean with its interval, or a lone point (one text).

    `measures` {label: (means, lows, highs)}, one number per name each; nan in `lows` and `highs` where there is no
    interval, drawn as an open diamond. Returns the array of Axes.
    """
    names = list(names)
    if axes is None:
        height = 0.34 * len(names) + 1.1
        size = (3.1 * len(measures) + 1.6, height)
        figure, axes = plt.subplots(1, len(measures), figsize=size, sharey=True, layout="none")
        # inches for the tick labels and the axis label below, and for a title above
        figure.subplots_adjust(left=0.2, right=0.98, bottom=0.65 / height, top=1 - 0.4 / height, wspace=0.15)
    axes = np.atleast_1d(axes)
    places = np.arange(len(names))
    for ax, (label, values) in zip(axes, measures.items(), strict=True):
        means, lows, highs = (numbers(v) for v in values)
        _same_length(names, means, label)
        lone = np.isnan(lows)
        ax.hlines(places[~lone], lows[~lone], highs[~lone], color=COLOURS["blue"], linewidth=2)
        ax.plot(means[~lone], places[~lone], "o", color=COLOURS["blue"])
        ax.plot(means[lone], places[lone], "D", color="black", markerfacecolor="white", clip_on=False)
        ax.grid(axis="y", color=COLOURS["light"], linewidth=0.8)
        ax.set_axisbelow(True)
        ax.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
        ax.margins(x=0.08)
        ax.set_yticks(places, names)
    return axes


def _name_tokens(ax, tokens):
    ax.set_xticks(np.arange(len(tokens)), [visible(token) for token in tokens], rotation=90, fontsize=11)


def _shorten(text, limit):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _same_length(items, values, what):
    if len(items) != len(values):
        raise ValueError(f"{what}: {len(items)} names need {len(items)} numbers, one each, not {len(values)}")
