"""StrategyComparer: pick strategies and a seed; their texts stand side by side, each with its numbers."""

import inspect
import textwrap

import ipywidgets
import matplotlib.pyplot as plt
import torch

from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.decoding.generation import generate
from gpt2lessons.plots.style import visible
from gpt2lessons.scoring import token_log_probs
from gpt2lessons.tuning import OBJECTIVES
from gpt2lessons.widgets.base import Twin, escape

STRATEGIES = {
    "greedy": {},
    "greedy, ban 2": {"no_repeat_ngram_size": 2},
    "beam 5": {"num_beams": 5},
    "pure sampling": {"do_sample": True},
    "temperature 0.7": {"do_sample": True, "temperature": 0.7},
    "top-k 50": {"do_sample": True, "top_k": 50},
    "top-p 0.9": {"do_sample": True, "top_p": 0.9},
    "min-p 0.05": {"do_sample": True, "min_p": 0.05},
    "top-k 50, top-p 0.85": {"do_sample": True, "top_k": 50, "top_p": 0.85},
    "temperature 0.7, top-k 50, top-p 0.85": {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.85},
}
PRESETS = {
    "three ways": ("greedy", "pure sampling", "top-k 50, top-p 0.85"),
    "no seed": ("greedy", "greedy, ban 2", "beam 5"),
    "filters": ("pure sampling", "top-k 50", "top-p 0.9", "min-p 0.05"),
    "one after another": (
        "pure sampling",
        "top-k 50",
        "top-k 50, top-p 0.85",
        "temperature 0.7, top-k 50, top-p 0.85",
    ),
}
_WIDE = {"style": {"description_width": "5em"}, "layout": {"width": "34em", "margin": "2px"}}
_OWN = "your choice"
_REMEMBERED = 500


