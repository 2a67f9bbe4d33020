"""How `gpt2-mini` is made from text files: `python -m gpt2lessons train --corpus DIR --out DIR`.

In the out folder, while it runs: `state.safetensors` (to go on from after an interrupt), `plan.json`, `log.jsonl` (a
line per step), `tokens/` (the encoded corpus). At the end: the model, `training.json` (what was done and measured), and
its card, README.md.
"""

import itertools
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from gpt2lessons import checksums, scoring
from gpt2lessons.bpe import BPE
from gpt2lessons.checksums import MINI
from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.loading import models
from gpt2lessons.training import baselines, corpus, loop, model_card
from gpt2lessons.training.validation import Validation

TOKENIZER_FILES = [MINI / name for name in ("merges.txt", "tokenizer_config.json", "vocab.json")]
BASELINES = ("uniform", "unigram", "bigram", "gzip", "xz")
SECONDS_BETWEEN_STATES, SECONDS_BETWEEN_LINES = 300, 10
POINTS_OF_A_CURVE = 300
VALIDATION_ROWS = 64
MEASURED = slice(20_000, 50_000)  # characters of each held-out text


def sizes(n_layer=6, n_head=8, n_embd=384, n_positions=512):
    """Return the `GPT2Config` of a model with gpt2-mini's vocabulary."""
    return GPT2Config(len(BPE.mini()), n_positions, n_embd, n_layer, n_head)


def train(
    sources,
    out,
    recipe,
    *,
    config=None,
    start=None,
    shares=None,
    version="own",
    device="cpu",
    heldout=None,
    validation=None,
):
    """Train on `sources`, write the model to `out`, measure it, return `training.json`'s content. Prints its progress.

    Random weights of `config` (default: gpt2-mini's sizes), or the weights of `start`, a name for `load()`. `shares`
    as in `corpus.Batches`; `sources` as in `corpus.books`, and so `heldout`, for `measure`, and `validation`, for the
    recipe's `validate_every` (default: the corpus's own folder `validation`).
    An interrupted training with the same settings goes on after its last saved state, with the result that it would
    have had (on a graphics card only nearly: there even the same run twice differs by rounding).
    Raises `ValueError` for a corpus without text, for held-out texts by authors that are trained on, for an `out` that
    holds another training, for a context longer than the model's, and for `validate_every` without validation texts.
    """
    out = Path(out)
    if heldout:
        corpus.demand_new_authors(corpus.books(sources), corpus.books(heldout))
    out.mkdir(parents=True, exist_ok=True)
    say("reading and encoding the corpus …")
    parts = corpus.encode_parts(sources, BPE.mini(), keep=out / "tokens")
    counts = {part: len(ids) for part, ids in parts.items()}
    say("; ".join(f"{part}: {count:,} tokens" for part, count in counts.items()))
    model, runs, name = _beginning(start, config, recipe.seed)
    if recipe.context > model.config.n_positions:
        raise ValueError(f"the model reads {model.config.n_positions} tokens, but the context is {recipe.context}.")
    run = {"version": version, "start": name, "sizes": asdict(model.config), "parts": counts}
    run |= {"shares": shares, "recipe": asdict(recipe)}
    shape = {"rows": recipe.rows, "context": recipe.context, "steps": recipe.steps}
    batches = corpus.Batches(parts, **shape, shares=shares, seed=recipe.seed)
    looks = _validation(sources, validation, recipe, heldout) if recipe.validate_every else None
    _run(model.to(device), batches, recipe, out, run, looks)
    loop.write_model(model.to("cpu"), out, tokenizer_files=TOKENIZER_FILES, version=version)
    run |= {"curve": _curve(out / "log.jsonl")}
    if looks:
        run["validation"] = _looks(out / "log.jsonl")
    return finish(sources, out, [*runs, run], parts, heldout=heldout)


def finish(sources, out, runs, parts=None, *, heldout=None, remarks=()):
    """Measure the model in `out` on the held-out texts; write training.json and the card; return the former.

    `remarks`: sentences for the card about how good the model is, which no figure says.
    """
    lm = models.load(out)
    report = {"runs": runs, "remarks": list(remarks), "heldout": {}, "authors seen": {}}
    if heldout or corpus.HELD_OUT in corpus.books(sources):
        report |= measure(lm, sources, parts, heldout=heldout)
    (out / "training.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf8")
    say("writing the card: continuations of the prompts …")
    (out / "README.md").write_text(model_card.write(lm, report, _books(sources, heldout)), "utf8")
    return report


