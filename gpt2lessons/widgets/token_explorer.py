"""The token explorer: type a text and see its tokens, ids and bytes, and the merges of the token you pick."""

import ipywidgets
import matplotlib.pyplot as plt

from gpt2lessons.bpe import BPE
from gpt2lessons.plots.style import visible
from gpt2lessons.plots.tokens import SHADES, plot_merges, plot_tokens
from gpt2lessons.widgets.base import Twin, escape

VOCABULARIES = {"GPT-2 (50,257 tokens)": BPE.gpt2, "gpt2-mini (8,449 tokens)": BPE.mini}
_SHOWN, _DRAWN, _STEPS = 400, 60, 12


class TokenExplorer(Twin):
    """Tokens of a text, coloured, with the ids, the bytes and the merges of one of them, step by step.

    `text` is what is cut at first, `vocabulary` "gpt2" or "mini", `token` which token is picked, from 1. The slider
    picks a token, with the arrow keys too; pointing at a token shows its id and bytes.
    """

    def __init__(self, text="I am a large language model", *, vocabulary="gpt2", token=1):
        names = dict(zip(("gpt2", "mini"), VOCABULARIES, strict=True))
        if vocabulary not in names:
            raise ValueError(f"vocabulary should be 'gpt2' or 'mini', not {vocabulary!r}.")
        style, wide = {"description_width": "6em"}, ipywidgets.Layout(width="40em", max_width="98%")
        self.text = ipywidgets.Textarea(text, description="text", rows=2, style=style, layout=wide)
        self.vocabulary = ipywidgets.ToggleButtons(
            options=list(VOCABULARIES),
            value=names[vocabulary],
            description="vocabulary",
            style=style | {"button_width": "auto"},
        )
        self.token = ipywidgets.IntSlider(1, min=1, max=1, description="token", style=style, layout=wide)
        self._fit()
        self.token.value = min(max(token, 1), self.token.max)
        super().__init__([self.text, self.vocabulary, self.token])

    @property
    def bpe(self):
        """The chosen vocabulary, a `BPE`."""
        return VOCABULARIES[self.vocabulary.value]()

    def tokens(self):
        """Return the tokens of the text, a list of (id, piece): the piece of text that the token was cut from.

        Raises ValueError for a lone surrogate.
        """
        bpe, found = self.bpe, []
        for number, part in enumerate(self.text.value.split("<|endoftext|>")):
            found += [(bpe.eos_token_id, None)] if number else []
            found += [(i, piece) for piece in bpe.split(part) for i in bpe.encode(piece, split_special_tokens=True)]
        return found

    def refresh(self, change=None):
        """Give the slider as many steps as there are tokens, then draw the view again."""
        self._fit()
        super().refresh(change)

    def _fit(self):
        try:
            self.token.max = max(1, len(self.tokens()))
        except ValueError:  # render says why
            self.token.max = 1

    def render(self):
        """Return the coloured tokens, the facts about the picked one, and its merges, as HTML."""
        tokens = self.tokens()
        if not tokens:
            return "<p>An empty text has no tokens. Type something above.</p>"
        picked, text = self.token.value - 1, self.text.value
        counts = (
            f"<b>{len(tokens):,} token{'s' * (len(tokens) > 1)}</b> for {len(text):,} characters, "
            f"{len(text.encode()):,} bytes"
        )
        start = max(0, min(picked - _SHOWN // 2, len(tokens) - _SHOWN))
        shown = range(start, min(start + _SHOWN, len(tokens)))
        left_out = len(tokens) - len(shown)
        boxes = "".join(self._token(i, tokens[i][0], i == picked) for i in shown)
        more = f"<p><i>{left_out:,} more tokens are not drawn; the slider reaches them.</i></p>" if left_out else ""
        return (
            f'<div aria-live="polite"><p>{counts}</p><div style="line-height:2.3">{boxes}</div>{more}'
            f"{self._facts(*tokens[picked])}</div>"
        )

    def _token(self, i, token_id, picked):
        frame = "outline:3px solid #D55E00;font-weight:bold;" if picked else ""
        token = self.bpe.token_bytes[token_id]
        return (
            f'<span title="token {i + 1}: id {token_id}, bytes {token.hex(" ")}" style="background:'
            f"{SHADES[i % len(SHADES)]};color:black;border:1px solid #444;border-radius:3px;padding:2px 3px;"
            f'margin:0 1px;{frame}white-space:nowrap">{self._name(token)}<sub>{token_id}</sub></span> '
        )

    def _facts(self, token_id, piece):
        token = self.bpe.token_bytes[token_id]
        if piece is None:
            return (
                f"<p>{self._name(token)}: id {token_id}, the special token. It was not learnt and is never merged.</p>"
            )
        single = "" if len(token) > 1 else ", a single byte"
        lead = (
            f"<p>picked: <b>{self._name(token)}</b>, id {token_id}, bytes <code>{token.hex(' ')}</code>{single}; "
            f"from the piece <code>{self._name(piece.encode())}</code></p>"
        )
        steps = self.bpe.explain(piece) if len(piece) <= 200 else []
        if not steps:
            reason = "is too long to list its merges" if len(piece) > 200 else "needs no merge: no neighbours join"
            return f"{lead}<p>The piece {reason}.</p>"
        rows = [self._row("bytes", [bytes([b]) for b in piece.encode()], None)]
        rows += [self._row(f"{step.rank:,}", step.parts, step.token) for step in steps[:_STEPS]]
        if len(steps) > _STEPS:
            rows.append(self._row(f"… {len(steps)} merges", steps[-1].parts, steps[-1].token))
        head = "".join(f'<th style="text-align:left;padding:0 .7em">{h}</th>' for h in ("merge", "the piece after it"))
        return f'{lead}<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'

    def _row(self, name, parts, new):
        cells = " · ".join(f"<b><u>{self._name(p)}</u></b>" if p == new else self._name(p) for p in parts)
        return (
            f'<tr><td style="text-align:right;padding:0 .7em">{name}</td><td style="padding:0 .7em">{cells}</td></tr>'
        )

    def _name(self, token):
        # a browser has more letters than a figure's font, so only what cannot be seen is replaced
        text = token.decode("utf8", "backslashreplace").translate({32: "␣", 10: "⏎", 9: "⇥"})
        return escape("".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text))

    def picture(self):
        """Return the tokens, and the merges of the picked one's piece, as a matplotlib Figure."""
        tokens = self.tokens()
        piece = tokens[self.token.value - 1][1] if tokens else None
        steps = self.bpe.explain(piece)[:_STEPS] if piece and len(piece) <= 200 else []
        lines = 1 + sum(3 + max(len(self.bpe.show(i)), 4) for i, _ in tokens[:_DRAWN]) // 80
        heights = [0.9 * lines, 0.5 * (len(steps) + 1)] if steps else [0.9 * lines]
        figure, axes = plt.subplots(
            len(heights), 1, figsize=(9.5, sum(heights) + 0.6), height_ratios=heights, squeeze=False
        )
        drawn = [i for i, _ in tokens[:_DRAWN]]
        plot_tokens([self.bpe.show(i) for i in drawn], drawn, picked=self.token.value - 1, ax=axes[0, 0])
        axes[0, 0].set_title(f"{len(tokens):,} tokens, vocabulary {self.vocabulary.value}")
        if steps:
            stages = [[bytes([b]) for b in piece.encode()], *(step.parts for step in steps)]
            plot_merges(stages, [step.rank for step in steps], ax=axes[1, 0])
            axes[1, 0].set_title(f"how {visible(piece)} is merged")
        return figure

    def summary(self):
        """Return the text's ids in one line."""
        ids = [i for i, _ in self.tokens()]
        more = f" … ({len(ids):,} in all)" if len(ids) > 20 else ""
        return (
            f"TokenExplorer, {self.vocabulary.value}: {self.text.value[:60]!r} -> {' '.join(map(str, ids[:20]))}{more}"
        )
