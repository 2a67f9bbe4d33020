"""The next-token bench: a prompt, the temperature, a random number, and the token that comes out."""

import random

import ipywidgets
import torch

from gpt2lessons.adapters import context_length, logits_function
from gpt2lessons.decoding.processors import apply_temperature
from gpt2lessons.plots.next_token import plot_next_token
from gpt2lessons.plots.style import visible
from gpt2lessons.widgets.base import Twin, escape, token_html

_SHADES = ("#0072B2", "#56B4E9")


class NextTokenBench(Twin):
    """Logits → divided by the temperature → probabilities → the drawn token, all moving at once.

    `lm` is a `LanguageModel`. The random number `u` is from 0 to 1: the candidates, most probable first, share the
    line from 0 to 1 in proportion to their probabilities, and `u` falls on one of them. "append" puts that
    token behind the prompt. The model runs only when the prompt changes.
    """

    def __init__(self, lm, prompt="Once upon a time", *, temperature=1.0, u=0.5, shown=10):
        self.lm, self.shown = lm, shown
        self._read = None, None
        style = {"description_width": "8em"}
        wide = ipywidgets.Layout(width="34em")
        self.prompt = ipywidgets.Text(prompt, description="prompt", style=style, layout=wide, continuous_update=False)
        self.temperature = ipywidgets.FloatSlider(
            temperature, min=0.1, max=3, step=0.1, description="temperature", style=style, layout=wide
        )
        self.u = ipywidgets.FloatSlider(
            u,
            min=0,
            max=0.999,
            step=0.001,
            readout_format=".3f",
            description="random number",
            style=style,
            layout=wide,
        )
        self.draw = ipywidgets.Button(description="new number", tooltip="draw another random number")
        self.append = ipywidgets.Button(description="append", tooltip="put the drawn token behind the prompt")
        self.draw.on_click(self._draw)
        self.append.on_click(self._append)
        buttons = ipywidgets.HBox([self.draw, self.append])
        watched = [self.prompt, self.temperature, self.u]
        super().__init__([*watched, buttons], watch=watched)

    def state(self):
        """Return what the view shows: `logits`, `scaled`, `probs` (V,), `order` (V,) ids by rank, `place` drawn."""
        logits = self._logits()
        scaled = apply_temperature(logits[None], self.temperature.value)[0]
        probs = scaled.softmax(-1)
        order = logits.argsort(descending=True, stable=True)  # temperature never changes the order
        ends = probs[order].double().cumsum(0)
        place = int((ends <= self.u.value * ends[-1]).sum())
        return {"logits": logits, "scaled": scaled, "probs": probs, "order": order, "place": place}

    def _logits(self):
        text = self.prompt.value
        if self._read[0] != text:
            if not text:
                raise ValueError("Type at least one character: the model needs something to continue.")
            ids, limit = self.lm.encode(text), context_length(self.lm)
            if limit and ids.shape[1] > limit:
                raise ValueError(f"The prompt has {ids.shape[1]:,} tokens, the model reads {limit:,}. Shorten it.")
            self._read = text, logits_function(self.lm)(ids)[0, -1]
        return self._read[1]

    def _rows(self, state):
        """Ranks (from 0) that get a row of their own: the first few, and the drawn one."""
        places = list(range(min(self.shown, len(state["order"]))))
        return places if state["place"] in places else [*places, state["place"]]

    def render(self):
        """Return the line from 0 to 1 and the table of candidates as HTML."""
        state = self.state()
        order, probs, place = state["order"], state["probs"], state["place"]
        entropy = float(torch.special.entr(probs).sum())
        drawn = self._name(order[place])
        rows = [self._row(state, rank) for rank in self._rows(state)]
        rest = 1 - float(probs[order[self._rows(state)]].sum())
        others = len(order) - len(rows)
        head = "".join(f'<th style="text-align:right;padding:0 .7em">{t}</th>' for t in ("rank", "token", "logit"))
        return (
            f'<div aria-live="polite"><p>{escape(self.prompt.value)}'
            f'<b style="border-bottom:3px solid #E69F00">{drawn}</b></p>{self._line(state)}'
            f'<table style="border-collapse:collapse"><tr>{head}<th style="padding:0 .7em">÷ temperature</th>'
            f'<th style="text-align:left">probability</th></tr>{"".join(rows)}'
            f'<tr><td></td><td style="text-align:right;padding:0 .7em"><i>{others:,} others</i></td><td></td><td></td>'
            f"<td>{max(rest, 0):.3f}</td></tr></table>"
            f"<p>entropy {entropy:.2f} nats: as uncertain as {2.718281828459045**entropy:,.1f} equally probable tokens"
            "</p></div>"
        )

    def _row(self, state, rank):
        token = state["order"][rank]
        p, is_drawn = float(state["probs"][token]), rank == state["place"]
        numbers = [f"{rank + 1:,}", self._name(token)]
        numbers += [f"{float(state[key][token]):.2f}" for key in ("logits", "scaled")]
        cells = "".join(f'<td style="text-align:right;padding:0 .7em">{n}</td>' for n in numbers)
        bar = f'<span style="display:inline-block;height:.8em;width:{16 * p:.2f}em;background:{_SHADES[0]}"></span>'
        mark = " <b>◀ drawn</b>" if is_drawn else ""
        frame = "outline:2px solid #E69F00;font-weight:bold" if is_drawn else ""
        return f'<tr style="{frame}">{cells}<td style="text-align:left">{bar} {p:.3f}{mark}</td></tr>'

    def _line(self, state):
        """The line from 0 to 1, cut in proportion to the probabilities, with `u` on it."""
        pieces, left = [], 0.0
        for rank, token in enumerate(state["order"][: self.shown]):
            p, name = float(state["probs"][token]), self._name(token)
            label = name if p > 0.06 else ""
            pieces.append(
                f'<span title="{name} {p:.3f}" style="position:absolute;overflow:hidden;left:{100 * left:.2f}%;'
                f"width:{100 * p:.2f}%;height:100%;background:{_SHADES[rank % 2]};color:{('white', 'black')[rank % 2]};"
                f'text-align:center;white-space:nowrap">{label}</span>'
            )
            left += p
        mark = (
            f'<span style="position:absolute;left:{100 * self.u.value:.2f}%;top:-.5em;height:2.6em;'
            'border-left:4px solid #E69F00"></span>'
        )
        frame = "position:relative;height:1.6em;width:40em;max-width:100%;margin:.8em 0;line-height:1.6em"
        return f'<div style="{frame};border:1px solid currentColor">{"".join(pieces)}{mark}</div>'

    def _name(self, token):
        return token_html(self.lm.decode([int(token)]))

    def _draw(self, _button):
        self.u.value = round(random.random(), 3) % 0.9995

    def _append(self, _button):
        try:
            state = self.state()
        except ValueError:
            return  # the view says what is wrong
        self.prompt.value += self.lm.decode([int(state["order"][state["place"]])])

    def picture(self):
        """Return the candidates' probabilities as a matplotlib Figure."""
        state = self.state()
        rows = self._rows(state)
        ids = state["order"][rows]
        tokens = [self.lm.decode([int(i)]) for i in ids]
        ax = plot_next_token(tokens, state["probs"][ids], chosen=rows.index(state["place"]))
        ax.set_title(f"{visible(self.prompt.value)}   temperature {self.temperature.value:g}", fontsize=12)
        return ax.figure

    def summary(self):
        """Return the drawn token and its probability in one line."""
        state = self.state()
        token = state["order"][state["place"]]
        return (
            f"NextTokenBench: {self.prompt.value!r} at temperature {self.temperature.value:g}, random number "
            f"{self.u.value:g}: {self.lm.decode([int(token)])!r} with probability {state['probs'][token]:.3f}"
        )
