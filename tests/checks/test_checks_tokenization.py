"""Checks of lesson 02: one differently written right answer each, and named mistakes, each with its own diagnosis."""

import codecs

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from gpt2lessons.bpe import PATTERN
from gpt2lessons.checks import tokenization as checks


def numbers(part, *, front=False):
    """GPT-2's pattern with another part for numbers."""
    return part + "|" + PATTERN if front else PATTERN.replace(r" ?\p{N}+", part)


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


def fit(ids, n_positions, max_new_tokens):
    """Count from the front and refuse what cannot fit."""
    if max_new_tokens >= n_positions:
        raise ValueError("no position is left for the prompt")
    return [i for place, i in enumerate(ids) if place >= len(ids) - (n_positions - max_new_tokens)]


def fit_in_place(ids, n_positions, max_new_tokens):
    del ids[: max(0, len(ids) - n_positions + max_new_tokens)]
    return ids


RIGHT = {
    "first_merges": ([["i", "n"], ["p", "in"], ["t", "in"]],),
    "number_pattern": (
        numbers(r" ?\p{N}\p{N}?\p{N}?"),
        r"'(?:s|t|re|ve|m|ll|d)" + PATTERN[20:].replace("N}+", "N}{1,3}"),
    ),
    "pad_left": (pad_left,),
    "stream_text": (stream,),
    "fit_prompt": (fit,),
}

WRONG = {
    "first_merges": {
        "words counted once": ([("i", "n"), ("p", "in"), ("pin", "t")], "counted each word once"),
        "not counted anew": ([("i", "n"), ("p", "i"), ("n", "t")], "three most frequent pairs of the letters"),
        "order": ([("p", "in"), ("i", "n"), ("t", "in")], "in another order"),
        "strings": (["in", "pin", "tin"], "one string"),
        "first pair": ([("t", "i"), ("ti", "n"), ("p", "in")], "the first merge is not"),
        "last pair": ([("i", "n"), ("p", "in"), ("in", "t")], "merge 3 is not"),
        "two only": ([("i", "n"), ("p", "in")], "three merges are asked for"),
    },
    "number_pattern": {
        "unchanged": (PATTERN, "still one piece of 7 digits"),
        "exactly three": (numbers(r" ?\p{N}{3}"), "characters were lost"),
        "ascii only": (numbers(r" ?[0-9]{1,3}"), "not written with 0 to 9"),
        "up to four": (numbers(r" ?\p{N}{1,4}"), "still one piece of 4 digits"),
        "single digits": (numbers(r" ?\p{N}"), "groups shorter than need be"),
        "space lost": (numbers(r"\p{N}{1,3}"), "a space lost its number"),
        "groups": (numbers(r" ?(\p{N}{1,3})"), "the pattern has groups"),
        "letters changed": (numbers(r" ?\p{N}{1,3}").replace(r" ?\p{L}+", r"\p{L}+"), "has no number"),
        "contractions dropped": (numbers(r" ?\p{N}{1,3}")[20:].lstrip("|"), "has no number"),
        "not a pattern": ("(", "no regular expression"),
        "compiled": (3, "should be a str"),
    },
    "pad_left": {
        "right": (pad_right, "stands on the right"),
        "mask upside down": (with_mask(lambda ids, mask, pad: 1 - mask), "upside down"),
        "mask from ids": (with_mask(lambda ids, mask, pad: (ids != pad).long()), "a real token was taken for padding"),
        "all ones": (with_mask(lambda ids, mask, pad: torch.ones_like(mask)), "attention_mask is"),
        "plain positions": (with_positions(lambda m, p: torch.arange(4).repeat(3, 1)), "padding is counted"),
        "from one": (with_positions(lambda m, p: m.cumsum(1)), "begin at 1"),
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
    "fit_prompt": {
        "no room": (lambda ids, n, new: ids[-n:], "no room is left"),
        "beginning": (lambda ids, n, new: ids[: n - new], "the beginning was kept"),
        "wrong count": (lambda ids, n, new: ids[-new:], "as are to be generated"),
        "off by one": (lambda ids, n, new: ids[-(n - new - 1) :], "you kept 5 ids instead of 6"),
        "whole list at zero": (lambda ids, n, new: ids[-(n - new) :], "with 10 positions and 10 new tokens"),
        "in place": (fit_in_place, "changed the list"),
        "tuple": (lambda ids, n, new: tuple(fit(ids, n, new)), "not tuple"),
        "reversed": (lambda ids, n, new: fit(ids, n, new)[::-1], "in their order"),
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
    assert check(None if name in ("first_merges", "number_pattern") else lambda *_: None).status == "wrong"


def test_the_right_number_pattern_is_not_told_by_a_wrong_answer():
    answers = "('p', 'in')", "('t', 'in')", "{1,3}", "[-room:]"
    for name, mistakes in WRONG.items():
        for answer, _ in mistakes.values():
            verdict = getattr(checks, name)(answer)
            told = [a for a in answers if a in verdict.message + verdict.hint and a not in str(answer)]
            assert told == [], verdict
