"""The checks of lesson 05: right answers of another make, and wrong ones with the diagnosis that each must get."""

import heapq
import math

import numpy as np
import pytest
import torch

from gpt2lessons.checks import beam_search as checks


def flat_topk(beams, log_probs, num_beams):
    totals = (torch.tensor([t for _, t in beams])[:, None] + log_probs).flatten()
    best = totals.topk(num_beams)
    size = log_probs.shape[1]
    return [
        ([*beams[i // size][0], i % size], x) for i, x in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def every(beams, log_probs):
    return [
        ((*ids, v), t + x) for (ids, t), row in zip(beams, log_probs.tolist(), strict=True) for v, x in enumerate(row)
    ]


def ends_and_goes_on(candidates, eos, n):
    open_, finished = [], []
    for rank, (ids, total) in enumerate(candidates):
        if ids[-1] == eos:
            if rank < n:
                finished.append((ids, total))
        elif len(open_) < n:
            open_.append((ids, total))
    return open_, finished


# greedy: a c e, 0.55 x 0.34 x 1; two beams: b …, 0.45 x 0.5 x 0.2
LOSING = {
    "start": {"a": 0.55, "b": 0.45},
    "a": {"c": 0.34, "d": 0.33, "e": 0.33},
    "b": {"d": 0.5, "e": 0.5},
    "c": {"e": 1},
    "": {"start": 0.2, "a": 0.2, "b": 0.2, "c": 0.2, "d": 0.2},
}
LOSING_TOO = {
    "start": {"a": 0.4, "b": 0.32, "c": 0.28},
    "start a": {"b": "1/3", "c": "3/10", "d": "11/30"},
    "start b": {"d": 0.5, "e": 0.5},
    "a d": {"start": 1},
    "": dict.fromkeys(["a", "b", "c", "d"], 0.25),
}


def one_by_one(model, prompt_ids, num_beams, max_new_tokens, step):
    """Read beam by beam, and not the batch."""
    beams = [(list(prompt_ids), torch.zeros(()))]
    while len(beams[0][0]) < len(prompt_ids) + max_new_tokens:
        rows = [torch.log_softmax(model(torch.tensor([ids]))[0, -1], 0) for ids, _ in beams]
        beams = step(beams, torch.stack(rows), num_beams)
    return beams


def batch(model, prompt_ids, num_beams, max_new_tokens, step):
    """In tensors, without the step that is given."""
    texts, totals = torch.tensor([prompt_ids]), torch.zeros(1)
    for _ in range(max_new_tokens):
        sums = (totals[:, None] + model(texts)[:, -1].log_softmax(-1)).flatten()
        totals, places = sums.topk(min(num_beams, len(sums)))
        size = len(sums) // len(texts)
        texts = torch.cat([texts[places // size], places[:, None] % size], dim=1)
    return list(zip(texts.tolist(), totals.tolist(), strict=True))


def searching(read=None, *, copies=False, steps=0, finish=lambda beams, prompt: beams, forget=False, width=None):
    """Return a search; the settings are mistakes."""

    def search(model, prompt_ids, num_beams, max_new_tokens, step):
        beams = [(tuple(prompt_ids), 0.0)] * (num_beams if copies else 1)
        for number in range(max_new_tokens + steps):
            logits = model(torch.tensor([ids for ids, _ in beams]))
            scores = read(logits) if read else logits[:, -1].log_softmax(-1)
            if forget:
                beams = [(ids, 0.0) for ids, _ in beams]
            beams = step(beams, scores, width(number, num_beams) if width else num_beams)
        return finish(beams, prompt_ids)

    return search


def grows_the_prompt(model, prompt_ids, num_beams, max_new_tokens, step):
    prompt_ids += [0]
    return searching()(model, prompt_ids, num_beams, max_new_tokens, step)


RIGHT = {
    "search": [one_by_one, batch],
    "sequence_score": [
        lambda x, a: float(np.sum(x) / np.power(float(len(x)), a)),
        lambda x, a: torch.tensor(math.log(math.prod(math.exp(v) for v in x)) * len(x) ** -a),
    ],
    "beam_step": [
        flat_topk,
        lambda b, x, n: heapq.nlargest(n, every(b, x), key=lambda c: c[1]),
    ],
    "split_finished": [
        ends_and_goes_on,
        lambda c, e, n: [[x for x in c if x[0][-1] != e][:n], [x for x in c[:n] if x[0][-1] == e]],
    ],
    "beams_lose": [LOSING, LOSING_TOO],
}


def best_of_each(beams, log_probs, num_beams):
    return sorted(
        (max(every([b], x[None]), key=lambda c: c[1]) for b, x in zip(beams, log_probs, strict=True)),
        key=lambda c: -c[1],
    )


def by_last_token(beams, log_probs, num_beams):
    ranked = sorted(zip(every(beams, log_probs), log_probs.flatten().tolist(), strict=True), key=lambda p: -p[1])
    return [c for c, _ in ranked[:num_beams]]


def in_order_of_parents(beams, log_probs, num_beams):
    kept = {c[0] for c in flat_top(beams, log_probs, num_beams)}
    return [c for c in every(beams, log_probs) if c[0] in kept]


def flat_top(beams, log_probs, num_beams):
    return sorted(every(beams, log_probs), key=lambda c: -c[1])[:num_beams]


def changing_the_list(beams, log_probs, num_beams):
    beams[:] = flat_top(beams, log_probs, num_beams)
    return beams


def split(candidates, eos, n, *, late=False, short=False, cut=True):
    first = candidates[:n]
    finished = [c for c in (candidates if late else first) if c[0][-1] == eos]
    open_ = [c for c in (first if short else candidates) if c[0][-1] != eos]
    return open_[:n] if cut else open_, finished


def with_row(**rows):
    return LOSING | rows


WRONG = {
    "search": {
        "logits": (searching(lambda z: z[:, -1]), "sums of logits"),
        "probabilities": (searching(lambda z: z[:, -1].softmax(-1)), "sums of probabilities"),
        "wrong axis": (searching(lambda z: z[:, -1].log_softmax(0)), "over the beams"),
        "first row": (searching(lambda z: z[:, 0].log_softmax(-1)), "first row of logits"),
        "copies of the prompt": (searching(copies=True), "copies of the prompt"),
        "totals lost": (searching(forget=True), "totals of earlier steps are lost"),
        "one at first": (searching(width=lambda number, n: n if number else 1), "only one continuation"),
        "one step too many": (searching(steps=1), "instead of"),
        "one step too few": (searching(steps=-1), "instead of"),
        "without the prompt": (
            searching(finish=lambda beams, prompt: [(ids[len(prompt) :], x) for ids, x in beams]),
            "prompt is missing",
        ),
        "the best only": (searching(finish=lambda beams, prompt: beams[:1]), "1 texts come back"),
        "worst first": (searching(finish=lambda beams, prompt: beams[::-1]), "not the best first"),
        "ids only": (searching(finish=lambda beams, prompt: [ids for ids, _ in beams]), "list of pairs"),
        "mean instead of sum": (
            searching(finish=lambda beams, prompt: [(ids, x / 7) for ids, x in beams]),
            "best total should be",
        ),
        "lists for the model": (
            lambda model, ids, n, length, step: model([ids]),
            "reads a tensor",
        ),
        "all rows of logits": (searching(lambda z: z.log_softmax(-1)), "step was given 1 beams"),
        "nothing returned": (lambda *_: None, "what your function returns"),
        "greedy": (searching(width=lambda number, n: 1), "texts come back"),
        "changes the prompt": (grows_the_prompt, "changes the list"),
        "logarithms of logits": (searching(lambda z: z[:, -1].log()), "logarithms of logits"),
        "starts with nothing": (
            lambda model, ids, n, length, step: searching()(model, [], n, length, step),
            "given an empty text",
        ),
        "reads the last token only": (
            lambda model, ids, n, length, step: searching()(lambda x: model(x[:, -1:]), ids, n, length, step),
            "given 1 token of a prompt of 2",
        ),
        "twice the log-probabilities": (
            searching(lambda z: 2 * z[:, -1].log_softmax(-1)),
            "every new token adds its log-probability, once",
        ),
        "least probable": (searching(lambda z: -z[:, -1].log_softmax(-1)), "What do you give to `step`"),
    },
    "sequence_score": {
        "product of the logs": (lambda x, a: math.prod(x) / len(x) ** a, "were multiplied"),
        "product of probabilities": (lambda x, a: math.exp(sum(x)) / len(x) ** a, "divides a probability"),
        "sum of probabilities": (lambda x, a: sum(map(math.exp, x)) / len(x) ** a, "probabilities were added"),
        "penalty inverted": (lambda x, a: sum(x) * len(x) ** a, "the sum was multiplied"),
        "sign lost": (lambda x, a: abs(sum(x)) / len(x) ** a, "sign is lost"),
        "no penalty": (lambda x, a: sum(x), "has no effect"),
        "always the mean": (lambda x, a: sum(x) / len(x), "has no effect"),
        "times instead of power": (lambda x, a: sum(x) / (len(x) * a or 1), "multiplied with the length"),
        "one too long": (lambda x, a: sum(x) / (len(x) + 1) ** a, "one too large"),
        "one too short": (lambda x, a: sum(x) / max(len(x) - 1, 1) ** a, "one too small"),
        "power of the mean": (lambda x, a: (sum(x) / len(x)) ** a, "whole mean"),
        "root": (lambda x, a: sum(x) / len(x) ** (1 / a if a else 1), "1 / length_penalty"),
        "base and exponent": (lambda x, a: sum(x) / (a ** len(x) or 1), "changed places"),
        "length added": (lambda x, a: sum(x) + a * len(x), "was added"),
        "formula of a translation system": (lambda x, a: sum(x) / ((5 + len(x)) / 6) ** a, "another formula"),
        "exponential": (lambda x, a: sum(x) / math.exp(a * len(x)), "A fraction"),
        "best token only": (lambda x, a: max(x) / len(x) ** a, "only one token"),
        "no return": (lambda x, a: None, "end with `return`"),
    },
    "beam_step": {
        "best of each parent": (best_of_each, "its own favourite"),
        "last token only": (by_last_token, "forgotten"),
        "not sorted": (in_order_of_parents, "not the best first"),
        "worst": (lambda b, x, n: sorted(every(b, x), key=lambda c: c[1])[:n], "these are the worst"),
        "everything": (lambda b, x, n: sorted(every(b, x), key=lambda c: -c[1]), "come back"),
        "as many as parents": (lambda b, x, n: flat_top(b, x, len(b)), "1 come back, but num_beams=3"),
        "parent's total lost": (
            lambda b, x, n: [(i, x.tolist()[[p[0] for p in b].index(i[:-1])][i[-1]]) for i, _ in flat_top(b, x, n)],
            "Add the parent's total",
        ),
        "probabilities": (lambda b, x, n: [(i, math.exp(t)) for i, t in flat_top(b, x, n)], "never positive"),
        "something else added": (
            lambda b, x, n: [(i, t - 0.01) for i, t in flat_top(b, x, n)],
            "Parent's total plus",
        ),
        "tokens without their past": (
            lambda b, x, n: [(i[-1:], t) for i, t in flat_top(b, x, n)],
            "parent's ids and one",
        ),
        "mean as the total": (
            lambda b, x, n: [(i, t / len(i)) for i, t in flat_top(b, x, n)],
            "No mean yet",
        ),
        "first parent only": (lambda b, x, n: flat_top(b[:1], x[:1], n), "and drop"),
        "largest ids": (lambda b, x, n: sorted(every(b, x), reverse=True)[:n], "whose sum is"),
        "changes its input": (changing_the_list, "changes the list"),
        "ids only": (lambda b, x, n: [i for i, _ in flat_top(b, x, n)], "list of pairs"),
    },
    "split_finished": {
        "searches on": (lambda c, e, n: (c[:n], [x for x in c[:n] if x[0][-1] == e]), "search on from a finished"),
        "forgets the finished": (lambda c, e, n: (split(c, e, n)[0], []), "finished is lost"),
        "too late": (lambda c, e, n: split(c, e, n, late=True), "not among the two best"),
        "too few open": (lambda c, e, n: split(c, e, n, short=True), "fewer than two"),
        "too many open": (lambda c, e, n: split(c, e, n, cut=False), "more than two"),
        "wrong way round": (lambda c, e, n: split(c, e, n)[::-1], "wrong way round"),
        "one list": (lambda c, e, n: split(c, e, n)[0][:1], "two lists"),
    },
    "beams_lose": {
        "greedy's path stays": (with_row(a={"c": 0.9, "d": 0.1}), "number 1 among the pairs"),
        "second pair": (with_row(b={"d": 0.7, "e": 0.3}), "number 2 among the pairs"),
        "beams win": (with_row(c={"e": 0.2, "a": 0.2, "b": 0.2, "d": 0.2, "start": 0.2}), "two beams win"),
        "tie": (
            {
                "start": {"a": 0.5, "b": 0.5},
                "a": {"c": 0.4, "d": 0.3, "e": 0.3},
                "b": {"d": 0.5, "e": 0.5},
                "c": {"e": 1},
                "": {"d": 0.8, "e": 0.2},
            },
            "a tie is no loss",
        ),
        "row does not sum to one": (with_row(start={"a": 0.5, "b": 0.4}), "sum to 1, not 0.9"),
        "unknown word": (with_row(c={"z": 1}), "'z' is not one of the words"),
        "row missing": ({k: v for k, v in LOSING.items() if k}, "no row for a text that ends with"),
        "not a table": ([0.5, 0.5], "should be a dict"),
        "rows are numbers": ({"start": 0.5, "": {"a": 1}}, "refuses"),
    },
}


@pytest.mark.parametrize(("name", "number"), [(name, i) for name in RIGHT for i in range(len(RIGHT[name]))])
def test_another_right_answer(name, number):
    verdict = getattr(checks, name)(RIGHT[name][number])
    assert verdict.status == "right", verdict


@pytest.mark.parametrize(("name", "mistake"), [(name, m) for name in WRONG for m in WRONG[name]])
def test_wrong_answers_are_diagnosed(name, mistake):
    answer, diagnosis = WRONG[name][mistake]
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "wrong", verdict
    assert diagnosis in verdict.message + verdict.hint


@pytest.mark.parametrize("name", WRONG)
def test_at_least_five_different_diagnoses(name):
    assert len({diagnosis for _, diagnosis in WRONG[name].values()}) >= 5


@pytest.mark.parametrize("name", WRONG)
def test_unanswered(name):
    assert getattr(checks, name)(...).status == "unanswered"
