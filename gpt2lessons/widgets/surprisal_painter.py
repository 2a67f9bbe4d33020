"""The surprisal painter: type any text and see which of its tokens the model expected."""

import ipywidgets

from gpt2lessons.plots.evaluation import SURPRISAL_CLASSES, UNSCORED, plot_surprisal, surprisal_class
from gpt2lessons.plots.style import visible
from gpt2lessons.scoring import bits_per_byte, surprisal
from gpt2lessons.widgets.base import Twin, escape, token_html

_DEFAULT = "Once upon a time there was a king who had three telephones."


class SurprisalPainter(Twin):
    """Every token of a text coloured by its surprisal under `lm`, with perplexity and bits per byte below.

    The text box redraws when it is left (Tab). The first token is predicted from `<|endoftext|>` if the box is ticked,
    and left out otherwise; texts longer than the context are read through a moving window.
    """

    def __init__(self, lm, text=_DEFAULT, *, add_bos=False):
        self.lm = lm
        style = {"description_width": "5em"}
        self.text = ipywidgets.Textarea(
            text, description="text", continuous_update=False, style=style, layout={"width": "46em", "height": "5.5em"}
        )
        self.add_bos = ipywidgets.Checkbox(add_bos, description="predict the first token too", indent=False)
        self.numbers = ipywidgets.Checkbox(True, description="write the bits below each token", indent=False)
        super().__init__([self.text, self.add_bos, self.numbers])

    def measure(self):
        """Return (tokens, bits): N strings, and N numbers or None for a token that was not predicted."""
        ids = self.lm.encode(self.text.value)
        stride = max(1, self.lm.model.config.n_positions // 2)
        bits = surprisal(self.lm, ids, add_bos=self.add_bos.value, stride=stride)[0].tolist()
        return [self.lm.decode([i]) for i in ids[0].tolist()], bits if self.add_bos.value else [None, *bits]

    def render(self):
        """Return the painted text, its legend, its most surprising tokens and its measures as HTML."""
        tokens, bits = self.measure()
        painted = "".join(self._token(t, b) for t, b in zip(tokens, bits, strict=True))
        scored = sorted(((b, i) for i, b in enumerate(bits) if b is not None), reverse=True)
        worst = ", ".join(f"{token_html(tokens[i])} (token {i + 1}, {b:.1f} bits)" for b, i in scored[:3])
        total = sum(b for b, _ in scored)
        per_byte = bits_per_byte(
            self.lm,
            self.text.value,
            add_bos=self.add_bos.value,
            stride=max(1, self.lm.model.config.n_positions // 2),
        )
        mean = total / len(scored)
        first = "" if self.add_bos.value else " (not the first)"
        return (
            f'<div style="line-height:{3.2 if self.numbers.value else 2.1}">{painted}</div>{_legend()}'
            f"<p>most surprising: {worst}</p>"
            f"<p>{len(scored)} tokens scored{first}, {total:.1f} bits in all, {mean:.2f} bits per token: "
            f"<b>perplexity {2**mean:,.1f}</b>; {per_byte:.2f} bits per byte</p>"
        )

    def _token(self, token, bits):
        colour, meaning = surprisal_class(bits)
        shown = "not predicted" if bits is None else f"{bits:.2f} bits, {meaning}"
        below = "" if bits is None else f"{bits:.1f}"
        number = f'<sub style="font-size:.65em;padding-left:.25em">{below}</sub>' if self.numbers.value else ""
        look = f"background:{colour};color:black;border:1px solid #767676;padding:2px 3px;margin:0 1px;white-space:pre"
        return f'<span title="{escape(shown)}" style="{look}">{token_html(token)}{number}</span><wbr>'

    def picture(self):
        """Return the painted text as a matplotlib Figure."""
        return plot_surprisal(*self.measure()).figure

    def summary(self):
        """Return the number of tokens, the most surprising one and the perplexity, in one line."""
        tokens, bits = self.measure()
        scored = [b for b in bits if b is not None]
        worst = tokens[bits.index(max(scored))]
        mean = sum(scored) / len(scored)
        return f"SurprisalPainter: {len(tokens)} tokens, perplexity {2**mean:.4g}, most surprising {visible(worst)!r}"


def _legend():
    boxes = (
        f'<span style="background:{c};color:black;border:1px solid #767676;padding:0 .5em">{escape(name)}</span>'
        for c, name in [UNSCORED, *((c, name) for _, c, name in SURPRISAL_CLASSES)]
    )
    return f"<p><small>surprisal: {' '.join(boxes)}</small></p>"
