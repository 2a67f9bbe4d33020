"""SamplerBench: the stages between the model and the draw, in any order, with all that they do to the next token."""

import functools
import itertools

import ipywidgets
import matplotlib.pyplot as plt
import torch

from gpt2lessons.decoding.processors import SETTINGS
from gpt2lessons.plots.sampling import plot_distribution
from gpt2lessons.plots.style import visible
from gpt2lessons.widgets.base import Twin, escape, token_html

_KS = [1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000]
_STAGES = {  # what each slider can be set to
    "temperature": {"min": 0.1, "max": 3.0, "step": 0.05},
    "top_k": {"options": [*((str(k), k) for k in _KS), ("all", 0)]},
    "top_p": {"min": 0.05, "max": 1.0, "step": 0.05},
    "min_p": {"min": 0.0, "max": 0.5, "step": 0.01},
    "typical_p": {"min": 0.05, "max": 1.0, "step": 0.05},
}
_ROWS, _REMEMBERED = 12, 300
_WIDE = {"style": {"description_width": "9em"}, "layout": {"width": "30em", "margin": "2px"}}
_DRAWN = ' style="outline:1px solid currentColor"'


_TABLE = '<table style="border-collapse:separate;border-spacing:0.6em 0.1em">'  # headings that do not touch


class SamplerBench(Twin):
    """Move temperature, top-k, top-p, min-p and typical-p, put them in another order, and see the next token and text.

    `stages` are the names of the stages to show, first applied first; `settings` {stage: value} where they start
    (the others start switched off). One seed serves all settings: the text changes only where they change it.
    """

    def __init__(self, lm, prompt="Once upon a time", *, stages=tuple(_STAGES), settings=None, new_tokens=16, seed=0):
        unknown = [name for name in [*stages, *(settings or {})] if name not in _STAGES]
        if unknown or len(set(stages)) < len(stages) or not stages:
            raise ValueError(f"stages must be different names out of {', '.join(_STAGES)}, not {unknown or stages}")
        self.lm, self.order, self.new_tokens = lm, list(stages), new_tokens
        self._cache = lm.scratch.new_cache(1, lm.model.config.n_positions)
        self._cached, self._known, self._drawn = (), {}, (None, None)
        self.prompt = ipywidgets.Text(prompt, description="prompt", continuous_update=False, **_WIDE)
        self.seed = ipywidgets.IntSlider(seed, 0, 99, description="seed", **_WIDE)
        self.controls, self.earlier, self.later, self._rows = {}, {}, {}, {}
        for name in stages:
            self._add(name, (settings or {}).get(name, SETTINGS[name].neutral), len(stages) > 1)
        self._number()
        watch = [self.prompt, self.seed, *self.controls.values()]
        super().__init__([self.prompt, self.seed, ipywidgets.VBox([*self._rows.values()])], watch=watch)

    def _add(self, name, value, several):
        kind = ipywidgets.SelectionSlider if name == "top_k" else ipywidgets.FloatSlider
        self.controls[name] = kind(value=value, **_STAGES[name], **_WIDE)
        buttons = []
        for step, sign, word, kept in ((-1, "▲", "earlier", self.earlier), (1, "▼", "later", self.later)):
            button = ipywidgets.Button(description=sign, tooltip=f"{name} {word}", layout={"width": "2.6em"})
            button.on_click(functools.partial(self._clicked, name, step))
            kept[name] = button
            buttons.append(button)
        self._rows[name] = ipywidgets.HBox([self.controls[name], *(buttons if several else [])])

    def _clicked(self, name, step, _button):
        self.move(name, step)

    def move(self, name, step):
        """Move stage `name` by `step` places (-1: one earlier), as its buttons do; at the end it stays."""
        place = self.order.index(name)
        self.order.insert(min(max(place + step, 0), len(self.order) - 1), self.order.pop(place))
        self._number()
        self.refresh()

    def _number(self):
        # the rows change places by CSS alone: the button that was pressed keeps the keyboard's focus
        for place, name in enumerate(self.order):
            self.controls[name].description = f"{place + 1}. {name}"
            self._rows[name].layout.order = str(place)
            self.earlier[name].disabled, self.later[name].disabled = place == 0, place == len(self.order) - 1

    def active(self):
        """Return [(stage, value)] of the stages that are switched on, in order."""
        return [
            (name, self.controls[name].value)
            for name in self.order
            if not SETTINGS[name].is_off(self.controls[name].value)
        ]

    def process(self, logits):
        """Return [(stage, logits (1, V))], the model's own first, as each active stage leaves them."""
        steps = [("model", logits)]
        for name, value in self.active():
            steps.append((name, SETTINGS[name].function(steps[-1][1], value)))
        return steps

    def steps(self):
        """Return what `process` makes of the logits after the prompt."""
        return self.process(self._walk(self._ids()))

    def text(self):
        """Return the new text, decoded: each token is the one with the highest log-probability plus Gumbel noise."""
        return self.lm.decode(self._new_ids())

    def render(self):
        """Return the text that follows, what each stage left, and the most probable tokens."""
        steps, new = self.steps(), self._new_ids()
        return (
            '<div style="line-height:1.35;font-variant-numeric:tabular-nums">'
            f'<p style="white-space:pre-wrap;max-width:60em;min-height:2.7em">{escape(self.prompt.value)}'
            f"<b>{escape(self.lm.decode(new))}</b></p>"
            '<div style="display:flex;flex-wrap:wrap;gap:.5em 3em;align-items:flex-start">'
            f"{self._stage_table(steps)}{self._token_table(steps, new[0])}</div></div>"
        )

    def picture(self):
        """Return a figure: the most probable tokens before (outlined) and after all stages, and the text."""
        steps = self.steps()
        before, after = steps[0][1][0].softmax(-1), steps[-1][1][0].softmax(-1)
        ids = before.topk(min(_ROWS, len(before))).indices
        fig, ax = plt.subplots(figsize=(8, 5.4))
        title = " → ".join(["model", *(f"{name} {value:g}" for name, value in self.active())])
        words = [self.lm.decode([i]) for i in ids.tolist()]
        plot_distribution(words, after[ids], kept=after[ids] > 0, before=before[ids], title=title, ax=ax)
        ax.set_xlabel("probability (outline: of the model)")
        text = "".join(c if c == " " else visible(c) for c in f"{self.prompt.value}|{self.text()}")
        fig.supxlabel(text, wrap=True, fontsize=11, x=0.02, ha="left")
        return fig

    def summary(self):
        """Return the pipeline, what it keeps, and the text."""
        steps = self.steps()
        count, mass, entropy = _numbers(steps[0][1], steps[-1][1])
        pipeline = " → ".join(f"{name} {value:g}" for name, value in self.active()) or "no stage active"
        kept = f"{count:,} of {steps[0][1].shape[1]:,} tokens, mass {mass:.3f}, entropy {entropy:.2f} nats"
        return f"SamplerBench: {self.prompt.value!r}, {pipeline}: {kept}\n{self.prompt.value}|{self.text()}"

    def _ids(self):
        ids = self.lm.encode(self.prompt.value)
        room = self.lm.model.config.n_positions - self.new_tokens
        if not 1 <= ids.shape[1] <= room:
            raise ValueError(f"the prompt has {ids.shape[1]} tokens; write one that has 1 to {room}.")
        return tuple(ids[0].tolist())

    def _new_ids(self):
        ids, new, noise = self._ids(), [], self._noise(self.seed.value)
        while len(new) < self.new_tokens and self.lm.tokenizer.eos_token_id not in new:
            logits = self.process(self._walk((*ids, *new)))[-1][1][0]
            new.append(int((logits.log_softmax(-1) + noise[len(new)].to(logits.device)).argmax()))
        return new

    def _noise(self, seed):
        if self._drawn[0] != seed:
            rows, columns = self.new_tokens, self.lm.model.config.vocab_size
            generator = torch.Generator("cpu").manual_seed(seed)
            uniform = torch.rand(rows, columns, dtype=torch.double, generator=generator, device="cpu")
            self._drawn = (seed, -(-uniform.clamp(min=1e-300).log()).log())
        return self._drawn[1]

    def _walk(self, ids):
        """Return the model's logits (1, V) after `ids`; what was computed for another setting is used again."""
        if ids not in self._known:
            pairs = zip(self._cached, ids[:-1], strict=False)  # the last id is always computed
            self._cache.length = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
            with torch.inference_mode():
                new = torch.tensor([ids[self._cache.length :]], device=self.lm.model.device)
                logits = self.lm.scratch(new, cache=self._cache, last_only=True)[:, -1]
            self._cached = ids
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[ids] = logits
        return self._known[ids]

    def _stage_table(self, steps):
        left, rows = dict(steps), []
        for place, name in enumerate(["model", *self.order]):
            label = f"{place}. {name} {self.controls[name].value:g}" if place else "the model"
            if name in left:
                count, mass, entropy = _numbers(steps[0][1], left[name])
                cells = f"<td>{count:,}</td><td>{mass:.3f}</td><td>{entropy:.3f}</td>"
            else:
                label, cells = f"{place}. {name} off", '<td colspan="3">–</td>'
            rows.append(f'<tr><th scope="row" style="text-align:left">{label}</th>{cells}</tr>')
        head = "<th>stage</th><th>tokens kept</th><th>their mass (model)</th><th>entropy (nats)</th>"
        return f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def _token_table(self, steps, drawn):
        before, after = (logits[0].softmax(-1) for logits in (steps[0][1], steps[-1][1]))
        ranked = before.argsort(descending=True, stable=True).tolist()
        shown = ranked[:_ROWS] if drawn in ranked[:_ROWS] else [*ranked[: _ROWS - 1], drawn]
        longest = float(torch.stack([before[shown], after[shown]]).max())
        rows = []
        for i in shown:
            gone = next((name for name, logits in steps if logits[0, i] == -torch.inf), None)
            rank = ranked.index(i) + 1
            style, mark = (_DRAWN, "▶ ") if i == drawn else ("", "")
            now = f"<td>–</td><td>✗ {gone}</td>" if gone else _cells(after[i], longest, "#0072B2")
            rows.append(
                f'<tr{style}><td>{rank}</td><th scope="row" style="text-align:right;white-space:nowrap">'
                f"{mark}{token_html(self.lm.decode([i]))}</th>{_cells(before[i], longest, '#767676')}{now}</tr>"
            )
        head = '<th>rank</th><th>token (▶ drawn)</th><th colspan="2">model</th><th colspan="2">drawn from</th>'
        return f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cells(prob, longest, colour):
    bar = f"background:{colour};height:.8em;width:{max(float(prob) / longest * 9, 0.06):.2f}em"
    return f'<td>{prob:.4f}</td><td style="min-width:9em"><div style="{bar}"></div></td>'


def _numbers(model, logits):
    """Return how many tokens `logits` (1, V) leave, their probability under the model, and the entropy in nats."""
    kept, log_probs = logits[0] > -torch.inf, logits[0].double().log_softmax(-1)
    entropy = -(log_probs[kept].exp() * log_probs[kept]).sum()
    return int(kept.sum()), float(model[0].double().softmax(-1)[kept].sum()), abs(float(entropy))
