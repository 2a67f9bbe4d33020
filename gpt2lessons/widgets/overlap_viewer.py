"""The overlap viewer: which n-grams two texts share, and the ROUGE and BLEU that follow from it."""

from collections import Counter

import ipywidgets

from gpt2lessons.plots.evaluation import plot_overlap
from gpt2lessons.widgets.base import Twin, escape


class OverlapViewer(Twin):
    """Two texts to type, the n-grams that they share marked one by one, ROUGE and BLEU below.

    The words are those of `rouge_score` (lowercase letters and digits; with the box ticked, stems); each n-gram of the
    reference can be matched once only. BLEU is sacrebleu's and counts its own tokens, punctuation among them.
    """

    def __init__(self, candidate, reference, *, n=1, use_stemmer=False):
        style, wide = {"description_width": "6em"}, {"width": "46em"}
        texts = {"candidate": candidate, "reference": reference}
        self.candidate, self.reference = (
            ipywidgets.Text(v, description=k, continuous_update=False, style=style, layout=wide)
            for k, v in texts.items()
        )
        self.n = ipywidgets.IntSlider(n, min=1, max=4, description="n-gram size", style=style)
        self.stemmer = ipywidgets.Checkbox(use_stemmer, description="compare stems, not words", indent=False)
        super().__init__([self.candidate, self.reference, self.n, self.stemmer])

    def measure(self):
        """Return the words of both texts, which of their n-grams count as shared, and the scores, as a dict.

        Raises ValueError if a text has fewer words than n.
        """
        import sacrebleu
        from rouge_score import rouge_scorer, tokenizers

        n, tokenizer = self.n.value, tokenizers.DefaultTokenizer(self.stemmer.value)
        words = {}
        for name in ("candidate", "reference"):
            words[name] = tokenizer.tokenize(getattr(self, name).value)
            if len(words[name]) < n:
                count = len(words[name])
                raise ValueError(f"the {name} has {count} words, too few for {n}-grams; type more, or make n smaller")
        kinds = [f"rouge{n}", "rougeL"]
        scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=self.stemmer.value)
        scores = scorer.score(self.reference.value, self.candidate.value)
        bleu = sacrebleu.BLEU().corpus_score([self.candidate.value], [[self.reference.value]])
        spans = shared_ngrams(words["candidate"], words["reference"], n)
        return words | {"spans": spans, "rouge": {k: scores[k] for k in kinds}, "bleu": bleu}

    def render(self):
        """Return the two marked texts and the tables of scores as HTML."""
        m, n = self.measure(), self.n.value
        marked = "".join(
            f'<p style="margin:.6em 0"><b>{name}</b>: {_marked(m[name], spans, n)}</p>'
            for name, spans in zip(("candidate", "reference"), m["spans"], strict=True)
        )
        shared, sizes = sum(m["spans"][0]), [len(s) for s in m["spans"]]
        rows = "".join(
            f'<tr><th style="text-align:left;padding-right:1em">{"ROUGE-L" if k == "rougeL" else f"ROUGE-{n}"}</th>'
            f"<td>precision {s.precision:.4f}, recall {s.recall:.4f}, F1 {s.fmeasure:.4f}</td></tr>"
            for k, s in m["rouge"].items()
        )
        bleu = m["bleu"]
        precisions = ", ".join(f"{c}/{t}" for c, t in zip(bleu.counts, bleu.totals, strict=True))
        of_what = "stems" if self.stemmer.value else "words"  # said even where both give the same
        return (
            f"{marked}<p>{shared} of the candidate's {sizes[0]} {n}-grams of {of_what} are shared (precision); the "
            f"reference has {sizes[1]} (recall)</p><table>{rows}"
            f'<tr><th style="text-align:left">BLEU</th><td>n-grams {precisions}; brevity penalty {bleu.bp:.4f}; '
            f"score {bleu.score:.2f} of 100</td></tr></table>"
        )

    def picture(self):
        """Return the two texts with their shared n-grams as a matplotlib Figure."""
        m = self.measure()
        return plot_overlap(m["candidate"], m["reference"], m["spans"], n=self.n.value).figure

    def summary(self):
        """Return the shared n-grams, ROUGE and BLEU in one line."""
        m, n = self.measure(), self.n.value
        rouge = ", ".join(f"{k} F1 {s.fmeasure:.4f}" for k, s in m["rouge"].items())
        return f"OverlapViewer: {sum(m['spans'][0])} shared {n}-grams, {rouge}, BLEU {m['bleu'].score:.2f}"


def shared_ngrams(candidate, reference, n):
    """Return two lists of booleans: which n-grams of each text, from the left, are matched one to one."""
    grams = [list(zip(*(words[i:] for i in range(n)), strict=False)) for words in (candidate, reference)]
    both = Counter(grams[0]) & Counter(grams[1])
    spans = []
    for side in grams:
        left = Counter(both)
        spans.append([])
        for gram in side:
            spans[-1].append(left[gram] > 0)
            left[gram] -= 1
    return spans


def _marked(words, spans, n):
    """Return the words with the shared n-grams listed below them, each in brackets and underlined."""
    text = " ".join(escape(w) for w in words)
    grams = " ".join(
        f'<span title="{"shared" if hit else "not shared"}" style="padding:0 .3em;margin-right:.3em;'
        + ("background:#009E73;color:black;border:2px solid #009E73" if hit else "border:2px dotted #767676;opacity:.8")
        + f'">{"✓ " if hit else ""}{escape(" ".join(words[i : i + n]))}</span>'
        for i, hit in enumerate(spans)
    )
    return f'{text}<br><span style="line-height:2">{grams}</span>'