def measure(lm, sources, parts=None, *, heldout=None):
    """Return how well `lm` predicts texts that were kept out of the corpus `sources`, in two sets.

    {"heldout": {title: row}} holds the books by authors of whom the corpus trains on nothing; {"authors seen": …} those
    by authors whose other texts it trains on, or whose author is not known: they are easier, and flatter. A row has
    "author", "part", "bits per byte", "perplexity" and each of `BASELINES`.

    Measured are the corpus's own folder `heldout` and all of `heldout`, another folder, archive, or list of them. Of
    each text the characters 20,000 to 50,000 count (a shorter one: all), read through windows of the whole context that
    move on by half of it. Frequencies and pairs are counted in what is trained on (`parts`: the same, encoded).
    Raises `ValueError` if no text is held out, or if `heldout` has an author whose other texts are trained on.
    """
    found, kept_out = corpus.books(sources), corpus.books(heldout) if heldout else {}
    corpus.demand_new_authors(found, kept_out)
    texts = [book for some in (found.get(corpus.HELD_OUT, []), *kept_out.values()) for book in some]
    if not texts:
        raise ValueError(
            f"the corpus has no folder {corpus.HELD_OUT!r}: put texts there that nothing was trained on, or name them "
            "with --heldout."
        )
    bpe = BPE.from_tokenizer(lm.tokenizer)
    parts = parts or corpus.encode_parts(sources, bpe)
    counts = baselines.Counts(np.concatenate(list(parts.values())), len(bpe))
    sets, read = {"heldout": {}, "authors seen": {}}, corpus.authors_of(found)
    for book in texts:
        new = book.author and book.author not in read
        row = {"author": book.author, "part": book.part} | _measured(lm, book.read(), counts)
        sets["heldout" if new else "authors seen"][book.title] = row
    return sets


