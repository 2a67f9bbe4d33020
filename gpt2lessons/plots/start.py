"""The loop in one picture: a text as tokens, the model, the probabilities of what comes next, and back again."""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from gpt2lessons.plots.next_token import plot_next_token
from gpt2lessons.plots.style import COLOURS, visible


def plot_loop(tokens, ids, words, probs, *, chosen=0, label="GPT-2", axes=None):
    """Draw the loop that writes a text, and return the three Axes: the text so far, the model, what may come next.

    `tokens` and `ids` are the text so far (lists of T strings and numbers), `words` and `probs` some next tokens with
    their probabilities (lists of N), `chosen` the index of the one that was picked; `label` names the model.
    """
    if axes is None:
        height = 1.2 + 0.36 * max(len(tokens), len(words))
        ratios = {"width_ratios": [1.15, 1.15, 1.9]}
        axes = plt.subplots(1, 3, figsize=(10, height), gridspec_kw=ratios)[1]
    text, model, after = axes
    _draw_tokens(text, tokens, ids)
    box = FancyBboxPatch((0.16, 0.3), 0.62, 0.4, boxstyle="round,pad=0.04", fc="#EAF4FB", ec=COLOURS["blue"])
    model.add_patch(box)
    model.text(0.47, 0.5, label, ha="center", va="center", fontsize=11)
    model.set(xlim=(0, 1), ylim=(0, 1), title="2  the model")
    model.axis("off")
    plot_next_token(words, probs, chosen=chosen, ax=after)
    after.set_title("3  what may come next; a rule picks one")
    arrow = {"arrowstyle": "-|>", "mutation_scale": 18, "color": COLOURS["grey"], "linewidth": 1.6}
    for start, end in ((-0.02, 0.1), (0.84, 0.98)):
        model.add_artist(FancyArrowPatch((start, 0.5), (end, 0.5), clip_on=False, **arrow))
    return axes


def _draw_tokens(ax, tokens, ids):
    for row, (token, number) in enumerate(zip(tokens, ids, strict=True)):
        box = {"boxstyle": "round,pad=0.25", "fc": "#FFF3DA", "ec": COLOURS["orange"]}
        ax.text(0.06, row, visible(token), va="center", bbox=box)
        ax.text(0.9, row, f"{number}", va="center", ha="right", color=COLOURS["grey"])
    row = len(tokens)
    box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": COLOURS["orange"], "ls": "--"}
    ax.text(0.06, row, "what 3 picked goes here; repeat", va="center", fontsize=10, bbox=box)
    ax.set(xlim=(0, 1), ylim=(row + 0.7, -0.7), title="1  the text, as tokens")
    ax.axis("off")
