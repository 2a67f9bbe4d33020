"""The beam tree: step through a beam search, change its width, and see what is kept, what is dropped, and why."""

import math

import ipywidgets

from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.plots.search import STATES, plot_beam_tree, tree_rows
from gpt2lessons.plots.style import visible
from gpt2lessons.widgets.base import Twin, escape

# dash patterns for SVG, one per state
_DASHES = {"kept": "", "finished": "", "pruned": "5 3", "banned": "1 3"}
_WIDTH, _HEIGHT, _COLUMN, _ROW = 128, 36, 172, 44


class BeamTree(Twin):
    """A beam search on `model` from `prompt`, step by step, for any number of beams up to `most_beams`.

    `model`: a `LanguageModel` or a `ToyModel` (whatever `beam_search` takes that has `encode` and `decode`). Sliders:
    beams and step, moved with the arrow keys; the box hides what was dropped. Pointing at a candidate tells what
    became of it. `settings` go on to `beam_search`.
    """

    def __init__(self, model, prompt, *, num_beams=2, most_beams=6, max_new_tokens=4, step=None, **settings):
        self.model, self.text, self.max_new_tokens, self.settings = model, prompt, max_new_tokens, settings
        self._found = {}
        style, wide = {"description_width": "6em"}, ipywidgets.Layout(width="26em")
        look = {"style": style, "layout": wide}
        self.num_beams = ipywidgets.IntSlider(num_beams, min=1, max=most_beams, description="beams", **look)
        first = max_new_tokens if step is None else step
        self.step = ipywidgets.IntSlider(first, min=0, max=max_new_tokens, description="step", **look)
        self.dropped = ipywidgets.Checkbox(True, description="show what was dropped", indent=False)
        super().__init__([self.num_beams, self.step, self.dropped])

    def result(self):
        """Return the `BeamResult` for the present number of beams; each is searched once."""
        beams = self.num_beams.value
        if beams not in self._found:
            arguments = {"num_beams": beams, "num_return_sequences": beams, "max_new_tokens": self.max_new_tokens}
            self._found[beams] = beam_search(self.model, self.model.encode(self.text), **arguments, **self.settings)
        return self._found[beams]

    def shown(self):
        """Return the candidates that are in view, and the one whose path is highlighted, or None."""
        tree, step = self.result().tree, self.step.value
        nodes = [n for n in tree.nodes if n.step <= step]
        if not self.dropped.value:
            nodes = [n for n in nodes if n.state in ("kept", "finished")]
        if step >= tree.num_steps:
            return nodes, self.result().hypotheses[0].node
        live = [n for n in nodes if n.state == "finished" or (n.state == "kept" and n.step == step)]
        return nodes, max(live, key=lambda n: n.total, default=None)

    def name(self, token):
        """Return the text of a token id."""
        return self.model.decode([token])

    def words(self, node):
        """Return the new text up to a candidate, its line breaks made visible."""
        return self.model.decode(node.new_ids()).replace("\n", "⏎")

    def render(self):
        """Return the tree as SVG and the candidates of the present step as a table."""
        nodes, best = self.shown()
        return f'<div style="overflow-x:auto">{self._svg(nodes, best)}</div>{self._explanation(nodes)}'

    def _svg(self, nodes, best):
        rows, path = tree_rows(nodes), set(best.path()) if best else set()
        width = _COLUMN * (max((n.step for n in nodes), default=0) + 1)
        height = _ROW * (max(rows.values()) + 1)
        parts = [self._box(0, rows[None], "#767676", "", self.text, "", f"the prompt: {self.text}", bool(path))]
        for node in nodes:
            sign, colour, _ = STATES[node.state]
            start = (node.step - 1) * _COLUMN + _WIDTH
            ends = (
                f'x1="{start}" y1="{_middle(rows[node.parent])}" x2="{node.step * _COLUMN}" y2="{_middle(rows[node])}"'
            )
            line = f'stroke-width="{3 if node in path else 1.2}" stroke-dasharray="{_DASHES[node.state]}"'
            parts.append(f'<line {ends} stroke="{colour}" {line}/>')
            numbers = f"p {math.exp(node.log_prob):.3f} · Σ {node.total:.2f}"
            label = f"{sign} {visible(self.name(node.token))}".replace(r"\$", "$")
            hover = f"{self.words(node)}: {node.state}. {node.reason}"
            dash = _DASHES[node.state]
            parts.append(self._box(node.step, rows[node], colour, dash, label, numbers, hover, node in path))
        head = f'<svg role="img" aria-label="beam search tree" width="{width}" height="{height}"'
        return f'{head} font-size="12" text-anchor="middle">{"".join(parts)}</svg>'

    def _box(self, step, row, colour, dash, label, numbers, hover, bold):
        x, y = step * _COLUMN + 2, row * _ROW + 4
        label = label if len(label) <= 17 else label[:16] + "…"
        stroke = f'stroke="{colour}" stroke-width="{3 if bold else 1.2}" stroke-dasharray="{dash}"'
        frame = f'<rect x="{x}" y="{y}" width="{_WIDTH - 4}" height="{_HEIGHT}" rx="6" fill="none" {stroke}/>'
        lines = [(label, 15), (numbers, 30)] if numbers else [(label, 22)]
        weight = "bold" if bold else "normal"
        texts = "".join(
            f'<text x="{x + _WIDTH / 2 - 2}" y="{y + dy}" fill="currentColor" font-weight="{weight}">{escape(t)}</text>'
            for t, dy in lines
        )
        # a transparent face, so that the hint appears anywhere over the box
        face = f'<rect x="{x}" y="{y}" width="{_WIDTH - 4}" height="{_HEIGHT}" fill="transparent"/>'
        return f"<g>{frame}{texts}{face}<title>{escape(hover)}</title></g>"

    def _explanation(self, nodes):
        tree, step = self.result().tree, self.step.value
        if step == 0:
            return f"<p>The prompt. The model has said nothing yet; {self.num_beams.value} beam(s) will be kept.</p>"
        now = min(step, tree.num_steps)
        cell = 'style="padding:.1em .8em;text-align:left"'
        rows = "".join(
            f"<tr><td {cell}>{STATES[n.state][0]} {escape(self.words(n))}</td>"
            f"<td {cell}>{n.total:.3f}</td><td {cell}>{escape(n.reason)}</td></tr>"
            for n in nodes
            if n.step == now
        )
        head = "".join(f"<th {cell}>{t}</th>" for t in (f"new tokens, step {now}", "Σ (nats)", "what became of it"))
        stop = f"<p>The search stopped: {escape(tree.stopped)}.</p>" if step >= tree.num_steps else ""
        return f'<table style="border-collapse:collapse"><tr>{head}</tr>{rows}</table>{stop}'

    def picture(self):
        """Return the tree in view as a matplotlib Figure."""
        nodes, best = self.shown()
        return plot_beam_tree(nodes, self.name, prompt=self.text, highlight=best).figure

    def summary(self):
        """Return the settings and the highlighted path in one line."""
        _, best = self.shown()
        text = f"{self.model.decode(best.new_ids())!r} (sum {best.total:.2f} nats)" if best else "nothing yet"
        return f"BeamTree after {self.text!r}: {self.num_beams.value} beams, step {self.step.value}: {text}"


def _middle(row):
    return row * _ROW + 4 + _HEIGHT / 2
