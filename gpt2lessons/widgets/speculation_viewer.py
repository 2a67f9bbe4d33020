"""The speculation viewer: what a draft guessed, what the target kept, and what it put in place of the first mistake."""

import ipywidgets
import torch

from gpt2lessons.decoding.speculative import speculate
from gpt2lessons.plots.faster import COLOURS, FATES, plot_rounds
from gpt2lessons.widgets.base import Twin, escape, shade, token_html

SHOWN = 8  # rounds in the picture


class SpeculationViewer(Twin):
    """Step through the rounds of speculative decoding.

    `lm` is a `LanguageModel`, the target; `drafts` maps names to what may guess for it (see `speculate`). Sliders set
    how many tokens a round guesses and the temperature (0: greedy search); the text is written anew from the same
    seed. The slider "round" (arrow keys) picks the round whose guesses are listed below the text.
    """

    def __init__(self, lm, drafts, prompt="Once upon a time", *, num_assistant_tokens=4, temperature=0.0, new=40):
        if not drafts:
            raise ValueError("drafts is empty: give at least one, for example {'lookup': PromptLookup()}.")
        self.lm, self.drafts, self.new = lm, dict(drafts), new
        self._written = None, None
        style, wide = {"description_width": "8em"}, ipywidgets.Layout(width="34em")
        slow = {"style": style, "layout": wide, "continuous_update": False}
        self.prompt = ipywidgets.Text(prompt, description="prompt", **slow)
        self.draft = ipywidgets.ToggleButtons(options=list(self.drafts), description="draft", style=style)
        self.guesses = ipywidgets.IntSlider(num_assistant_tokens, min=1, max=8, description="guesses", **slow)
        self.temperature = ipywidgets.FloatSlider(
            temperature, min=0, max=1.5, step=0.1, description="temperature", readout_format=".1f", **slow
        )
        self.round = ipywidgets.IntSlider(1, min=1, max=max(new, 1), description="round", style=style, layout=wide)
        super().__init__([self.prompt, self.draft, self.guesses, self.temperature, self.round])

    def result(self):
        """Return the `Speculated` of the present settings; it is written once."""
        key = self.prompt.value, self.draft.value, self.guesses.value, self.temperature.value
        if self._written[0] != key:
            if not self.prompt.value:
                raise ValueError("Type a prompt, at least one character.")
            temperature = self.temperature.value
            sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}
            run = speculate(
                self.lm,
                self.drafts[self.draft.value],
                self.lm.encode(self.prompt.value),
                max_new_tokens=self.new,
                num_assistant_tokens=self.guesses.value,
                generator=torch.Generator().manual_seed(0),
                **sampling,
            )
            self._written = key, run
            self.round.max = len(run.rounds)
        return self._written[1]

    def fates(self, chosen):
        """Return [(id, fate, draft's q, target's p)] of a `Round`: its guesses, then what the target added."""
        rows = []
        for i, token in enumerate(chosen.proposed):
            fate = "accepted" if i < chosen.accepted else "refused" if i == chosen.accepted else "never looked at"
            rows.append((token, fate, chosen.q[i], chosen.p[i]))
        return [*rows, (chosen.added, "added by the target", None, None)]

    def render(self):
        """Return the text with the picked round framed, and the table of its guesses, as HTML."""
        run = self.result()
        picked = min(self.round.value, len(run.rounds)) - 1
        pieces = [self._written_in(chosen, i == picked) for i, chosen in enumerate(run.rounds)]
        text = f'<div style="line-height:2;max-width:60em">{escape(self.prompt.value)}{"".join(pieces)}</div>'
        legend = " ".join(f"<span style='{_look(fate)}'>{sign} {fate}</span>" for fate, (*_, sign) in FATES.items())
        return f"{text}<p><small>{legend}</small></p><p>{escape(self._count(run))}</p>{self._table(run.rounds[picked])}"

    def _written_in(self, chosen, picked):
        stayed = [row for row in self.fates(chosen) if row[1] in ("accepted", "added by the target")]
        spans = "".join(f'<span style="{_look(fate)}">{self._name(token)}</span>' for token, fate, *_ in stayed)
        frame = "outline:3px solid #D55E00;" if picked else ""
        return f'<span style="{frame}display:inline-block;line-height:1.5;margin:0 2px">{spans}</span>'

    def _table(self, chosen):
        cell = 'style="padding:0 .7em;text-align:left"'
        names = ("guess", "token", "draft q", "target p", "chance min(1, p/q)", "fate")
        head = "".join(f"<th {cell}>{name}</th>" for name in names)
        rows = []
        for place, (token, fate, q, p) in enumerate(self.fates(chosen), 1):
            numbers = ["", "", ""] if q is None else [f"{q:.3f}", f"{p:.3f}", f"{min(1, p / q):.3f}"]
            if fate == "never looked at":
                numbers[2] = ""
            sign = FATES[fate][2]
            cells = ["" if q is None else place, self._name(token), *numbers, f"{sign} {fate}"]
            rows.append("<tr>" + "".join(f"<td {cell}>{c}</td>" for c in cells) + "</tr>")
        return f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'

    def _count(self, run):
        guessed, accepted = sum(len(r.proposed) for r in run.rounds), sum(r.accepted for r in run.rounds)
        return (
            f"{run.new_tokens.shape[1]} tokens in {run.model_calls} readings by the target "
            f"({run.tokens_per_call:.2f} per reading); {accepted} of {guessed} guesses kept"
        )

    def _name(self, token):
        return token_html(self.lm.decode([token]))

    def picture(self):
        """Return the first rounds with the fate of each token as a matplotlib Figure."""
        rounds = self.result().rounds[:SHOWN]
        return plot_rounds([[(self.lm.decode([i]), fate) for i, fate, *_ in self.fates(r)] for r in rounds]).figure

    def summary(self):
        """Return the settings, and how many readings the target needed, in one line."""
        how = f"temperature {self.temperature.value:.1f}" if self.temperature.value > 0 else "greedy"
        count = self._count(self.result())
        return f"SpeculationViewer: {self.draft.value}, {self.guesses.value} guesses, {how}: {count}"


def _look(fate):
    colour = COLOURS[FATES[fate][0]]
    line = {"accepted": "solid", "refused": "dashed", "never looked at": "dotted", "added by the target": "double"}
    light = shade(0.3, [int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return f"{light};border-bottom:3px {line[fate]} {colour};padding:0 1px;margin:0 1px"
