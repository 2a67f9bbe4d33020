"""One sweep: every setting writes texts for every prompt, all as rows of shared batches, and each text is measured.

A row's setting is one entry of a tensor, so that a batch of 27 settings costs about as much as a batch of one. What is
measured of each text is its continuation alone, under the model without any filter.
"""

import itertools
import json
import math
import operator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gpt2lessons.decoding.arguments import check_whole
from gpt2lessons.decoding.generation import generate
from gpt2lessons.tuning.space import OFF, SearchSpace

PLACE = ("prompt", "sample", "setting")


def perplexity(tokens, log_probs):
    """exp(−mean log p) of a continuation's `tokens` (N,), from their `log_probs` (N,) under the unfiltered model."""
    return math.exp(-sum(log_probs) / len(tokens))


def distinct_2(tokens, log_probs):
    """Share of different pairs among the continuation's neighbouring `tokens` (N,): 1 says nothing twice.

    Li et al. 2016, of one text and of tokens; the metric `distinct_n` of `gpt2lessons.metrics` counts words unless it
    is given a tokenizer, and can count over a set of texts, as the paper does.
    """
    pairs = list(itertools.pairwise(tokens))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def repetition(tokens, log_probs):
    """Is the token at each place one of the 32 before it? The share of `tokens` (N,) for which it is.

    Welleck et al. 2020, "Neural text generation with unlikelihood training", section 4 (rep/l with l = 32).
    The metric `repetition` of `gpt2lessons.metrics` is the same over a set of texts, on words unless it is given a
    tokenizer. What Holtzman et al. (2020) call repetition, texts that end in a loop, is the metric `loops`.
    """
    return sum(token in tokens[max(0, i - 32) : i] for i, token in enumerate(tokens)) / len(tokens)


OBJECTIVES = {"perplexity": perplexity, "distinct_2": distinct_2, "repetition": repetition}


def sweep(
    lm,
    space,
    prompts,
    *,
    samples_per_setting,
    max_new_tokens,
    seed=0,
    objectives=("perplexity", "distinct_2", "repetition"),
    batch_size=64,
    checkpoint=None,
    resume=None,
    progress=True,
):
    """Write `samples_per_setting` texts for every setting and prompt; return one row per text, a pandas DataFrame.

    `space` is a `SearchSpace` (its grid is taken) or a list of settings (dicts); `prompts` a list of texts. Columns:
    `setting`, `prompt` and `sample` (numbers), `text` (the continuation), one column for each objective, and the
    settings' values. `objectives` are names of `OBJECTIVES`, or a dict {name: function (tokens, log_probs) -> number}.
    A text ends at the end-of-text token.

    The same arguments give the same table. An interrupt returns the rows finished so far, with
    `table.attrs["complete"]` False; `resume=table` goes on from there. `checkpoint`, a file's path, keeps finished rows
    also when the process dies; the same call with the same path goes on. Either way the table comes out as without
    the interrupt. Raises `ValueError` for empty lists, numbers below 1, or a `resume` or `checkpoint` of another sweep.
    """
    settings = space.grid() if isinstance(space, SearchSpace) else [dict(s) for s in space]
    _check_sweep(settings, prompts, samples_per_setting, max_new_tokens, batch_size)
    measures = objectives if isinstance(objectives, dict) else {name: _objective(name) for name in objectives}
    plan = _plan(len(prompts), samples_per_setting, len(settings), batch_size)
    seed = operator.index(seed)
    identity = json.dumps(
        [lm.name, settings, list(prompts), samples_per_setting, max_new_tokens, seed, batch_size, list(measures)],
        default=operator.methodcaller("item"),  # numbers of numpy's
    )
    done = _finished(identity, plan, resume, checkpoint)
    total = sum(map(len, plan))
    try:
        from tqdm.auto import tqdm

        with tqdm(total=total, unit="text", disable=not progress) as bar:
            bar.update(sum(len(rows) for rows in done.values()))
            for number, batch in enumerate(plan):
                if number not in done:
                    rows = _write(lm, settings, prompts, batch, number, max_new_tokens, seed, measures)
                    done[number] = rows
                    _keep(checkpoint, number, rows)
                    bar.update(len(rows))
    except KeyboardInterrupt:
        kept = sum(len(rows) for rows in done.values())
        print(f"Stopped. {kept} of {total} texts are kept: pass the returned table as resume=… to go on.")
    table = _table(settings, done, measures)
    table.attrs.update(complete=len(done) == len(plan), identity=identity, objectives=list(measures))
    return table


