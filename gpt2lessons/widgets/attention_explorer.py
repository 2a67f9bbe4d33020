"""The attention explorer: every head's pattern as a small picture, one of them large, and where a token looks."""

import base64
import io

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch

from gpt2lessons.plots.architecture import plot_head_grid, plot_pattern
from gpt2lessons.plots.style import visible
from gpt2lessons.widgets.base import Twin, escape, shade, token_html

LONGEST = 24  # tokens: a larger pattern cannot be read any more
_STYLE = (
    "<style>.gl-own{display:none;position:absolute;left:0;bottom:0;max-height:4.4em;overflow:auto;text-align:left;"
    "background:white;color:black;border:1px solid #777;border-radius:3px;padding:2px 5px;line-height:1.5}"
    ".gl-token:hover>.gl-own,.gl-token:focus>.gl-own{display:block}</style>"
)


class AttentionExplorer(Twin):
    """Attention patterns of `lm` (a `LanguageModel`) on `text`, at most 24 tokens of it.

    The sliders pick a layer, a head and a token, with the arrow keys too; the text shows where the token looks, the
    grid shows all heads. Pointing at a square or a token gives its numbers. Layers, heads count from 0, as in names.
    """

    def __init__(self, lm, text="Once upon a time there was a king", *, layer=0, head=0, token=None):
        self.lm, self._known = lm, {}
        layers, heads = lm.model.config.n_layer, lm.model.config.n_head
        for name, value, count in (("layer", layer, layers), ("head", head, heads)):
            if not 0 <= value < count:
                raise ValueError(f"{name} should be 0 to {count - 1} for {lm.name}, not {value!r}.")
        style, wide = {"description_width": "4em"}, ipywidgets.Layout(width="40em", max_width="98%")
        shared = {"style": style, "layout": wide}
        self.text = ipywidgets.Text(text, description="text", continuous_update=False, **shared)
        self.layer = ipywidgets.IntSlider(layer, min=0, max=layers - 1, description="layer", **shared)
        self.head = ipywidgets.IntSlider(head, min=0, max=heads - 1, description="head", **shared)
        self.token = ipywidgets.IntSlider(1, min=1, max=1, description="token", **shared)
        self._fit()
        self.token.value = self.token.max if token is None else min(max(token, 1), self.token.max)
        super().__init__([self.text, self.layer, self.head, self.token])

    def patterns(self):
        """Return (tokens, patterns): a list of T texts and an array (layers, heads, T, T). ValueError if no text."""
        text = self.text.value
        if text not in self._known:
            ids = self.lm.encode(text)[:, :LONGEST]
            record, layers = {}, range(self.lm.model.config.n_layer)
            with torch.no_grad():
                self.lm.scratch(ids, record=record)
            stacked = torch.stack([record[f"h.{i}.attn.pattern"][0] for i in layers]).float().cpu().numpy()
            self._known = {text: ([self.lm.decode([i]) for i in ids[0]], stacked, _png(stacked))}
        return self._known[text][:2]

    def refresh(self, change=None):
        """Give the token slider as many steps as there are tokens, then draw the view again."""
        self._fit()
        super().refresh(change)

    def _fit(self):
        try:
            self.token.max = len(self.patterns()[0])
        except ValueError:  # render says why
            self.token.max = 1

    def render(self):
        """Return the text coloured by the picked token's weights, the pattern, and the grid of heads, as HTML."""
        tokens, patterns = self.patterns()
        layer, head, picked = self.layer.value, self.head.value, self.token.value - 1
        pattern = patterns[layer, head]
        weights = pattern[picked]
        best = int(weights.argmax())
        cut = "" if len(tokens) < LONGEST else f" <i>(at most the first {LONGEST} tokens are shown)</i>"
        where = "itself" if best == picked else f"token {best + 1}, <b>{token_html(tokens[best])}</b>"
        return (
            f'<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start"><div style="max-width:36em">'
            f'<p aria-live="polite" style="min-height:2.8em">Layer {layer}, head {head}: token {picked + 1}, '
            f"<b>{token_html(tokens[picked])}</b>, looks most at {where}, with weight {weights[best]:.2f}.{cut}</p>"
            f"{self._sentence(tokens, pattern, picked)}{self._pattern(tokens, pattern, picked)}</div>"
            f"{self._grid(tokens, patterns, layer, head, picked)}</div>"
        )

    def _sentence(self, tokens, pattern, picked):
        """The text, coloured by where `picked` looks; each token unfolds its own view when pointed at or focused."""
        boxes = []
        for i, token in enumerate(tokens):
            frame = "outline:3px solid #D55E00;" if i == picked else ""
            weight, faded = (f"{pattern[picked, i]:.2f}", "") if i <= picked else ("–", "opacity:.65;")
            tip = "" if i <= picked else ' title="comes later: hidden by the mask"'
            own = "".join(
                f'<span style="padding:1px 3px;{_shade(w)}">{token_html(tokens[j])} <small>{w:.2f}</small></span>'
                for j, w in enumerate(pattern[i, : i + 1])
            )
            boxes.append(
                f'<span class="gl-token" tabindex="0"{tip} style="display:inline-block;text-align:center;margin:2px;'
                f"border:1px solid #777;border-radius:3px;padding:1px 4px;{frame}{faded}"
                f'{_shade(pattern[picked, i])}">'
                f"{token_html(token)}<br><small>{weight}</small><span class=gl-own>{token_html(token)} looks at: {own}"
                f"</span></span>"
            )
        return f'{_STYLE}<div style="position:relative;padding-bottom:4.6em">{"".join(boxes)}</div>'

    def _pattern(self, tokens, pattern, picked):
        size = max(9, min(26, 340 // len(tokens)))
        rows = []
        for i, row in enumerate(pattern):
            cells = "".join(
                f'<td title="{escape(f"{visible(tokens[i])} looks at {visible(tokens[j])}: {weight:.3f}")}" '
                f'style="width:{size}px;height:{size}px;padding:0;{_shade(weight)}"></td>'
                for j, weight in enumerate(row[: i + 1])
            )
            mark = "font-weight:bold;text-decoration:underline;" if i == picked else ""
            label = (
                f'<th style="text-align:right;padding:0 .4em;font-weight:normal;{mark}">{token_html(tokens[i])}</th>'
            )
            rows.append(f"<tr>{label}{cells}</tr>")
        small = f"font-size:{min(13, size)}px;line-height:1"
        return (
            f'<table style="border-collapse:collapse;margin-top:.8em;{small}">'
            f'<caption style="text-align:left;white-space:nowrap">rows '
            f"look at columns, which are in the same order</caption>{''.join(rows)}</table>"
        )

    def _grid(self, tokens, patterns, layer, head, picked):
        layers, heads = patterns.shape[:2]
        width, height = 100 / heads, 100 / layers
        squares = []
        for i, j in np.ndindex(layers, heads):
            best = int(patterns[i, j, picked].argmax())
            tip = f"layer {i}, head {j}: {visible(tokens[picked])} looks most at {visible(tokens[best])}"
            frame = "outline:3px solid #D55E00;z-index:1;" if (i, j) == (layer, head) else ""
            squares.append(
                f'<div title="{escape(f"{tip} ({patterns[i, j, picked, best]:.2f})")}" style="position:absolute;left:'
                f'{j * width:.3f}%;top:{i * height:.3f}%;width:{width:.3f}%;height:{height:.3f}%;{frame}"></div>'
            )
        side = max(34, min(52, 480 // heads))
        return (
            f'<figure style="margin:0"><figcaption>all heads: a row per layer, 0 to {layers - 1}; a column per head, 0 '
            f'to {heads - 1}</figcaption><div style="position:relative;width:{side * heads}px;height:{side * layers}px;'
            f'background:white"><img alt="attention patterns of all heads" src="data:image/png;base64,'
            f'{self._known[self.text.value][2]}" style="width:100%;height:100%;image-rendering:pixelated;margin:0">'
            f"{''.join(squares)}</div></figure>"
        )

    def picture(self):
        """Return the grid of heads and the picked head's pattern as a matplotlib Figure."""
        tokens, patterns = self.patterns()
        layer, head = self.layer.value, self.head.value
        figure, axes = plt.subplots(1, 2, figsize=(13.5, 6))
        plot_head_grid(patterns, picked=(layer, head), ax=axes[0])
        axes[0].set_title("all heads")
        plot_pattern(patterns[layer, head], tokens, ax=axes[1])
        axes[1].set_title(f"layer {layer}, head {head}")
        return figure

    def summary(self):
        """Return what the picked token looks at most, in one line."""
        try:
            tokens, patterns = self.patterns()
        except ValueError:
            return "AttentionExplorer: no text"
        layer, head, picked = self.layer.value, self.head.value, self.token.value - 1
        best = int(patterns[layer, head, picked].argmax())
        return (
            f"AttentionExplorer, layer {layer}, head {head}: {tokens[picked]!r} looks most at {tokens[best]!r} "
            f"({patterns[layer, head, picked, best]:.2f})"
        )


def _shade(weight):
    """Background from white (0) to dark blue (1), as in the small pictures."""
    return shade(float(weight) ** 0.7, (0, 60, 110))


def _png(patterns):
    """Return all patterns (layers, heads, T, T) as one small picture, base64: a cell of the grid per head."""
    layers, heads, size, _ = patterns.shape
    canvas = np.zeros((layers * (size + 1), heads * (size + 1)))
    for i, j in np.ndindex(layers, heads):
        canvas[i * (size + 1) :, j * (size + 1) :][:size, :size] = patterns[i, j]
    shade = canvas[..., None] ** 0.7
    colours = (255 + (np.array([0, 60, 110]) - 255) * shade).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    plt.imsave(buffer, colours, format="png", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
