"""The card of a trained gpt2-mini: what it is, what it read, how good it is, what it writes; from what was measured."""

import html
import json

import torch

from gpt2lessons.checksums import ASSETS
from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.decoding.generation import generate
from gpt2lessons.metrics.intervals import student_interval
from gpt2lessons.training import corpus

PROMPTS = ASSETS / "prompts.json"
NEW_TOKENS = 40
SETS = {  # what `make_mini.measure` tells apart, and how it is called
    "heldout": "books by authors of whom the model has read nothing",
    "authors seen": "books by authors whose other books the model has read, or whose author is not known",
}
STRATEGIES = {
    "greedy": "the most probable token each time",
    "beam": "5 beams, no pair of tokens twice",
    "sampled": "one draw from the nucleus, top_p = 0.9, seed 0",
}
LIMITS = """\
It writes the beginnings of old stories, and is meant for learning how text is generated, for nothing else. It knows no
facts, follows no instructions, and forgets after a sentence or two what it was about.

Its sources are English books of the nineteenth and early twentieth century, in the public domain in the United States.
Books were chosen, passages were not: nothing was left out of a book for what it says. So the model has the language and
the prejudices of that time, about women, servants, foreigners and peoples under colonial rule among others, and can
write sentences that hurt. Show it to children only with an adult beside them. A name that it writes is a character of
a book, or a coincidence."""


def write(lm, report, found):
    """Return the card as Markdown: of `lm`, of `report` (training.json) and of the corpus's books, {part: [Book]}."""
    size, last = lm.model.config, report["runs"][-1]
    parameters = lm.model.num_parameters()
    sections = [
        f"# gpt2-mini, version {last['version']}",
        f"A GPT-2 of {parameters:,} parameters: {size.n_layer} blocks, {size.n_head} heads, {size.n_embd} wide, a "
        f"context of {size.n_positions} tokens, the output head tied to the token embedding, weights in "
        "float16 (safetensors). "
        "GPT-2 itself has 12 blocks of 12 heads, 768 wide, a context of 1,024 and 124,439,808 parameters.",
        "## What it is and is not",
        LIMITS,
        "## Tokenizer",
        f"GPT-2's byte-level BPE, cut to {size.vocab_size:,} tokens: the 256 bytes, GPT-2's first "
        f"{size.vocab_size - 257:,} merges, and `<|endoftext|>` (id {size.vocab_size - 1}). Ids below that mean the "
        "same as in GPT-2. Encode whole texts: a paragraph break is then two tokens (198 198).",
        "## Training",
        *(_training(run) for run in report["runs"]),
        "## How good it is",
        *_figures(report),
        *report["remarks"],
        "## What it read",
        *_sources(found),
        "## What it writes",
        *_examples(lm),
        "## Licence",
        "Weights: MIT. Vocabulary: see `NOTICE.md`.",
    ]
    return "\n\n".join(sections) + "\n"


def continuations(lm, prompt):
    """Return {strategy: the text after `prompt`} for each of `STRATEGIES`, `NEW_TOKENS` tokens long."""
    ids = lm.encode(prompt)
    length = {"max_new_tokens": min(NEW_TOKENS, lm.model.config.n_positions - ids.shape[1])}
    drawn = {"do_sample": True, "top_p": 0.9, "generator": torch.Generator().manual_seed(0)}
    rows = {
        "greedy": generate(lm, ids, **length).new_tokens[0],
        "beam": beam_search(lm, ids, num_beams=5, no_repeat_ngram_size=2, **length).hypotheses[0].new_ids,
        "sampled": generate(lm, ids, **drawn, **length).new_tokens[0],
    }
    return {strategy: lm.decode(row) for strategy, row in rows.items()}


