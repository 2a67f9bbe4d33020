"""How `gpt2-mini` is made from text files: `python -m gpt2lessons train --corpus DIR --out DIR`.

In the out folder, while it runs: `state.safetensors` (to go on from after an interrupt), `plan.json`, `log.jsonl` (a
line per step), `tokens/` (the encoded corpus). At the end: the model, `training.json` (what was done and measured), and
its card, README.md.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from gpt2lessons import scoring
from gpt2lessons.bpe import BPE
from gpt2lessons.checksums import MINI
from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.loading import models
from gpt2lessons.training import baselines, corpus, loop, model_card

TOKENIZER_FILES = [MINI / name for name in ("merges.txt", "tokenizer_config.json", "vocab.json")]
BASELINES = ("uniform", "unigram", "bigram", "gzip", "xz")
SECONDS_BETWEEN_STATES, SECONDS_BETWEEN_LINES = 300, 10
POINTS_OF_A_CURVE = 300


def sizes(n_layer=6, n_head=8, n_embd=384, n_positions=512):
    """Return the `GPT2Config` of a model with gpt2-mini's vocabulary."""
    return GPT2Config(len(BPE.mini()), n_positions, n_embd, n_layer, n_head)


def train(folder, out, recipe, *, config=None, start=None, shares=None, version="own", device="cpu"):
    """Train on `folder`, write the model to `out`, measure it, return `training.json`'s content. Prints its progress.

    Random weights of `config` (default: gpt2-mini's sizes), or the weights of `start`, a name for `load()`. `shares`
    as in `corpus.Batches`. An interrupted training with the same settings goes on after its last saved state, with the
    result that it would have had (on a graphics card only nearly: there even the same run twice differs by rounding).
    Raises `ValueError` for a corpus without text, for an `out` that holds another training, and for a context longer
    than the model's.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    say("reading and encoding the corpus …")
    parts = corpus.encode_parts(folder, BPE.mini(), keep=out / "tokens")
    counts = {part: len(ids) for part, ids in parts.items()}
    say("; ".join(f"{part}: {count:,} tokens" for part, count in counts.items()))
    model, runs, name = _beginning(start, config, recipe.seed)
    if recipe.context > model.config.n_positions:
        raise ValueError(f"the model reads {model.config.n_positions} tokens, but the context is {recipe.context}.")
    run = {"version": version, "start": name, "sizes": asdict(model.config), "parts": counts}
    run |= {"shares": shares, "recipe": asdict(recipe)}
    shape = {"rows": recipe.rows, "context": recipe.context, "steps": recipe.steps}
    batches = corpus.Batches(parts, **shape, shares=shares, seed=recipe.seed)
    _run(model.to(device), batches, recipe, out, run)
    loop.write_model(model.to("cpu"), out, tokenizer_files=TOKENIZER_FILES, version=version)
    return finish(folder, out, [*runs, run | {"curve": _curve(out / "log.jsonl")}], parts)


def finish(folder, out, runs, parts=None, *, remarks=()):
    """Measure the model in `out` on the held-out texts; write training.json and the card; return the former.

    `remarks`: sentences for the card about how good the model is, which no figure says.
    """
    lm = models.load(out)
    report = {
        "runs": runs,
        "remarks": list(remarks),
        "heldout": measure(lm, folder, parts) if corpus.HELD_OUT in corpus.books(folder) else {},
    }
    (out / "training.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf8")
    say("writing the card: continuations of the prompts …")
    (out / "README.md").write_text(model_card.write(lm, report, corpus.books(folder)), "utf8")
    return report


def measure(lm, folder, parts=None):
    """Return {title: {"bits per byte", "perplexity", and each of `BASELINES`}} for the held-out texts of a corpus.

    Of each text the characters 20,000 to 60,000 count (a shorter one: all), read through windows of the whole context
    that move on by half of it. Frequencies and pairs are counted in the other texts (`parts`: the same, encoded).
    """
    held_out = corpus.books(folder).get(corpus.HELD_OUT)
    if not held_out:
        raise ValueError(
            f"{str(folder)!r} has no folder {corpus.HELD_OUT!r}: put texts there that nothing was trained on."
        )
    bpe = BPE.from_tokenizer(lm.tokenizer)
    parts = parts or corpus.encode_parts(folder, bpe)
    counts = baselines.Counts(np.concatenate(list(parts.values())), len(bpe))
    found, stride = {}, lm.model.config.n_positions // 2
    for book in held_out:
        text = book.read()
        text = text[20_000:60_000] if len(text) >= 60_000 else text
        ids, n_bytes = lm.encode(text), len(text.encode("utf8"))
        ours = {"bits per byte": scoring.bits_per_byte(lm, text, stride=stride)}
        ours["perplexity"] = scoring.perplexity(lm, ids, stride=stride, add_bos=True)
        theirs = baselines.bits_per_byte(counts, ids[0].numpy(), n_bytes) | baselines.compressed(text)
        found[book.title] = {name: round(value, 4) for name, value in (ours | theirs).items()}
    return found


def table(heldout):
    """Return what `measure` found as lines of text, the texts that the model predicts best first."""
    columns = ("bits per byte", "perplexity", *BASELINES)
    lines = [f"{'':40}" + "".join(f"{name:>14}" for name in columns)]
    for title, row in sorted(heldout.items(), key=lambda item: item[1]["bits per byte"]):
        lines.append(f"{title:40.40}" + "".join(f"{row[name]:14.3f}" for name in columns))
    return lines


def curve():
    """Return the bundled gpt2-mini's training.json: {"runs": […, {"recipe", "curve", …}], "remarks", "heldout": {…}}.

    Raises `ValueError` if the file is not there.
    """
    path = MINI / "training.json"
    if not path.is_file():
        raise ValueError("the bundled model's training.json is missing. Install the course again.")
    return json.loads(path.read_text("utf8"))


def _run(model, batches, recipe, out, plan):
    found, log, state = loop.optimizers(model, recipe), out / "log.jsonl", out / "state.safetensors"
    after = _last(out, plan, model, found)
    seen = after.tokens if after else 0
    said = saved = started = time.monotonic()
    with log.open("a") as file:
        for progress in loop.run(model, batches, recipe, found=found, after=after):
            file.write(json.dumps({**asdict(progress), "loss": round(progress.loss, 5)}) + "\n")
            now, last = time.monotonic(), progress.step + 1 == recipe.steps
            if last or now - said > SECONDS_BETWEEN_LINES:
                said, speed = now, (progress.tokens - seen) / (now - started)
                left = (recipe.steps * recipe.rows * recipe.context - progress.tokens) / speed / 60
                say(
                    f"step {progress.step + 1:,} of {recipe.steps:,}: loss {progress.loss:.3f}, "
                    f"{speed:,.0f} tokens/s, {left:.0f} min left"
                )
            if last or now - saved > SECONDS_BETWEEN_STATES:
                saved = now
                file.flush()
                loop.save_state(state, model, found, progress)


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
    return lm.scratch, runs, f"{lm.name} {lm.version}".strip()


def _last(out, plan, model, found):
    """Load the last state of an interrupted run of this `plan` and return its `Progress`; None if there is none."""
    state, note, log = out / "state.safetensors", out / "plan.json", out / "log.jsonl"
    plan = json.loads(json.dumps(plan))
    if not state.is_file():
        note.write_text(json.dumps(plan, indent=1))
        log.unlink(missing_ok=True)
        return None
    before = json.loads(note.read_text())
    if differs := [key for key in plan if before.get(key) != plan[key]]:
        raise ValueError(
            f"{out} holds a training with another {' and '.join(differs)}. Give the same settings to go on with it, "
            "or another --out to start anew."
        )
    after = loop.load_state(state, model, found)
    kept = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= after.step]
    log.write_text("".join(line + "\n" for line in kept))
    say(f"going on after step {after.step + 1:,}")
    return after


def _curve(log):
    """Return up to `POINTS_OF_A_CURVE` points {"step", "tokens", "loss"} of a log: means over stretches of steps."""
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    width = -(-len(steps) // POINTS_OF_A_CURVE)
    stretches = [steps[i : i + width] for i in range(0, len(steps), width)]
    return [
        {key: s[-1][key] for key in ("step", "tokens")} | {"loss": round(sum(p["loss"] for p in s) / len(s), 4)}
        for s in stretches
    ]


def say(text):
    """Print a line at once, even into a file."""
    print(text, flush=True)
