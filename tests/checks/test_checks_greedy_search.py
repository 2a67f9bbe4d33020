"""The checks of lesson 04: right answers of another make, and wrong ones with the diagnosis that each must get."""

import pytest
import torch

from gpt2lessons.checks import greedy_search as checks


def by_dictionary(prompt, new, n):
    ids, followers = [*prompt, *new], {}
    for i in range(n - 1, len(ids)):
        followers.setdefault(tuple(ids[i - n + 1 : i]), set()).add(ids[i])
    return followers.get(tuple(ids[len(ids) - n + 1 :]), set())


def windows(*, prompt_too=True, last=1, latest_slice=True, contiguous=True):
    """The solution of the notebook with one mistake per argument."""

    def answer(prompt, new, n):
        ids = prompt + new if prompt_too else new
        latest = ids[len(ids) - n + 1 :] if latest_slice else ids[-(n - 1) :]
        found = [ids[i : i + n] for i in range(len(ids) - n + last)]
        match = (lambda w: w[:-1] == latest) if contiguous else (lambda w: w[-2:-1] == latest[-1:])
        return {w[-1] for w in found if match(w)}

    return answer


def by_text(mini):
    def answer(prompt, new, n):
        ids = prompt + new
        words = [mini.decode([i]).strip() for i in ids]
        latest = words[len(ids) - n + 1 :]
        return {ids[i + n - 1] for i in range(len(ids) - n + 1) if words[i : i + n - 1] == latest}

    return answer


def beginnings(prompt, new, n):
    ids = prompt + new
    return {ids[-1]} if by_dictionary(prompt, new, n) else set()


def only_latest(prompt, new, n):
    ids = prompt + new
    for i in range(len(ids) - n, -1, -1):
        if ids[i : i + n - 1] == ids[len(ids) - n + 1 :]:
            return {ids[i + n - 1]}
    return set()


def whole_ngram(prompt, new, n):
    return by_dictionary(prompt, new, n + 1)


def penalty(
    *, divide_all=False, per_occurrence=False, everything=False, subtract=False, multiply_all=False, skip=False
):
    def answer(logits, ids, theta):
        out = logits.clone()
        for i in range(len(out)) if everything else ids if per_occurrence else set(ids):
            if subtract:
                out[i] -= theta / 2 + (theta - 1) if theta != 1 else 0
            elif multiply_all:
                out[i] *= theta
            elif divide_all or out[i] > 0:
                out[i] /= theta
            elif not skip:
                out[i] *= theta
        return out

    return answer


def penalty_vectorised(logits, ids, theta):
    seen = torch.zeros(len(logits), dtype=torch.bool)
    seen[torch.tensor(ids, dtype=torch.long)] = True
    return torch.where(seen, torch.minimum(logits / theta, logits * theta), logits)


def penalty_in_place(logits, ids, theta):
    for i in set(ids):
        logits[i] = logits[i] / theta if logits[i] > 0 else logits[i] * theta
    return logits


def loop_by_shift(ids):
    for p in range(1, len(ids) // 3 + 1):
        end = ids[len(ids) - 3 * p :]
        if all(a == b for a, b in zip(end, end[p:], strict=False)):
            return p
    return 0


def loop(*, times=3, longest=False, anywhere=False, one_id=False, count=False, room=0):
    def answer(ids):
        found = []
        for p in range(1, len(ids) // times + 1 - room):
            ends = range(times * p, len(ids) + 1) if anywhere else [len(ids)]
            for end in ends:
                block = ids[end - times * p : end]
                parts = [block[i * p : (i + 1) * p] for i in range(times)]
                if one_id:
                    parts = [part[-1:] for part in parts]
                if all(part == parts[0] for part in parts):
                    found.append(p)
        if count and found:
            return len(ids) // found[0]
        return 0 if not found else found[-1] if longest else found[0]

    return answer


RIGHT = {
    "banned_tokens": [by_dictionary],
    "penalize": [penalty_vectorised],
    "loop_length": [loop_by_shift],
}

WRONG = {
    "banned_tokens": {
        "misses the prompt": (windows(prompt_too=False), "pairs of the prompt were overlooked"),
        "misses the end": (windows(last=0), "at the very end"),
        "empty slice": (windows(latest_slice=False), "with n = 1"),
        "pair suffices": (windows(contiguous=False), "a pair is enough"),
        "beginning": (beginnings, "beginning of the pair"),
        "only latest": (only_latest, "only the latest pair counts"),
        "n ids": (whole_ngram, "overlooked"),
        "list": (lambda *a: list(by_dictionary(*a)), "should be a set"),
        "nothing": (lambda *a: None, "is None"),
    },
    "penalize": {
        "divides all": (penalty(divide_all=True), "negative logit was divided"),
        "per occurrence": (penalty(per_occurrence=True), "penalised twice"),
        "everything": (penalty(everything=True), "have not occurred were penalised"),
        "subtracts": (penalty(subtract=True), "subtracted"),
        "multiplies all": (penalty(multiply_all=True), "positive logit grew"),
        "skips negative": (penalty(skip=True), "left as it is"),
        "in place": (penalty_in_place, "changed the tensor"),
        "unchanged": (lambda z, ids, t: z.clone(), "nothing changed"),
    },
    "loop_length": {
        "twice": (loop(times=2), "only twice"),
        "longest": (loop(longest=True), "a shorter phrase does too"),
        "anywhere": (loop(anywhere=True), "ended before the text did"),
        "one id": (loop(one_id=True), "one id is compared"),
        "count": (loop(count=True), "repeats, not how long|counts repetitions"),
        "room": (loop(room=1), "overlooked"),
        "boolean": (lambda ids: bool(loop()(ids)), "should be an int"),
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


def test_a_ban_by_text_is_told_apart_from_a_ban_by_ids(mini):
    verdict = checks.banned_tokens(by_text(mini))
    assert verdict.status == "wrong"
    assert "' I' are read as the same token" in verdict.message


@pytest.mark.parametrize("name", WRONG)
def test_diagnoses_differ(name):
    messages = {label: getattr(checks, name)(answer).message for label, (answer, _) in WRONG[name].items()}
    assert len(set(messages.values())) >= max(5, len(messages) - 2), messages
