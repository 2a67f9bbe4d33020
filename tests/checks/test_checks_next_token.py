"""The checks of lesson 03: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import pytest
import torch

from gpt2lessons.checks import next_token as checks


def rows_of(model, ids):
    return model(ids).log_softmax(-1)[0]


def token_by_token(model, prompt, new):
    total = 0.0
    for token in new[0]:
        total += model(prompt)[0, -1].softmax(-1)[token].log().item()
        prompt = torch.cat([prompt, token[None, None]], 1)
    return total


def scored(first, last):
    """A continuation score whose rows start `first` and stop `last` places from where they should."""

    def score(model, prompt, new):
        ids = torch.cat([prompt, new], 1)
        start = prompt.shape[1] - 1 + first
        rows = rows_of(model, ids)[start : ids.shape[1] - 1 + last]
        return rows.gather(1, new[0, : len(rows), None]).sum()

    return score


def with_prompt(model, prompt, new):
    ids = torch.cat([prompt, new], 1)
    return rows_of(model, ids)[:-1].gather(1, ids[0, 1:, None]).sum()


def with_positions(model, prompt, new):
    rows = model(torch.cat([prompt, new], 1)).log_softmax(1)[0, prompt.shape[1] - 1 : -1]
    return rows.gather(1, new[0, :, None]).sum()


def write(*, stop="all", pad=True, append_end=True, row=-1, prompt_counts=False, from_prompt=False):
    """Greedy search for a batch, with one mistake per argument."""

    def answer(model, ids, max_new_tokens, eos):
        ended = (ids == eos).any(1) if from_prompt else torch.zeros(len(ids), dtype=torch.bool)
        steps = max_new_tokens - ids.shape[1] if prompt_counts else max_new_tokens
        for _ in range(steps):
            chosen = model(ids)[:, row].argmax(-1)
            if pad:
                chosen[ended] = eos
            ended = ended | (chosen == eos)
            done = ended.any() if stop == "any" else ended.all() if stop == "all" else False
            if done and not append_end:
                break
            ids = torch.cat([ids, chosen[:, None]], 1)
            if done:
                break
        return ids

    return answer


def separately(model, ids, max_new_tokens, eos):
    """A right answer of another make: every row alone, then filled up."""
    texts = []
    for row in ids:
        new = []
        while len(new) < max_new_tokens and eos not in new:
            new.append(model(torch.cat([row, torch.tensor(new, dtype=torch.long)])[None])[0, -1].argmax().item())
        texts.append(row.tolist() + new)
    longest = max(map(len, texts))
    return torch.tensor([text + [eos] * (longest - len(text)) for text in texts])


def prompt_lost(model, ids, max_new_tokens, eos):
    return separately(model, ids, max_new_tokens, eos)[:, ids.shape[1] :]


def in_place(logits, *rest):
    logits -= logits.amax(-1, keepdim=True)
    return (logits / (rest[0] if rest else 1)).softmax(-1)


RIGHT = {
    "softmax": [lambda z: (z - z.logsumexp(-1, keepdim=True)).exp(), lambda z: torch.stack([r.softmax(0) for r in z])],
    "entropy": [
        lambda p: torch.special.entr(p).sum(),
        lambda p: -sum(x * math.log(x) for x in p.tolist() if x),
        lambda p: -(p.clamp(min=1e-30).log() * p).sum().item(),
    ],
    "continuation_log_prob": [token_by_token],
    "temperature": [lambda z, t: (q := z.softmax(-1) ** (1 / t)) / q.sum()],
    "write_until_end": [separately, write()],
}

WRONG = {
    "softmax": {
        "wrong axis": (lambda z: z.softmax(0), "one column"),
        "whole tensor": (lambda z: z.flatten().softmax(0).view_as(z), "the whole tensor"),
        "log": (lambda z: z.log_softmax(-1), "logarithms of probabilities"),
        "no exponential": (lambda z: z / z.sum(-1, keepdim=True), "without an exponential"),
        "base 2": (lambda z: (q := 2**z) / q.sum(-1, keepdim=True), "base 2"),
        "not divided": (lambda z: z.exp(), "not divided"),
        "overflow": (lambda z: z.exp() / z.exp().sum(-1, keepdim=True), "nan or inf"),
        "one shift": (lambda z: (q := (z - z.max()).exp()) / q.sum(-1, keepdim=True), "nan or inf"),
        "in place": (in_place, "changed the tensor"),
        "one row": (lambda z: z.softmax(-1)[0], "should have shape"),
        "forgot return": (lambda z: None, "is None"),
    },
    "entropy": {
        "bits": (lambda p: torch.special.entr(p).sum() / math.log(2), "in bits"),
        "sign": (lambda p: (p * p.log()).nansum(), "sign"),
        "unweighted": (lambda p: -p.log().mean(), "each counted alike"),
        "mean": (lambda p: torch.special.entr(p).mean(), "a mean was taken|the mean was taken"),
        "perplexity": (lambda p: torch.special.entr(p).sum().exp(), "equally probable tokens"),
        "favourite": (lambda p: -p.max().log(), "alone"),
        "nan": (lambda p: -(p * p.log()).sum(), "nan"),
        "vector": (lambda p: torch.special.entr(p), "should be a number"),
    },
    "continuation_log_prob": {
        "own row": (scored(1, 1), "its own row"),
        "prompt too": (with_prompt, "prompt is scored"),
        "mean": (lambda m, p, n: token_by_token(m, p, n) / n.shape[1], "mean per token"),
        "probability": (lambda m, p, n: math.exp(token_by_token(m, p, n)), "not its logarithm"),
        "bits": (lambda m, p, n: token_by_token(m, p, n) / math.log(2), "in bits"),
        "sign": (lambda m, p, n: -token_by_token(m, p, n), "surprisal"),
        "last only": (
            lambda m, p, n: token_by_token(m, torch.cat([p, n[:, :-1]], 1), n[:, -1:]),
            "only the last token",
        ),
        "first left out": (
            lambda m, p, n: token_by_token(m, torch.cat([p, n[:, :1]], 1), n[:, 1:]),
            "first new token is left out",
        ),
        "wrong axis": (with_positions, "log-probability of three tokens should be"),
    },
    "temperature": {
        "renormalised": (lambda z, t: (q := z.softmax(-1) / t) / q.sum(), "renormalising undid it"),
        "probabilities": (lambda z, t: z.softmax(-1) / t, "probabilities were divided by"),
        "multiplied": (lambda z, t: (z * t).softmax(-1), "multiplies"),
        "twice": (lambda z, t: (z.softmax(-1) / t).softmax(-1), "applied twice"),
        "logits": (lambda z, t: z / t, "logits still"),
        "ignored": (lambda z, t: z.softmax(-1), "renormalising undid it"),
        "constant": (lambda z, t: (z / 0.5).softmax(-1), "at temperature 1.0"),
        "in place": (in_place, "changed the tensor"),
    },
    "write_until_end": {
        "any": (write(stop="any"), "as soon as the first text ended"),
        "no padding": (write(pad=False), "was written on"),
        "no end token": (write(append_end=False), "is missing"),
        "never stops": (write(stop="never"), "it wrote on"),
        "first row": (write(row=0), "."),
        "prompt counts": (write(prompt_counts=True), "max_new_tokens=1"),
        "end in prompt": (write(from_prompt=True), "counts as ended"),
        "prompt lost": (prompt_lost, "begin with the prompts"),
        "list": (lambda *given: separately(*given).tolist(), "should be a tensor"),
    },
}


@pytest.mark.parametrize(("name", "answer"), [(n, a) for n, answers in RIGHT.items() for a in answers])
def test_a_right_answer_of_another_make_passes(name, answer):
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "right", verdict


CASES = [(n, label, *case) for n, cases in WRONG.items() for label, case in cases.items()]


@pytest.mark.parametrize(("name", "label", "answer", "part"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_wrong_answer_gets_its_own_diagnosis(name, label, answer, part):
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "wrong"
    assert any(p in verdict.message for p in part.split("|")), verdict


@pytest.mark.parametrize("name", WRONG)
def test_diagnoses_differ(name):
    messages = {label: getattr(checks, name)(answer).message for label, (answer, _) in WRONG[name].items()}
    assert len(set(messages.values())) >= max(5, len(messages) - 2), messages
