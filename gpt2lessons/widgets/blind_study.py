"""The blind study: who wrote this text? Answers of one reader or a class, with intervals and agreement."""

import random
import textwrap

import ipywidgets
import matplotlib.pyplot as plt

from gpt2lessons.metrics.agreement import fleiss_kappa
from gpt2lessons.metrics.intervals import wilson_interval
from gpt2lessons.plots.evaluation import plot_shares
from gpt2lessons.plots.style import visible
from gpt2lessons.widgets.base import Twin, escape

_UNDECIDED = "?"


class BlindStudy(Twin):
    """Texts without their authors, one at a time, in an order drawn with `seed`; guess, then reveal.

    `texts` maps each author ("reference", "greedy", …) to a list of texts. `order` is the list of true authors as shown
    and `answers` the reader's own; `record(judge, answers)` adds those of another judge. `context` is a text that is
    shown above all (what the judges are told).
    """

    def __init__(self, texts, *, seed=0, context=""):
        pairs = [(author, text) for author, written in texts.items() for text in written]
        if len(texts) < 2 or any(not written for written in texts.values()):
            raise ValueError("a blind study needs at least two authors with at least one text each")
        random.Random(seed).shuffle(pairs)
        self.authors, self.context = list(texts), context
        self.order, self.shown = [a for a, _ in pairs], [t.strip() for _, t in pairs]
        self.judges = {"you": [None] * len(pairs)}
        self.position = ipywidgets.IntSlider(
            1, min=1, max=len(pairs), description="text", layout=ipywidgets.Layout(width="34em")
        )
        self.choice = ipywidgets.ToggleButtons(
            options=[(_UNDECIDED, None), *((a, a) for a in self.authors)], value=None, description="author"
        )
        self.reveal = ipywidgets.Checkbox(False, description="show who wrote them", indent=False)
        self.position.observe(self._turn, names="value")
        self.choice.observe(self._answer, names="value")
        super().__init__([self.position, self.choice, self.reveal])

    @property
    def answers(self):
        """The reader's own answers in the order shown; None where there is none yet."""
        return self.judges["you"]

    def record(self, judge, answers):
        """Keep the answers of another judge: one author (or None) for each text, in the order shown."""
        answers = list(answers)
        unknown = sorted({a for a in answers if a is not None} - set(self.authors))
        if len(answers) != len(self.order):
            raise ValueError(f"{judge}: {len(self.order)} texts need as many answers, not {len(answers)}")
        if unknown:
            raise ValueError(f"{judge}: unknown author {unknown[0]!r}; there are: {', '.join(self.authors)}")
        self.judges[str(judge)] = answers
        self.refresh()

    def results(self, judges=None):
        """Return rows (author, right, asked, (low, high)), for each author and "all"; judges: their names."""
        given = [self.judges[j] for j in (self.judges if judges is None else judges)]
        rows = []
        for author in [*self.authors, "all"]:
            hits = [
                a == true
                for answers in given
                for a, true in zip(answers, self.order, strict=True)
                if a is not None and author in (true, "all")
            ]
            if hits:
                rows.append((author, sum(hits), len(hits), wilson_interval(sum(hits), len(hits))))
        return rows

    def agreement(self):
        """Return Fleiss' kappa over the texts that all judges answered (those without any answer do not count)."""
        full = [a for a in self.judges.values() if any(x is not None for x in a)]
        answered = [row for row in zip(*full, strict=True) if None not in row]
        if len(full) < 2 or not answered:
            raise ValueError("agreement needs at least two judges who answered the same texts")
        return fleiss_kappa(answered)

    def _turn(self, change):
        self.choice.value = self.answers[change["new"] - 1]

    def _answer(self, change):
        self.answers[self.position.value - 1] = change["new"]

    def render(self):
        """Return the text to judge or, once revealed, the results, as HTML."""
        done = sum(a is not None for a in self.answers)
        count = f"<p>{done} of {len(self.order)} answered</p>"
        if self.reveal.value:
            return self._results() + count
        context = f"<p><i>{escape(self.context)}</i></p>" if self.context else ""
        return (
            f'{context}<blockquote style="border-left:4px solid #767676;padding:.4em 1em;white-space:pre-wrap">'
            f"{escape(self.shown[self.position.value - 1])}</blockquote>{count}"
        )

    def _results(self):
        here = self.position.value - 1
        said = self.answers[here] or "no answer"
        text = f"<p>Text {here + 1} was written by <b>{escape(self.order[here])}</b>; you said: {escape(said)}.</p>"
        rows = "".join(
            f"<tr><td>{escape(a)}</td><td>{right} of {asked}</td><td>{right / asked:.2f}</td>"
            f"<td>{low:.2f} to {high:.2f}</td></tr>"
            for a, right, asked, (low, high) in self.results()
        )
        head = "".join(f'<th style="text-align:left;padding-right:1.2em">{h}</th>' for h in _HEAD)
        table = f"<table><tr>{head}</tr>{rows}</table>" if rows else "<p>No answers yet.</p>"
        try:
            kappa = f"<p>agreement of the judges (Fleiss' kappa): {self.agreement():.2f}</p>"
        except ValueError as error:
            kappa = f"<p>{escape(error)}</p>"
        return f"{text}{table}<p>guessing would be right in {1 / len(self.authors):.2f} of the cases</p>{kappa}"

    def picture(self):
        """Return the results of all judges or, as long as there are none, the first text, as a matplotlib Figure."""
        if rows := self.results():
            names, right, asked, intervals = zip(*rows, strict=True)
            return plot_shares(names, right, asked, intervals, chance=1 / len(self.authors)).figure
        lines = [line for paragraph in self.shown[0].splitlines() for line in textwrap.wrap(paragraph, 84) or [""]]
        figure = plt.figure(figsize=(9, 0.9 + 0.26 * len(lines)))
        body = "\n".join(visible(line).replace("␣", " ") if line else "" for line in lines)
        figure.text(0.02, 0.95, f"Text 1 of {len(self.order)}", va="top", weight="bold")
        figure.text(0.02, 0.95 - 0.42 / figure.get_figheight(), body, va="top", size=11, linespacing=1.35)
        figure.text(0.02, 0.03, "Who wrote it: " + ", ".join(self.authors) + "?", style="italic")
        return figure

    def summary(self):
        """Return how many texts, authors and answers there are, in one line."""
        answers = sum(a is not None for given in self.judges.values() for a in given)
        return f"BlindStudy: {len(self.order)} texts by {', '.join(self.authors)}; {answers} answers"


_HEAD = ("author", "right", "share", "95 % interval")
