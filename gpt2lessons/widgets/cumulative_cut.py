"""CumulativeCut: the next token's probabilities added up from the top, and where top-k and top-p cut that curve."""

import math

import ipywidgets

from gpt2lessons.adapters import context_length, logits_function
from gpt2lessons.decoding.processors import keep_top_k, keep_top_p
from gpt2lessons.plots.filters import plot_cumulative
from gpt2lessons.plots.style import visible
from gpt2lessons.widgets.base import Twin, escape, token_html

_KS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000]
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 320, 48, 16, 14, 46
_LOOKS = ('stroke="#2B8CC4"', 'stroke="#E69F00" stroke-dasharray="7 4"')
_COLOURS = ("#2B8CC4", "#E69F00")
_REMEMBERED = 50
_CELL = 'style="padding:.1em .6em;text-align:right;white-space:nowrap"'


class CumulativeCut(Twin):
    """Move one number of tokens, k, and one share, p, and see what each of them keeps after two prompts.

    `lm` is a `LanguageModel`. Each prompt is a curve: the probability of its 1, 2, 3, … best next tokens together.
    The vertical line is top-k, the horizontal line top-p. An empty second prompt leaves one curve.
    The model runs only when a prompt changes.
    """

    def __init__(self, lm, prompt="In the house there was a", other="Once upon", *, k=50, p=0.8):
        if k not in _KS:
            raise ValueError(f"k must be one of {', '.join(map(str, _KS))}, not {k!r}")
        if not 0.01 <= p <= 0.99:
            raise ValueError(f"p must lie between 0.01 and 0.99, not {p!r}")
        self.lm, self._known = lm, {}
        wide = {"style": {"description_width": "8em"}, "layout": {"width": "34em"}}
        text = {**wide, "continuous_update": False}
        self.prompt = ipywidgets.Text(prompt, description="prompt", **text)
        self.other = ipywidgets.Text(other, description="another", **text)
        options = [(f"{n:,}", n) for n in _KS]
        self.k = ipywidgets.SelectionSlider(options=options, value=k, description="k (tokens)", **wide)
        self.p = ipywidgets.FloatSlider(p, min=0.01, max=0.99, step=0.01, description="p (share)", **wide)
        super().__init__([self.prompt, self.other, self.k, self.p])

    def state(self):
        """Return {prompt: what the view shows of it}, a dict with these items.

        `probs` (V,) and `sums` (V,) by rank, `order` (V,) ids by rank;
        `top_k` and `top_p`: (tokens kept, their mass), as `keep_top_k` and `keep_top_p` keep them.
        """
        texts = dict.fromkeys(text for text in (self.prompt.value, self.other.value) if text)
        return {text: self._cuts(self._logits(text)) for text in texts}

    def _cuts(self, logits):
        probs = logits.softmax(-1)
        order = probs.argsort(descending=True, stable=True)
        found = {"order": order, "probs": probs[order], "sums": probs[order].cumsum(0)}
        for name, keep, setting in (("top_k", keep_top_k, self.k.value), ("top_p", keep_top_p, self.p.value)):
            kept = keep(logits[None], setting)[0].isfinite()
            found[name] = int(kept.sum()), float(probs[kept].sum())
        return found

    def _logits(self, text):
        if text not in self._known:
            ids, limit = self.lm.encode(text), context_length(self.lm)
            if limit and ids.shape[1] > limit:
                raise ValueError(f"A prompt has {ids.shape[1]:,} tokens, the model reads {limit:,}. Shorten it.")
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = logits_function(self.lm)(ids)[0, -1].detach().double()
        return self._known[text]

    def _shown(self):
        state = self.state()
        if not state:
            raise ValueError("Type at least one character: the model needs something to continue.")
        return state

    def render(self):
        """Return the curves with both cuts, and a table of what each cut keeps, as HTML."""
        state = self._shown()
        rows = "".join(self._row(place, text, found) for place, (text, found) in enumerate(state.items()))
        heads = [f"top-k {self.k.value:,}: tokens", "mass", f"top-p {self.p.value:g}: tokens", "mass"]
        heads += ["last token in", "first token out"]
        head = "".join(f"<th {_CELL}>{name}</th>" for name in heads)
        return (
            f'{self._curves(state)}<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
            f'<tr><th style="text-align:left">after</th>{head}</tr>{rows}</table>'
        )

    def _row(self, place, text, found):
        (many, mass), (needed, share) = found["top_k"], found["top_p"]
        last, first = (
            token_html(self.lm.decode([int(i)])) if len(i) else "–"
            for i in (found["order"][needed - 1 : needed], found["order"][needed : needed + 1])
        )
        cells = [f"{many:,}", f"{mass:.3f}", f"{needed:,}", f"{share:.3f}", last, first]
        body = "".join(f"<td {_CELL}>{cell}</td>" for cell in cells)
        line = f"border-top:3px {('solid', 'dashed')[place]} {_COLOURS[place]}"  # drawn: as text it would be too pale
        mark = f'<span style="display:inline-block;width:1.8em;vertical-align:middle;{line}"></span>'
        return f'<tr><th scope="row" style="text-align:left;font-weight:normal">{mark} {escape(text)}</th>{body}</tr>'

    def _curves(self, state):
        """Return the curves as SVG, ranks on a logarithmic axis; frame and letters have the theme's colour."""
        longest = max(len(found["sums"]) for found in state.values())

        def x(rank):
            return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(rank) / math.log(max(longest, 2))

        def y(share):
            return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)

        parts = [f'<polyline points="{_LEFT},{_TOP} {_LEFT},{y(0)} {_WIDTH - _RIGHT},{y(0)}" stroke="currentColor"/>']
        for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
            parts.append(_text(_LEFT - 8, y(share) + 4, f"{share:g}", "end"))
        for rank in (10**n for n in range(int(math.log10(longest)) + 1)):
            parts.append(_line(x(rank), x(rank), y(0), y(0) + 5))
            parts.append(_text(x(rank), y(0) + 19, f"{rank:,}"))
        parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, "rank of the token (logarithmic)"))
        middle = f'transform="rotate(-90 12 {_HEIGHT / 2 - 16})"'
        parts.append(_text(12, _HEIGHT / 2 - 16, "probability so far", more=middle))
        cut, level = x(min(self.k.value, longest)), y(self.p.value)
        parts.append(_line(cut, cut, _TOP, y(0)) + _line(_LEFT, _WIDTH - _RIGHT, level, level))
        parts.append(_text(cut + 5, y(0) - 6, f"top-k {self.k.value:,}", "start"))
        parts.append(_text(_LEFT + 5, level - 6, f"top-p {self.p.value:g}", "start"))
        for look, colour, found in zip(_LOOKS, _COLOURS, state.values(), strict=False):
            line = " ".join(f"{x(n):.1f},{y(float(found['sums'][n - 1])):.1f}" for n in _ranks(len(found["sums"])))
            parts.append(f'<polyline points="{line}" {look} stroke-width="2.5"/>')
            (many, mass), (needed, share) = found["top_k"], found["top_p"]
            parts.append(f'<rect x="{x(many) - 5:.1f}" y="{y(mass) - 5:.1f}" width="10" height="10" fill="{colour}"/>')
            parts.append(f'<circle cx="{x(needed):.1f}" cy="{y(share):.1f}" r="6" fill="{colour}"/>')
        label = f"probability of the best tokens together; {'; '.join(self._lines(state))}"
        return (
            f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" fill="none" '
            f'style="max-width:{_WIDTH}px;width:100%;font-size:12px">{"".join(parts)}</svg>'
        )

    def picture(self):
        """Return the curves with both cuts as a matplotlib Figure."""
        state = self._shown()
        names = []
        for text, found in state.items():
            (many, mass), (needed, _) = found["top_k"], found["top_p"]
            names.append(f"{_drawn(text)} … ({many:,} hold {mass:.3f}; {needed:,} needed)")
        curves = dict(zip(names, (found["probs"] for found in state.values()), strict=True))
        return plot_cumulative(curves, k=self.k.value, p=self.p.value, title="next token after …").figure

    def summary(self):
        """Return what each cut keeps, one line per prompt."""
        return "\n".join(f"CumulativeCut: {line}" for line in self._lines(self._shown()))

    def _lines(self, state):
        for text, found in state.items():
            (many, mass), (needed, share) = found["top_k"], found["top_p"]
            by_k = f"top-k {self.k.value:,} keeps {many:,} tokens, mass {mass:.3f}"
            yield f"{text!r}: {by_k}; top-p {self.p.value:g} keeps {needed:,}, mass {share:.3f}"


def _drawn(text):
    """Return a prompt as matplotlib can draw it, its spaces as they are."""
    return "".join(letter if letter == " " else visible(letter) for letter in text)


def _ranks(size):
    """Return ranks from 1 to `size`, all of the first 30 and then fewer and fewer: below 200."""
    return sorted({*range(1, min(size, 30) + 1), *(round(size ** (i / 150)) for i in range(151))})


def _text(x, y, words, anchor="middle", *, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {more}>{words}</text>'


def _line(x1, x2, y1, y2):
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="currentColor"/>'