def _measured(lm, text, counts):
    if len(text) >= MEASURED.stop:
        text = text[MEASURED]
    ids, n_bytes = lm.encode(text), len(text.encode("utf8"))
    nats = (
        -scoring.token_log_probs(lm, ids, stride=lm.model.config.n_positions // 2, add_bos=True).double().mean().item()
    )
    ours = {"bits per byte": nats * ids.shape[1] / math.log(2) / n_bytes, "perplexity": math.exp(nats)}
    theirs = baselines.bits_per_byte(counts, ids[0].cpu().numpy(), n_bytes) | baselines.compressed(text)
    return {name: round(value, 4) for name, value in (ours | theirs).items()}


def table(report):
    """Return what `measure` found as lines of text: each set, the best predicted text first, and means over books."""
    columns = ("bits per byte", "perplexity", *BASELINES)
    lines = []
    for name, heading in model_card.SETS.items():
        if not (rows := report.get(name)):
            continue
        lines += [f"{heading[0].upper()}{heading[1:]}:", f"{'':40}" + "".join(f"{column:>14}" for column in columns)]
        for title, row in model_card.in_order(rows):
            lines.append(f"{title:40.40}" + "".join(f"{row[column]:14.3f}" for column in columns))
        lines += [f"Mean of {what}: {mean}" for what, mean in model_card.means(rows).items()] + [""]
    return lines[:-1]


def curve():
    """Return the bundled gpt2-mini's training.json: {"runs": […, {"recipe", "curve", …}], "remarks", …}.

    Raises `ValueError` if the file is not there.
    """
    path = MINI / "training.json"
    if not path.is_file():
        raise ValueError("the bundled model's training.json is missing. Install the course again.")
    return json.loads(path.read_text("utf8"))


def _books(sources, heldout):
    """Return {part: [Book]} of all that was read or held out; the parts of `heldout` are called "heldout, …"."""
    kept_out = corpus.books(heldout) if heldout else {}
    return corpus.books(sources) | {f"{corpus.HELD_OUT}, {part}": some for part, some in kept_out.items()}


def _validation(sources, texts, recipe, heldout=None):
    """Return a `Validation` on up to `VALIDATION_ROWS` stretches, spread evenly over the validation texts."""
    books = list(itertools.chain(*corpus.books(texts).values())) if texts else []
    books = books or corpus.books(sources).get(corpus.VALIDATION)
    if not books:
        raise ValueError(
            f"validate_every={recipe.validate_every} needs texts to look at: put some into the corpus's folder "
            f"{corpus.VALIDATION!r}, or name them with --validation. They must not be those of the final measurement."
        )
    looked_at = {checksums.digest(book.path): book.title for book in books}
    for part, others in _books(sources, heldout).items():
        for book in others if part != corpus.VALIDATION else ():
            if checksums.digest(book.path) in looked_at:
                use = "held out" if part.startswith(corpus.HELD_OUT) else "trained on"
                raise ValueError(
                    f"{book.title!r} is {use} and a validation text at once. What is looked at while a training runs "
                    "helps to choose its weights, so take texts that are used for nothing else."
                )
    ids = torch.from_numpy(corpus.encode((book.read() for book in books), BPE.mini())).long()
    if len(ids) <= recipe.context:
        raise ValueError(f"the validation texts have {len(ids):,} tokens, but a context is {recipe.context:,} and one.")
    stretches = ids.unfold(0, recipe.context + 1, recipe.context)
    step = max(1, len(stretches) // VALIDATION_ROWS)
    return Validation(stretches[::step][:VALIDATION_ROWS], every=recipe.validate_every, patience=recipe.patience)


def _run(model, batches, recipe, out, plan, looks):
    found, log, state = loop.optimizers(model, recipe), out / "log.jsonl", out / "state.safetensors"
    after = _last(out, plan, model, found, looks)
    seen = after.tokens if after else 0
    said = saved = started = time.monotonic()
    with log.open("a", encoding="utf8") as file:
        for progress in loop.run(model, batches, recipe, found=found, after=after, validation=looks):
            file.write(json.dumps({**asdict(progress), "loss": round(progress.loss, 5)}) + "\n")
            now, last = time.monotonic(), progress.step + 1 == recipe.steps
            looked = "" if progress.validation is None else f"validation {progress.validation:.3f}, "
            if last or looked or now - said > SECONDS_BETWEEN_LINES:
                said, speed = now, (progress.tokens - seen) / (now - started)
                left = (recipe.steps * recipe.rows * recipe.context - progress.tokens) / speed / 60
                say(
                    f"step {progress.step + 1:,} of {recipe.steps:,}: loss {progress.loss:.3f}, {looked}"
                    f"{speed:,.0f} tokens/s, {left:.0f} min left"
                )
            if last or now - saved > SECONDS_BETWEEN_STATES:
                saved = now
                file.flush()
                loop.save_state(state, model, found, progress, looks)


def _beginning(start, config, seed):
    """Return the `GPT2` to begin with, the runs that made it, and its name with version (None if random)."""
    if start is None:
        torch.manual_seed(seed)
        return GPT2(config or sizes()), [], None
    lm = models.load(start)
    if (size := lm.model.config.vocab_size) != len(BPE.mini()):
        raise ValueError(
            f"{start} has {size:,} tokens, but training goes on with gpt2-mini's {len(BPE.mini()):,} only."
        )
    report = (MINI if start == "gpt2-mini" else Path(start)) / "training.json"
    runs = json.loads(report.read_text("utf8"))["runs"] if report.is_file() else []
    model = lm.scratch.float()  # gpt2-mini answers in float64, but nothing is trained in it
    return model, runs, f"{lm.name} {lm.version}".strip()


def _last(out, plan, model, found, looks):
    """Load the last state of an interrupted run of this `plan` and return its `Progress`; None if there is none."""
    state, note, log = out / "state.safetensors", out / "plan.json", out / "log.jsonl"
    plan = json.loads(json.dumps(plan))
    if not state.is_file():
        note.write_text(json.dumps(plan, indent=1), "utf8")
        log.unlink(missing_ok=True)
        return None
    before = json.loads(note.read_text("utf8"))
    if differs := [key for key in plan if before.get(key) != plan[key]]:
        raise ValueError(
            f"{out} holds a training with another {' and '.join(differs)}. Give the same settings to go on with it, "
            "or another --out to start anew."
        )
    after = loop.load_state(state, model, found, looks)
    kept = [line for line in log.read_text("utf8").splitlines() if json.loads(line)["step"] <= after.step]
    log.write_text("".join(line + "\n" for line in kept), "utf8")
    say(f"going on after step {after.step + 1:,}")
    return after


def _curve(log):
    """Return up to `POINTS_OF_A_CURVE` points {"step", "tokens", "loss"} of a log: means over stretches of steps."""
    steps = [json.loads(line) for line in log.read_text("utf8").splitlines()]
    width = -(-len(steps) // POINTS_OF_A_CURVE)
    stretches = [steps[i : i + width] for i in range(0, len(steps), width)]
    return [
        {key: s[-1][key] for key in ("step", "tokens")} | {"loss": round(sum(p["loss"] for p in s) / len(s), 4)}
        for s in stretches
    ]


def _looks(log):
    """Return the validation losses of a log as points {"step", "tokens", "loss"}."""
    steps = (json.loads(line) for line in log.read_text("utf8").splitlines())
    return [
        {"step": s["step"], "tokens": s["tokens"], "loss": round(s["validation"], 4)}
        for s in steps
        if s.get("validation") is not None
    ]


def say(text):
    """Print a line at once, even into a file."""
    print(text, flush=True)