def _training(run):
    if "said" in run:  # a run of before there was a log
        return f"**{run['version']}.** {run['said']}"
    recipe, tokens = run["recipe"], run["curve"][-1]["tokens"]
    begin = f"From the weights of {run['start']}" if run["start"] else "From random weights"
    text = (
        f"**{run['version']}.** {begin}, {tokens:,} tokens in {recipe['steps']:,} steps of {recipe['rows']} rows of "
        f"{recipe['context']} tokens. Muon with a peak rate of {recipe['muon_lr']} for the matrices of the blocks, "
        f"AdamW with {recipe['adamw_lr']} for the rest; warm-up over {recipe['warmup']:.0%} of the steps, "
        f"{_fall(recipe)}; seed {recipe['seed']}. The books as they are, `<|endoftext|>` before each."
    )
    if dropout := recipe.get("dropout"):
        text += f" Dropout {dropout:.0%}; the loss below is under dropout, so that it is higher than without."
    if run["shares"]:
        spans = (f"{part} from {a:.0%} to {b:.0%}" for part, (a, b) in run["shares"].items())
        text += f" Share of the rows, from the first step to the last: {', '.join(spans)}."
    points = run["curve"][:: max(1, len(run["curve"]) // 8)]
    text += f"\n\nLoss in nats per token (after so many tokens): {_curve(points)}."
    if looked := run.get("validation"):
        best = min(looked, key=lambda p: p["loss"])
        text += f" On the validation texts: {_curve(looked[:: max(1, len(looked) // 8)])}; lowest {_curve([best])}."
        if recipe["patience"]:
            text += f" The weights are those of step {best['step'] + 1:,}, where it was lowest."
    return text


def _curve(points):
    return ", ".join(f"{p['loss']:.2f} ({p['tokens'] / 1e6:.1f} M)" for p in points)


def _fall(recipe):
    if recipe.get("schedule") == "cosine":
        return "then half a cosine down to nothing"
    return f"then level, the last {recipe['decay']:.0%} down to nothing"


def in_order(rows):
    """Return [(title, row)] of a set of `make_mini.measure`: part by part, the best predicted text first."""
    return sorted(rows.items(), key=lambda item: (item[1].get("part", ""), item[1]["bits per byte"]))


def means(rows):
    """Return {what: sentence} with the mean bits per byte over the texts of each part of a set, and over all.

    Each with Student's 95 % interval over the texts, and with the means of the two counting baselines.
    """
    groups = {}
    for row in rows.values():
        groups.setdefault(row.get("part", ""), []).append(row)
    groups = dict(sorted(groups.items())) if len(groups) > 1 else {}
    found = {}
    for part, some in {**groups, "": list(rows.values())}.items():
        ours, unigram, bigram = ([row[name] for row in some] for name in ("bits per byte", "unigram", "bigram"))
        text = f"{sum(ours) / len(ours):.3f} bits per byte"
        if len(ours) > 1:
            low, high = student_interval(ours)
            text += f" (95 % interval over texts: {low:.2f} to {high:.2f})"
        what = f"the {len(some)} in {part!r}" if part else f"all {len(some)}"
        found[what] = f"{text}; token pairs {sum(bigram) / len(ours):.3f}, frequencies {sum(unigram) / len(ours):.3f}"
    return found


def _figures(report):
    if not any(report.get(name) for name in SETS):
        return ["No text was held out, so nothing was measured."]
    texts = [
        "On texts that were kept out of the training (characters 20,000 to 50,000 of each, read through windows that "
        "move on by half the context). Bits per byte: of the model; of a uniform choice among all tokens; of token "
        "frequencies and of token pairs, counted in the training books; of the compressors gzip and xz, on the "
        "held-out text itself. Perplexity is per token."
    ]
    for name, heading in SETS.items():
        if rows := report.get(name):
            texts += [f"**{heading[0].upper()}{heading[1:]}.**", _markdown(rows)]
            texts.append("\n".join(f"- Mean of {what}: {mean}." for what, mean in means(rows).items()))
    command = f"`python -m gpt2lessons {corpus.HELD_OUT} --corpus … --heldout …` prints the same from the weights."
    return [*texts, command]


def _markdown(rows):
    columns = [name for name, value in next(iter(rows.values())).items() if not isinstance(value, str)]
    lines = [f"| held out | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for title, row in in_order(rows):
        cells = (f"{row[name]:.1f}" if name == "perplexity" else f"{row[name]:.3f}" for name in columns)
        named = f"{title} ({row['author']})" if row.get("author") else title
        lines.append(f"| {html.escape(named, quote=False)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _sources(found):
    texts = []
    for part, some in found.items():
        kept = "never trained on" if part.partition(",")[0] in corpus.KEPT_OUT else "trained on"
        size = sum(book.path.stat().st_size for book in some)
        titles = "; ".join(html.escape(f"{b.title} ({b.author})" if b.author else b.title, quote=False) for b in some)
        summary = f"{part}: {len(some)} texts, {size / 1e6:.1f} MB, {kept}"
        texts.append(f"<details><summary>{summary}</summary>\n\n{titles}.\n\n</details>")
    return texts


def _examples(lm):
    prompts = json.loads(PROMPTS.read_text("utf8"))["prompts"]
    how = "; ".join(f"*{name}*: {what}" for name, what in STRATEGIES.items())
    rows = []
    for prompt in prompts:
        found = (f"*{strategy}* {_one_line(text)}" for strategy, text in continuations(lm, prompt).items())
        rows.append(f"**{html.escape(prompt, quote=False)}**<br>{'<br>'.join(found)}")
    listed = "\n".join(f"{number}. {row}" for number, row in enumerate(rows, 1))
    said = (
        f"{len(prompts)} prompts, each continued by {NEW_TOKENS} tokens in three ways, none chosen or retried. {how}."
    )
    return [said, f"<details><summary>The {len(prompts)} prompts and what it wrote</summary>\n\n{listed}\n\n</details>"]


def _one_line(text):
    safe = html.escape(text, quote=False)
    for sign in "\\*_`[]~|":
        safe = safe.replace(sign, f"\\{sign}")
    return "… " + " ⏎ ".join(line.strip() for line in safe.split("\n") if line.strip())
