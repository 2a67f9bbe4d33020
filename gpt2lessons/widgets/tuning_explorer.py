"""The tuning explorer: settings as points, perplexity against diversity; pick one and read what it wrote."""

import math

import ipywidgets
import numpy as np

from gpt2lessons.plots.tuning import plot_settings
from gpt2lessons.tuning import describe, summarize
from gpt2lessons.widgets.base import Twin, escape

_WIDTH, _HEIGHT, _EDGE = 520, 300, 46


class TuningExplorer(Twin):
    """Every setting of a `sweep`'s table as a point: perplexity to the right, distinct-2 upwards.

    `setting` (by name, the lowest perplexity first) and `text` choose what is read below the points. `prompts`, the
    sweep's own list, shows what was continued; `human` = (perplexity, distinct-2) adds the point of reference texts.
    The other objectives of the table are listed beside the chosen setting, with their intervals.
    """

    def __init__(self, table, *, prompts=None, human=None, setting=None):
        needed = [name for name in ("perplexity", "distinct_2", "text") if name not in table]
        if needed:
            raise ValueError(
                f"the table has no column {needed[0]!r}: sweep with the objectives perplexity and distinct_2."
            )
        if prompts is not None and int(table["prompt"].max()) >= len(prompts):
            raise ValueError(
                f"the table has prompt number {int(table['prompt'].max())}, but there are {len(prompts)} prompts."
            )
        self.table, self.prompts, self.human = table, prompts, human
        self.summary_table = summarize(table).sort_values("perplexity", kind="stable").reset_index(drop=True)
        self.names = [describe(row) for row in self.summary_table.to_dict("records")]
        wide = ipywidgets.Layout(width="30em")
        options = [(name, place) for place, name in enumerate(self.names)]
        if setting is not None and setting not in self.names:
            raise ValueError(f"there is no setting {setting!r}; there are: {'; '.join(self.names)}.")
        chosen = 0 if setting is None else self.names.index(setting)
        self.setting = ipywidgets.SelectionSlider(options=options, value=chosen, description="setting", layout=wide)
        self.text = ipywidgets.IntSlider(1, min=1, max=1, description="text", layout=wide)
        self._fit()
        self.setting.observe(self._fit, names="value")
        super().__init__([self.setting, self.text])

    def _fit(self, _change=None):
        """Let the slider reach as far as the setting has texts."""
        self.text.max = len(self._texts())

    def _texts(self):
        number = self.summary_table["setting"][self.setting.value]
        return self.table[self.table["setting"] == number].reset_index(drop=True)

    def render(self):
        """Return the points as SVG, the chosen setting's numbers, and one of its texts."""
        row = self.summary_table.loc[self.setting.value]
        text = self._texts().loc[self.text.value - 1]
        prompt = "" if self.prompts is None else escape(self.prompts[int(text["prompt"])])
        cells = "".join(
            f"<tr><td{_LEFT}>{escape(name)}</td><td{_LEFT}>{row[name]:.3g}</td>"
            f"<td{_LEFT}>{row[f'{name}_low']:.3g} to {row[f'{name}_high']:.3g}</td>"
            f"<td{_LEFT}>{text[name]:.3g}</td></tr>"
            for name in self.table.attrs["objectives"]
        )
        head = "".join(f"<th{_LEFT}>{h}</th>" for h in _HEAD)
        name = escape(self.names[self.setting.value])
        return (
            f"{self._points()}{'' if self.human is None else '<p>★ reference texts</p>'}"
            f"<p><b>{name}</b>: {int(row['texts'])} texts</p>"
            f"<table><tr>{head}</tr>{cells}</table>"
            '<blockquote style="border-left:4px solid #767676;padding:.4em 1em;white-space:pre-wrap">'
            f'<span style="opacity:.65">{prompt}</span>{escape(text["text"])}</blockquote>'
        )

    def _points(self):
        """Return the scatter plot: the ring is the choice, the star is human."""
        x, y = np.log(self.summary_table["perplexity"]), self.summary_table["distinct_2"]
        across, up = [*x], [*y]
        if self.human is not None:
            across.append(math.log(self.human[0]))
            up.append(self.human[1])
        places = list(
            zip(_scaled(across, _EDGE, _WIDTH - 16), _scaled(up, _HEIGHT - _EDGE, 14), strict=True)
        )  # SVG counts y downwards
        marks = []
        for place, name in enumerate(self.names):
            a, b = places[place]
            tip = f"{escape(name)}: perplexity {math.exp(x[place]):.3g}, distinct-2 {y[place]:.3f}"
            marks.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5" fill="#0072B2"><title>{tip}</title></circle>')
            if place == self.setting.value:
                marks.append(
                    f'<circle cx="{a:.1f}" cy="{b:.1f}" r="10" fill="none" stroke="#E69F00" stroke-width="3"/>'
                )
        if self.human is not None:
            a, b = places[-1]
            tip = f"reference texts: perplexity {self.human[0]:.3g}, distinct-2 {self.human[1]:.3f}"
            marks.append(
                f'<text x="{a:.1f}" y="{b + 7:.1f}" text-anchor="middle" font-size="22" fill="#D55E00">★'
                f"<title>{tip}</title></text>"
            )
        low, high = math.exp(min(across)), math.exp(max(across))
        floor, middle = _HEIGHT - _EDGE + 12, (_EDGE + _WIDTH) / 2
        ends = _scaled([min(across), max(across)], _EDGE, _WIDTH - 16)
        steps = [m * 10.0**e for e in range(-1, 6) for m in (1, 2, 5)]
        ticks = {s: _at(math.log(s), (min(across), max(across)), ends) for s in steps if low < s < high}
        words = "".join(
            f'<text x="{a:.1f}" y="{floor + 14}" text-anchor="middle">{s:g}</text>'
            for s, a in ticks.items()
            if ends[0] + 45 < a < ends[1] - 35
        )
        words += (
            f'<text x="{_EDGE}" y="{floor + 14}">{low:.3g}</text>'
            f'<text x="{_WIDTH - 16}" y="{floor + 14}" text-anchor="end">{high:.3g}</text>'
            f'<text x="{middle}" y="{floor + 30}" text-anchor="middle">perplexity (logarithmic)</text>'
            f'<text x="{_EDGE - 12}" y="{_HEIGHT - _EDGE}" text-anchor="end">{min(up):.2f}</text>'
            f'<text x="{_EDGE - 12}" y="18" text-anchor="end">{max(up):.2f}</text>'
            f'<text x="14" y="{_HEIGHT / 2}" text-anchor="middle" '
            f'transform="rotate(-90 14 {_HEIGHT / 2})">distinct-2</text>'
        )
        frame = (
            f'<path d="M{_EDGE - 10} 8 V{floor} H{_WIDTH}" fill="none" stroke="currentColor"/>'
            f'<g font-size="12" fill="currentColor">{words}</g>'
        )
        label = f"{len(self.names)} settings; chosen: {escape(self.names[self.setting.value])}"
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" style="max-width:100%" role="img" '
            f'aria-label="{label}">{frame}{"".join(marks)}</svg>'
        )

    def picture(self):
        """Return all settings as a matplotlib Figure, the chosen one ringed and named."""
        data, name = self.summary_table, self.names[self.setting.value]
        return plot_settings(self.names, data["perplexity"], data["distinct_2"], human=self.human, chosen=name).figure

    def summary(self):
        """Return the chosen setting with its two numbers, in one line."""
        row = self.summary_table.loc[self.setting.value]
        return (
            f"TuningExplorer: {len(self.names)} settings; {self.names[self.setting.value]}: "
            f"perplexity {row['perplexity']:.3g}, distinct-2 {row['distinct_2']:.3f}"
        )


def _at(value, ends, places):
    """Return where `value` lies, if the two `ends` lie at the two `places`."""
    share = (value - ends[0]) / ((ends[1] - ends[0]) or 1)
    return places[0] + share * (places[1] - places[0])


def _scaled(values, low, high):
    """Return `values` moved linearly so that the smallest is at `low` and the largest at `high`."""
    first, last = min(values), max(values)
    span = (last - first) or 1
    return [low + (v - first) / span * (high - low) for v in values]


_LEFT = ' style="text-align:left;padding-right:1.2em"'
_HEAD = ("", "mean", "95 % interval", "this text")