class StrategyComparer(Twin):
    """Texts of several strategies after one prompt, from one seed, with mean log-probability, distinct-2, repetition.

    `strategies` {name: settings of `generate`, or of `beam_search` if it has num_beams} and `presets` {name: strategy
    names} may be your own. All strategies that draw use the same random numbers; the others take no notice of the seed.
    """

    def __init__(self, lm, prompt="Once upon a time", *, strategies=None, presets=None, seed=0, new_tokens=30):
        self.lm, self.new_tokens, self._written = lm, new_tokens, {}
        self.strategies = dict(STRATEGIES if strategies is None else strategies)
        own = {"all": tuple(self.strategies)}
        self.presets = dict(presets or (own if strategies is not None else PRESETS))
        self._check()
        self.prompt = ipywidgets.Text(prompt, description="prompt", continuous_update=False, **_WIDE)
        self.seed = ipywidgets.IntSlider(seed, 0, 99, description="seed", continuous_update=False, **_WIDE)
        self.preset = ipywidgets.ToggleButtons(
            options=[*self.presets, _OWN],
            description="show",
            style={"description_width": "5em", "button_width": "auto"},
        )
        flat = {"description_width": "0px"}
        self.chosen = {
            name: ipywidgets.Checkbox(False, description=name, style=flat, layout={"width": "25em"})
            for name in self.strategies
        }
        self._setting = False
        self._apply()
        self.preset.observe(self._apply, names="value")
        for box in self.chosen.values():
            box.observe(self._picked, names="value")
        boxes = ipywidgets.HBox([*self.chosen.values()], layout={"flex_flow": "row wrap"})
        super().__init__([self.prompt, self.seed, self.preset, boxes], watch=[self.prompt, self.seed])

    def _check(self):
        known = {*_settings(generate), *_settings(beam_search)}
        for name, settings in self.strategies.items():
            if unknown := set(settings) - known:
                raise ValueError(
                    f"strategy {name!r}: {sorted(unknown)[0]!r} is not a setting of generate or beam_search"
                )
        for name, members in self.presets.items():
            if missing := [m for m in members if m not in self.strategies]:
                raise ValueError(f"preset {name!r}: there is no strategy {missing[0]!r}")

    def _apply(self, _change=None):
        if self.preset.value != _OWN:
            self._setting = True  # one drawing for all boxes, not one for each
            for name, box in self.chosen.items():
                box.value = name in self.presets[self.preset.value]
            self._setting = False
        if hasattr(self, "view"):
            self.refresh()

    def _picked(self, _change):
        if not self._setting:
            now = tuple(name for name, box in self.chosen.items() if box.value)
            same = [name for name, members in self.presets.items() if set(members) == set(now)]
            self.preset.value = same[0] if same else _OWN
            self.refresh()

    def texts(self):
        """Return {strategy: (new text, {measure: number})} of the strategies that are chosen."""
        names = [name for name, box in self.chosen.items() if box.value]
        if not names:
            raise ValueError("no strategy is chosen: tick at least one box.")
        return {name: self._write(name) for name in names}

    def draws(self, name):
        """Say whether the strategy `name` uses the random numbers."""
        return bool(self.strategies[name].get("do_sample"))

    def _write(self, name):
        key = (name, self.prompt.value, self.seed.value if self.draws(name) else None)
        if key not in self._written:
            ids, settings = self._ids(), dict(self.strategies[name])
            how = {"max_new_tokens": self.new_tokens, "eos_token_id": self.lm.tokenizer.eos_token_id, **settings}
            if "num_beams" in settings:
                new = beam_search(self.lm, ids, **how).hypotheses[0].ids[ids.shape[1] :]
            else:
                generator = torch.Generator().manual_seed(self.seed.value)
                written = generate(self.lm, ids, generator=generator, **how)
                new = written.new_tokens[0, : int(written.lengths[0])]
            if len(self._written) >= _REMEMBERED:
                self._written.clear()
            self._written[key] = (self.lm.decode(new), self._measure(ids, new))
        return self._written[key]

    def _measure(self, ids, new):
        log_probs = token_log_probs(self.lm, torch.cat([ids[0], new])[None])[0, ids.shape[1] - 1 :].tolist()
        return {
            "log p per token": sum(log_probs) / len(log_probs),
            "distinct-2": OBJECTIVES["distinct_2"](new.tolist(), log_probs),
            "repetition": OBJECTIVES["repetition"](new.tolist(), log_probs),
        }

    def _ids(self):
        ids = self.lm.encode(self.prompt.value)
        room = self.lm.model.config.n_positions - self.new_tokens
        if not 1 <= ids.shape[1] <= room:
            raise ValueError(f"the prompt has {ids.shape[1]} tokens; write one that has 1 to {room}.")
        return ids

    def render(self):
        """Return one card per chosen strategy: its name, the text, the numbers."""
        cards = []
        for name, (text, numbers) in self.texts().items():
            luck = f"seed {self.seed.value}" if self.draws(name) else "always this text"
            cells = "".join(
                f'<tr><th scope="row" style="text-align:left;font-weight:normal">{escape(label)}</th>'
                f'<td style="text-align:right;padding-left:1em">{value:.2f}</td></tr>'
                for label, value in numbers.items()
            )
            cards.append(
                '<section style="flex:1 1 17em;max-width:26em;border-left:3px solid #767676;padding:0 .8em">'
                f"<b>{escape(name)}</b> <i>({luck})</i>"
                f'<p style="white-space:pre-wrap;line-height:1.35;overflow-wrap:anywhere">'
                f"{escape(self.prompt.value)}<b>{escape(text)}</b></p>"
                f'<table style="font-variant-numeric:tabular-nums">{cells}</table></section>'
            )
        return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(cards)}</div>'

    def picture(self):
        """Return the chosen texts below each other, each with its numbers."""
        blocks = []
        for name, (text, numbers) in self.texts().items():
            shown = "".join(c if c == " " else visible(c) for c in text)
            said = ", ".join(f"{label} {value:.2f}" for label, value in numbers.items())
            blocks.append((f"{name}:  {said}", textwrap.wrap(f"…{shown}", 92) or [""]))
        height = 0.5 + sum(0.5 + 0.25 * len(lines) for _, lines in blocks)
        fig = plt.figure(figsize=(9, height))
        prompt = textwrap.shorten("".join(c if c == " " else visible(c) for c in self.prompt.value), 80)
        fig.text(0.02, 1 - 0.1 / height, f"{prompt} …   (seed {self.seed.value})", va="top", style="italic")
        y = 0.45
        for head, lines in blocks:
            fig.text(0.02, 1 - y / height, head, va="top", weight="bold", size=11)
            fig.text(0.02, 1 - (y + 0.24) / height, "\n".join(lines), va="top", size=11, linespacing=1.3)
            y += 0.5 + 0.25 * len(lines)
        return fig

    def summary(self):
        """Return prompt and seed, then one line per chosen strategy with its numbers."""
        lines = [f"StrategyComparer: {self.prompt.value!r}, seed {self.seed.value}"]
        for name, (_, numbers) in self.texts().items():
            lines.append(f"{name}: " + ", ".join(f"{label} {value:.2f}" for label, value in numbers.items()))
        return "\n".join(lines)


def _settings(function):
    return {name for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
