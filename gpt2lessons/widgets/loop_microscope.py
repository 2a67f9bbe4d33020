"""The loop microscope: repeat any phrase and watch the model expect it more and more."""

import math

import ipywidgets
import torch

from gpt2lessons.adapters import context_length
from gpt2lessons.plots.loops import plot_phrase
from gpt2lessons.scoring import token_log_probs
from gpt2lessons.widgets.base import Twin, shade, token_html

MOST = 12


class LoopMicroscope(Twin):
    """How probable is each token of a phrase when the phrase stands there for the 1st, 2nd, … time?

    `lm` is a `LanguageModel`. The text is the prompt followed by the phrase again and again; the model reads it
    once, so the slider that shows more or fewer repetitions costs nothing.
    """

    def __init__(self, lm, prompt="Once upon a time", phrase=" The green door was locked.", *, repetitions=6):
        self.lm = lm
        self._read = None, None
        style, wide = {"description_width": "8em"}, ipywidgets.Layout(width="34em")
        text = {"style": style, "layout": wide, "continuous_update": False}
        self.prompt = ipywidgets.Text(prompt, description="prompt", **text)
        self.phrase = ipywidgets.Text(phrase, description="phrase", **text)
        self.repetitions = ipywidgets.IntSlider(
            repetitions, min=1, max=MOST, description="repetitions", style=style, layout=wide
        )
        super().__init__([self.prompt, self.phrase, self.repetitions])

    def state(self):
        """Return the phrase's tokens (L strings) and their log-probabilities (N, L), one row per repetition."""
        key = self.prompt.value, self.phrase.value
        if self._read[0] != key:
            self._read = key, self._measure(*key)
        tokens, log_probs = self._read[1]
        return tokens, log_probs[: self.repetitions.value]

    def _measure(self, prompt, phrase):
        if not prompt or not phrase:
            raise ValueError("Type a prompt and a phrase, at least one character each.")
        start, once = self.lm.encode(prompt), self.lm.encode(phrase)
        limit = context_length(self.lm)
        times = min(MOST, (limit - start.shape[1]) // once.shape[1]) if limit else MOST
        if times < 1:
            raise ValueError(
                f"Prompt and phrase are longer than the {limit:,} tokens that the model reads. Shorten them."
            )
        ids = torch.cat([start, once.repeat(1, times)], dim=1)
        log_probs = token_log_probs(self.lm, ids)[0, start.shape[1] - 1 :]  # the score of a token is one place earlier
        return [self.lm.decode([i]) for i in once[0].tolist()], log_probs.reshape(times, -1)

    def render(self):
        """Return the table of token probabilities, one row per repetition, as HTML."""
        tokens, log_probs = self.state()
        cell = 'style="padding:.1em .6em;text-align:right"'
        names = "".join(f"<th {cell}>{token_html(t)}</th>" for t in tokens)
        rows = []
        for n, row in enumerate(log_probs.tolist(), 1):
            mean = math.exp(sum(row) / len(row))
            cells = "".join(_shaded(math.exp(x)) for x in row)
            bar = f'<span style="display:inline-block;height:.8em;width:{10 * mean:.2f}em;background:#D55E00"></span>'
            rows.append(f"<tr><td {cell}>{n}</td>{cells}<td {cell}>{sum(row):.1f}</td><td>{bar} {mean:.3f}</td></tr>")
        short = "" if len(log_probs) == self.repetitions.value else "<p>(more do not fit into the model's context)</p>"
        return (
            f'<table style="border-collapse:collapse"><tr><th {cell}>repetition</th>{names}<th {cell}>sum (nats)</th>'
            f'<th style="text-align:left">probability per token</th></tr>{"".join(rows)}</table>{short}'
        )

    def picture(self):
        """Return the map of token probabilities as a matplotlib Figure."""
        tokens, log_probs = self.state()
        return plot_phrase(tokens, log_probs.exp()).figure

    def summary(self):
        """Return the phrase's probability per token at its first and last repetition in one line."""
        _, log_probs = self.state()
        means = log_probs.mean(1).exp()
        return (
            f"LoopMicroscope: {self.phrase.value!r} after {self.prompt.value!r}: probability per token "
            f"{means[0]:.3f} at repetition 1, {means[-1]:.3f} at repetition {len(means)}"
        )


def _shaded(p):
    """A table cell with a probability, on a blue that is the stronger the more probable it is."""
    return f'<td style="{shade(p)};padding:.1em .6em;text-align:right">{p:.2f}</td>'
