"""The deeper notebook on tokenizers: other right answers pass, and each named mistake gets its own diagnosis."""

import codecs

import pytest
import torch
from support.exercises import exercises, run_exercise
from torch.nn.utils.rnn import pad_sequence

from gpt2lessons.checks import tokenizers_in_practice as checks


def pad_left(rows, pad_id):
    """Pad by writing slices into full tensors."""
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad_id)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for r, row in enumerate(rows):
        ids[r, length - len(row) :] = torch.tensor(row)
        mask[r, length - len(row) :] = 1
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


def pad_right(rows, pad_id):
    ids = pad_sequence([torch.tensor(r) for r in rows], batch_first=True, padding_value=pad_id)
    mask = pad_sequence([torch.ones(len(r), dtype=torch.long) for r in rows], batch_first=True)
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


def with_mask(change):
    def answer(rows, pad_id):
        ids, mask, positions = pad_left(rows, pad_id)
        return ids, change(ids, mask, pad_id), positions

    return answer


def with_positions(change):
    def answer(rows, pad_id):
        ids, mask, positions = pad_left(rows, pad_id)
        return ids, mask, change(mask, positions)

    return answer


def shortened(rows, pad_id):
    return pad_left([row[-2:] for row in rows], pad_id)


def in_place(rows, pad_id):
    result = pad_left(rows, pad_id)
    for row in rows:
        row[:0] = [pad_id] * (4 - len(row))
    return result


def stream(tokens):
    """Show what can be decoded of all bytes so far, less what was shown."""
    shown, out, data = 0, [], b""
    for token in tokens:
        data += token
        text = data.decode("utf8", errors="ignore")
        out.append(text[shown:])
        shown = len(text)
    return out


def stream_by_words(tokens):
    """Hold back the text until a token begins with a space or the end has come."""
    out, held, decoder = [], "", codecs.getincrementaldecoder("utf8")()
    for i, token in enumerate(tokens):
        held += decoder.decode(token)
        ready = i % 2 == 1 or i == len(tokens) - 1
        out.append(held if ready else "")
        held = "" if ready else held
    return out


RIGHT = {
    "pad_left": (pad_left,),
    "stream_text": (stream,),
}

WRONG = {
    "pad_left": {
        "right": (pad_right, "stands on the right"),
        "mask upside down": (with_mask(lambda ids, mask, pad: 1 - mask), "upside down"),
        "mask from ids": (with_mask(lambda ids, mask, pad: (ids != pad).long()), "a real token was taken for padding"),
        "all ones": (with_mask(lambda ids, mask, pad: torch.ones_like(mask)), "attention_mask is"),
        "plain positions": (with_positions(lambda m, p: torch.arange(4).repeat(3, 1)), "padding is counted"),
        "from one": (with_positions(lambda m, p: m.cumsum(1)), "begin at 1"),
        "from the right": (with_positions(lambda m, p: m.flip(1).cumsum(1).flip(1) * m - m), "have the positions"),
        "negative": (with_positions(lambda m, p: m.cumsum(1) - 1), "negative position"),
        "shortest": (shortened, "should have shape (3, 4)"),
        "in place": (in_place, "changed the rows"),
        "lists": (lambda rows, pad: tuple(t.tolist() for t in pad_left(rows, pad)), "not list"),
        "bool mask": (with_mask(lambda ids, mask, pad: mask.bool()), "torch.bool"),
        "no positions": (lambda rows, pad: pad_left(rows, pad)[:2], "three results"),
        "reversed": (lambda rows, pad: pad_left([r[::-1] for r in rows], pad), "input_ids is"),
    },
    "stream_text": {
        "replace": (lambda tokens: [t.decode("utf8", "replace") for t in tokens], "broken characters"),
        "ignore": (lambda tokens: [t.decode("utf8", "ignore") for t in tokens], "characters are missing"),
        "backslashes": (lambda tokens: [t.decode("utf8", "backslashreplace") for t in tokens], "bytes written out"),
        "at the end": (lambda tokens: [""] * (len(tokens) - 1) + [b"".join(tokens).decode()], "before the last token"),
        "all so far": (
            lambda tokens: [b"".join(tokens[: i + 1]).decode("utf8", "ignore") for i in range(len(tokens))],
            "parts are repeated",
        ),
        "one string": (lambda tokens: b"".join(tokens).decode(), "a list with one str per token"),
        "empty ones left out": (lambda tokens: [s for s in stream(tokens) if s], "strings were returned"),
        "late": (stream_by_words, "is possible"),
        "latin": (lambda tokens: [t.decode("latin1") for t in tokens], "the strings joined are"),
        "strict": (lambda tokens: [t.decode() for t in tokens], "UnicodeDecodeError"),
    },
}


@pytest.mark.parametrize("name", RIGHT)
def test_differently_written_right_answers_are_accepted(name):
    for answer in RIGHT[name]:
        verdict = getattr(checks, name)(answer)
        assert verdict.status == "right", verdict


@pytest.mark.parametrize(("name", "mistake"), [(name, m) for name in WRONG for m in WRONG[name]])
def test_each_mistake_gets_its_diagnosis(name, mistake):
    answer, diagnosis = WRONG[name][mistake]
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "wrong"
    assert {d for _, d in WRONG[name].values() if d in verdict.message} == {diagnosis}, verdict


def test_at_least_five_diagnoses_for_each_exercise():
    assert all(len({d for _, d in mistakes.values()}) >= 5 for mistakes in WRONG.values())


@pytest.mark.parametrize("name", RIGHT)
def test_stub_and_missing_return_are_met(name):
    check = getattr(checks, name)
    assert check(...).status == "unanswered"
    assert check(lambda *_: None).status == "wrong"


@pytest.mark.parametrize("name", ["ex1", "ex2"])
def test_stub_is_unanswered_and_folded_solution_is_right(name):
    notebook = "deeper/tokenizers_in_practice"
    assert run_exercise(notebook, name).status == "unanswered"
    verdict = run_exercise(notebook, name, exercises(notebook)[name][1])
    assert verdict.status == "right", verdict
