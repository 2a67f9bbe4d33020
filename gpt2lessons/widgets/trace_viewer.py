"""The trace viewer: a generated text, every token coloured by its rank or probability, with its alternatives."""

import ipywidgets

from gpt2lessons.plots.next_token import RANK_CLASSES, plot_trace, rank_class
from gpt2lessons.widgets.base import Twin, escape, token_html


class TraceViewer(Twin):
    """Step through a text that `generate(..., trace=True)` wrote.

    `lm` is a `LanguageModel`, `result` what `generate` returned, `row` which of its texts. The slider (arrow keys)
    picks a token, whose alternatives are listed below the text; pointing at a token shows its three best.
    `ValueError` if the result has no trace.
    """

    def __init__(self, lm, result, *, row=0, by="rank", shown=8):
        if not result.trace:
            raise ValueError("this result has no trace: call generate with trace=True")
        if not 0 <= row < len(result.sequences):
            raise ValueError(f"row must be from 0 to {len(result.sequences) - 1}, not {row}")
        self.lm, self.row = lm, row
        new = int(result.lengths[row])
        self.steps = [_step(step, row, shown) for step in result.trace[:new]]
        start = result.sequences.shape[1] - result.new_tokens.shape[1]
        self.prompt = lm.decode(result.sequences[row, :start])
        style = {"description_width": "6em"}
        self.by = ipywidgets.ToggleButtons(options=["rank", "probability"], value=by, description="colour by")
        self.position = ipywidgets.IntSlider(
            1, min=1, max=new, description="token", style=style, layout=ipywidgets.Layout(width="34em")
        )
        super().__init__([self.by, self.position])

    def render(self):
        """Return the coloured text and the table of alternatives as HTML."""
        picked = self.position.value - 1
        tokens = "".join(self._token(i, i == picked) for i in range(len(self.steps)))
        text = f'<div style="line-height:2;max-width:60em">{escape(self.prompt)}{tokens}</div>'
        return text + self._legend() + self._table(picked)

    def _token(self, i, picked):
        step = self.steps[i]
        best = ", ".join(f"{self._name(t)} {p:.3f}" for t, p, _ in step["top"][:3])
        about = f"token {i + 1}, rank {step['rank']:,}, probability {step['prob']:.3f}; most probable: {best}"
        if self.by.value == "rank":
            look = f"background:{rank_class(step['rank'])[0]};color:black"
        else:  # a bar below the token as well as a shade, so that colour is never alone
            look = f"background:rgba(0,114,178,{0.08 + 0.5 * step['prob']:.2f});" + (
                f"border-bottom:{1 + round(4 * step['prob'])}px solid #0072B2"
            )
        frame = ";outline:3px solid #D55E00;font-weight:bold" if picked else ""
        box = "padding:0 1px;margin:0 1px;display:inline-block;line-height:1.5"  # inline-block: lines may break between
        return f'<span title="{about}" style="{look}{frame};{box}">{self._name(step["id"])}</span>'

    def _legend(self):
        if self.by.value == "probability":
            return "<p><small>the stronger the blue and the thicker the line, the more probable the token</small></p>"
        limits = [1, *(limit + 1 for limit, *_ in RANK_CLASSES)]
        boxes = (
            f'<span style="background:{c};color:black;padding:0 .5em">{n}</span>' for c, n in map(rank_class, limits)
        )
        return f"<p><small>rank: {' '.join(boxes)}</small></p>"

    def _table(self, picked):
        step = self.steps[picked]
        rows = []
        for rank, (token, p, drawn_from) in enumerate(step["top"], 1):
            rows.append(self._alternative(rank, token, p, drawn_from, token == step["id"]))
        if all(token != step["id"] for token, *_ in step["top"]):
            rows.append(self._alternative(step["rank"], step["id"], step["prob"], step["drawn_from"], True))
        head = "".join(
            f'<th style="padding:0 .7em;text-align:left">{t}</th>' for t in ("rank", "token", "model", "after rules")
        )
        return (
            f"<p>token {picked + 1}: entropy {step['entropy']:.2f} nats, {step['kept']:,} tokens to choose from</p>"
            f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'
        )

    def _alternative(self, rank, token, p, drawn_from, chosen):
        bar = f'<span style="display:inline-block;height:.8em;width:{14 * p:.2f}em;background:#0072B2"></span>'
        cells = [f"{rank:,}", self._name(token), f"{bar} {p:.3f}", f"{drawn_from:.3f}" if drawn_from else "removed"]
        cells[-1] += " <b>◀ chosen</b>" if chosen else ""
        frame = "outline:2px solid #E69F00;font-weight:bold" if chosen else ""
        return (
            f'<tr style="{frame}">'
            + "".join(f'<td style="padding:0 .7em;text-align:left">{c}</td>' for c in cells)
            + "</tr>"
        )

    def _name(self, token):
        return token_html(self.lm.decode([token]))

    def picture(self):
        """Return the text coloured by rank as a matplotlib Figure."""
        tokens = [self.lm.decode([step["id"]]) for step in self.steps]
        return plot_trace(tokens, [step["rank"] for step in self.steps]).figure

    def summary(self):
        """Return how many tokens there are, and how many were the model's first choice, in one line."""
        first = sum(step["rank"] == 1 for step in self.steps)
        return f"TraceViewer: {len(self.steps)} tokens after {self.prompt!r}, {first} of them the most probable one"


def _step(step, row, shown):
    """Reduce one step of a trace to the plain numbers of `row`; "top" is [(id, model's p, p drawn from)]."""
    ids, probs = step.top(shown)
    ids, probs, drawn_from = ids[row].tolist(), probs[row].tolist(), step.probs[row]
    token = int(step.token[row])
    return {
        "id": token,
        "rank": int(step.rank[row]),
        "prob": float(step.log_prob[row].exp()),
        "drawn_from": float(drawn_from[token]),
        "entropy": float(step.entropy[row]),
        "kept": int(step.kept[row]),
        "top": [(i, p, float(drawn_from[i])) for i, p in zip(ids, probs, strict=True)],
    }