def _check_sweep(settings, prompts, samples, max_new_tokens, batch_size):
    if not settings:
        raise ValueError("there is no setting to try: give a SearchSpace or a list of dicts.")
    for setting in settings:
        SearchSpace(**{name: [value] for name, value in setting.items()})
    if isinstance(prompts, str) or not prompts or not all(isinstance(p, str) and p for p in prompts):
        raise ValueError("prompts is a list of texts, at least one, none of them empty; put a single text in brackets.")
    for name, value in {
        "samples_per_setting": samples,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
    }.items():
        check_whole(value, name, 1)


def _objective(name):
    if name not in OBJECTIVES:
        raise ValueError(f"there is no objective {name!r}; there are: {', '.join(OBJECTIVES)}, or a dict of functions.")
    return OBJECTIVES[name]


def _plan(prompts, samples, settings, batch_size):
    """Return batches of (prompt, sample, setting); settings change fastest, so a part of a sweep compares them all."""
    rows = list(itertools.product(range(prompts), range(samples), range(settings)))
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def _prompts(lm, texts):
    """Return ids (B, T), padded on the left, and the mask (B, T), None where no prompt is longer than another."""
    once = {text: lm.encode(text)[0] for text in dict.fromkeys(texts)}
    length = max(map(len, once.values()))
    ids = next(iter(once.values())).new_zeros(len(texts), length)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, length - len(once[text]) :] = once[text]
        mask[row, length - len(once[text]) :] = 1
    return ids, None if mask.all() else mask


def _write(lm, settings, prompts, batch, number, max_new_tokens, seed, measures):
    """Generate one batch and measure its texts; return its rows."""
    names = dict.fromkeys(name for setting in settings for name in setting)
    ids, mask = _prompts(lm, [prompts[prompt] for prompt, _, _ in batch])
    columns = {}
    for name in names:
        values = [settings[setting].get(name, OFF[name]) for _, _, setting in batch]
        columns[name] = torch.tensor([OFF[name] if value is None else value for value in values], device=ids.device)
    stream = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    end = lm.tokenizer.eos_token_id
    g = generate(
        lm,
        ids,
        max_new_tokens=max_new_tokens,
        do_sample=True,
        attention_mask=mask,
        eos_token_id=end,
        generator=torch.Generator("cpu").manual_seed(stream),
        **columns,
    )
    rows = []
    for place, tokens, log_probs, n in zip(
        batch, g.new_tokens.tolist(), g.log_probs.tolist(), g.lengths.tolist(), strict=True
    ):
        tokens, log_probs = tokens[:n], log_probs[:n]
        row = dict(zip(PLACE, place, strict=True))
        row["text"] = lm.decode(tokens[:-1] if tokens[-1] == end else tokens)
        rows.append(row | {name: float(measure(tokens, log_probs)) for name, measure in measures.items()})
    return rows


def _finished(identity, plan, resume, checkpoint):
    """Return {batch number: rows} of what is there already."""
    done = {}
    if resume is not None:
        _check_identity(identity, resume.attrs.get("identity"), "the table given as resume")
        done |= _batches(resume, plan)
    if checkpoint is not None and Path(checkpoint).exists():
        lines = Path(checkpoint).read_text("utf8").splitlines()
        _check_identity(identity, lines[0] if lines else None, f"the file {Path(checkpoint).name}")
        for line in lines[1:]:
            try:
                number, rows = json.loads(line)
            except json.JSONDecodeError:  # the process died while it wrote this line
                continue
            done[number] = rows
    elif checkpoint is not None:
        Path(checkpoint).write_text(identity + "\n", "utf8")
    return done


def _batches(table, plan):
    """Return {batch number: rows} of the batches of `plan` that `table` holds completely."""
    there = {tuple(row[key] for key in PLACE): row for row in table.to_dict("records")}
    whole = {number: batch for number, batch in enumerate(plan) if all(place in there for place in batch)}
    return {number: [there[place] for place in batch] for number, batch in whole.items()}


def _check_identity(wanted, found, what):
    if found != wanted:
        raise ValueError(f"{what} belongs to another sweep (other settings, prompts, seed or numbers): leave it out.")


def _keep(checkpoint, number, rows):
    if checkpoint is not None:
        with Path(checkpoint).open("a", encoding="utf8") as file:
            file.write(json.dumps([number, rows], default=operator.methodcaller("item")) + "\n")


def _table(settings, done, measures):
    names = dict.fromkeys(name for setting in settings for name in setting)
    rows = [row for number in sorted(done) for row in done[number]]
    table = pd.DataFrame(rows, columns=[*PLACE, "text", *measures])
    for name in names:
        values = [settings[row["setting"]].get(name) for row in rows]
        # pandas would turn None, "off", into nan
        table[name] = pd.Series(values, dtype=object if None in values else None)
    return table
