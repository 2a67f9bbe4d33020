"""The training watcher: go back to any step of a training, read what the model wrote then and what it expected."""

import ipywidgets
import torch

from gpt2lessons.adapters import device_of
from gpt2lessons.decoding.generation import generate
from gpt2lessons.plots.training import plot_watched, smooth
from gpt2lessons.widgets.base import Twin, escape, token_html

SHOWN = 6
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 620, 190, 44, 150  # of the drawing, and its margins, in pixels


class TrainingWatcher(Twin):
    """A slider through the steps of a recorded training: loss curve, a sample, the most probable next tokens.

    `copies` {number of steps made: our `GPT2` as it was then}; `losses` (N,) nats per token, of each step; `bpe`, what
    encodes and decodes (a `BPE` or a `LanguageModel`); `lines` {name: loss} to compare with. The prompt can be edited.
    A sample is drawn with one seed at all steps: what differs is the model. Raises ValueError without copies or losses.
    """

    def __init__(self, copies, losses, bpe, prompt, *, lines=None, new_tokens=40):
        if not copies or not len(losses):
            raise ValueError("there is nothing to watch: give {step: copy of the model} and the loss of each step.")
        if beyond := [step for step in copies if not 0 <= step <= len(losses)]:
            raise ValueError(f"there is a copy of step {beyond[0]}, but the losses are those of {len(losses)} steps.")
        self.copies, self.bpe = dict(sorted(copies.items())), bpe
        self.losses, self.lines, self.new_tokens = [float(loss) for loss in losses], dict(lines or {}), new_tokens
        style, wide = {"description_width": "6em"}, ipywidgets.Layout(width="36em")
        self.step = ipywidgets.SelectionSlider(
            options=list(self.copies), value=list(self.copies)[-1], description="step", style=style, layout=wide
        )
        self.prompt = ipywidgets.Text(prompt, description="prompt", continuous_update=False, style=style, layout=wide)
        super().__init__([self.step, self.prompt])

    def state(self):
        """Return ([(next token, probability)], sample) of the chosen step; ValueError if the prompt does not fit."""
        model = self.copies[self.step.value]
        ids = self._encoded(model)
        room = model.config.n_positions - ids.shape[1]
        if room < 1:
            raise ValueError(
                f"The prompt has {ids.shape[1]:,} tokens, but this model reads {model.config.n_positions:,}, and one "
                "more has to fit. Shorten it."
            )
        with torch.no_grad():
            probs = model(ids, last_only=True)[0, -1].softmax(-1)
        best = probs.topk(min(SHOWN, len(probs)))
        top = [(self.bpe.decode([i]), p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
        generator = torch.Generator("cpu").manual_seed(0)
        drawn = generate(model, ids, max_new_tokens=min(self.new_tokens, room), do_sample=True, generator=generator)
        return top, self.bpe.decode(drawn.new_tokens[0].tolist())

    def _encoded(self, model):
        if not self.prompt.value:
            raise ValueError("Type a prompt, at least one character.")
        return torch.as_tensor(self.bpe.encode(self.prompt.value), device=device_of(model)).reshape(1, -1)

    def render(self):
        """Return the curve, the sample and the table of next tokens as HTML."""
        top, sample = self.state()
        rows = "".join(
            f'<tr><td style="padding:0 .8em"><code>{token_html(token)}</code></td><td style="text-align:left">'
            f'<span style="display:inline-block;height:.8em;width:{14 * p:.2f}em;background:#0072B2"></span> {p:.3f}'
            "</td></tr>"
            for token, p in top
        )
        return (
            f"<p>{escape(self._about())}</p>{self._curve()}"
            f'<p style="max-width:50em"><b>it writes:</b> {escape(self.prompt.value)}<span style="border-bottom:2px '
            f'solid #E69F00">{_visible(sample)}</span></p>'
            f"<p>most probable next tokens:</p><table>{rows}</table>"
        )

    def _about(self):
        step = self.step.value
        when = "before the first step" if step == 0 else f"after step {step:,} of {len(self.losses):,}"
        return f"{when}: loss {self._loss():.2f} nats per token"

    def _loss(self):
        """The loss of the next step, which is measured before it changes anything; at the end, of the last."""
        return self.losses[min(self.step.value, len(self.losses) - 1)]

    def _curve(self):
        """Return the curve as SVG; colours are those of the theme, the present step is a line and a dot."""
        values = smooth(self.losses, max(1, len(self.losses) // 40)).tolist()
        top = max(*values, *self.lines.values()) * 1.05 if self.lines else max(values) * 1.05

        def x(step):
            return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / len(self.losses)

        def y(loss):
            return 8 + (_HEIGHT - 34) * (1 - loss / top)

        points = " ".join(f"{x(i + 0.5):.1f},{y(v):.1f}" for i, v in enumerate(values))
        here = min(self.step.value, len(values) - 1)
        marks, place = [], -100.0
        for name, value in sorted(self.lines.items(), key=lambda item: -item[1]):
            place = max(y(value), place + 15)  # names that would touch are moved apart
            marks.append(
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                f'stroke="currentColor" stroke-dasharray="5 4" opacity=".6"/><text x="{_WIDTH - _RIGHT + 12}" '
                f'y="{place + 4:.1f}">{escape(name)} {value:.2f}</text>'
            )
        frame = f"{_LEFT},8 {_LEFT},{y(0):.1f} {x(len(values)):.1f},{y(0):.1f}"
        axes = f'<polyline fill="none" stroke="currentColor" points="{frame}"/>'
        ends = f'<text x="{_LEFT - 6}" y="{y(0) + 4:.1f}" text-anchor="end">0</text>'
        ends += f'<text x="{_LEFT - 6}" y="18" text-anchor="end">{top:.1f}</text>'
        ends += f'<text x="{_LEFT}" y="{_HEIGHT - 6}">step 0</text>'
        ends += f'<text x="{x(len(values)):.1f}" y="{_HEIGHT - 6}" text-anchor="end">{len(values):,}</text>'
        now, level = f"{x(self.step.value):.1f}", f"{y(values[here]):.1f}"
        present = f'<line x1="{now}" x2="{now}" y1="8" y2="{y(0):.1f}" stroke="#D55E00" stroke-width="2"/>'
        present += f'<circle cx="{now}" cy="{level}" r="5" fill="#D55E00"/>'
        return (
            f'<svg role="img" aria-label="loss against step; {escape(self._about())}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'style="max-width:{_WIDTH}px;width:100%;font-size:12px;fill:currentColor">{axes}{ends}{"".join(marks)}'
            f'<polyline fill="none" stroke="#2B8CC4" stroke-width="2" points="{points}"/>{present}</svg>'
        )

    def picture(self):
        """Return the curve with the chosen step, beside its next tokens, as a matplotlib Figure."""
        top, _ = self.state()
        tokens, probs = zip(*top, strict=True)
        return plot_watched(self.losses, self.step.value, tokens, probs, lines=self.lines)[0].figure

    def summary(self):
        """Return how many steps and copies there are in one line; losses differ a little between processors."""
        return f"TrainingWatcher: {len(self.losses):,} steps, {len(self.copies)} copies, prompt {self.prompt.value!r}"


def _visible(text):
    """Return a sample for HTML: control characters and broken bytes of an untrained model as signs, all escaped."""
    return escape("".join(c if c.isprintable() or c == "\n" else "·" for c in text)).replace("\n", "⏎<br>")
