"""The checks of lesson 00: another right answer, and wrong ones that each get their own diagnosis."""

import pytest

from gpt2lessons.checks import start

# the loop


def loop_with_while(next_token, ids, n):
    out = [*ids]
    while len(out) < len(ids) + n:
        out += [next_token(out)]
    return out


def only_the_new(next_token, ids, n):
    return loop_with_while(next_token, ids, n)[len(ids) :]


def in_place(next_token, ids, n):
    for _ in range(n):
        ids.append(next_token(ids))
    return ids


def never_reads_what_it_wrote(next_token, ids, n):
    return ids + [next_token(ids) for _ in range(n)]


def last_token_only(next_token, ids, n):
    out = list(ids)
    for _ in range(n):
        out.append(next_token(out[-1:]))
    return out


def one_too_many(next_token, ids, n):
    return loop_with_while(next_token, ids, n + 1)


def n_in_all(next_token, ids, n):
    return loop_with_while(next_token, ids, max(0, n - len(ids)))


def in_front(next_token, ids, n):
    out = list(ids)
    for _ in range(n):
        out = [next_token(out), *out]
    return out


def a_number(next_token, ids, n):
    return ids + [next_token(ids[-1]) for _ in range(n)]


def no_end(next_token, ids, n):
    out = list(ids)
    while True:
        out.append(next_token(out))


# megabytes


def by_bytes(n_parameters, bits):
    return n_parameters * (bits / 8) * 1e-6


# pieces


def with_map(encode, decode, text):
    return list(map(lambda i: decode([i]), encode(text)))  # noqa: C417


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (start.continue_text, loop_with_while),
        (start.weight_megabytes, by_bytes),
        (start.pieces, with_map),
    ],
)
def test_another_right_answer_is_accepted(check, answer):
    assert check(answer).status == "right"


WRONG = [
    (start.continue_text, only_the_new, "only the new tokens"),
    (start.continue_text, in_place, "changed the list"),
    (start.continue_text, never_reads_what_it_wrote, "were never read"),
    (start.continue_text, last_token_only, "the last token alone"),
    (start.continue_text, one_too_many, "called next_token 4 times, but 3"),
    (start.continue_text, n_in_all, "called next_token 2 times, but 3"),
    (start.continue_text, in_front, "should be [7, 17, 27, 37]"),
    (start.continue_text, a_number, "should be given a list"),
    (start.continue_text, no_end, "does not end"),
    (start.continue_text, lambda next_token, ids, n: None, "changed|called next_token 0 times"),
    (start.weight_megabytes, lambda n, bits: n * bits / 1e6, "counts bits"),
    (start.weight_megabytes, lambda n, bits: n * bits / 8 / 1024**2, "mebibytes"),
    (start.weight_megabytes, lambda n, bits: n * bits / 8, "is in bytes"),
    (start.weight_megabytes, lambda n, bits: n * bits / 8e3, "kilobytes"),
    (start.weight_megabytes, lambda n, bits: n * bits / 8e9, "gigabytes"),
    (start.weight_megabytes, lambda n, bits: n / 1e6, "counts the parameters"),
    (start.weight_megabytes, lambda n, bits: n * 4 / 1e6, "takes 32 bits"),
    (start.weight_megabytes, lambda n, bits: n * 2 / 1e6, "takes 16 bits"),
    (start.weight_megabytes, lambda n, bits: round(n * bits / 8e6), "rounded"),
    (start.weight_megabytes, lambda n, bits: f"{n * bits / 8e6} MB", "should be a number, but is a str"),
    (start.weight_megabytes, lambda n, bits: n * bits / 8e6 + 100, "should be 497.76, but is 597.76"),
    (start.pieces, lambda encode, decode, text: text.split(), "tokens are not words"),
    (start.pieces, lambda encode, decode, text: encode(text), "the ids, not their texts"),
    (start.pieces, lambda encode, decode, text: list(text), "single characters"),
    (start.pieces, lambda encode, decode, text: decode(encode(text)), "in one string"),
    (start.pieces, lambda encode, decode, text: [decode([i]).strip() for i in encode(text)], "lost the spaces"),
    (start.pieces, lambda encode, decode, text: [decode(i) for i in encode(text)], "takes a list of ids"),
    (start.pieces, lambda encode, decode, text: tuple(decode([i]) for i in encode(text)), "tuple"),
    (
        start.pieces,
        lambda encode, decode, text: [decode(encode(text)[: k + 1]) for k in range(len(encode(text)))],
        "texts that grow",
    ),
    (
        start.pieces,
        lambda encode, decode, text: [decode([i]).replace(" ", "Ġ") for i in encode(text)],
        "shows spaces as Ġ",
    ),
    (start.pieces, lambda encode, decode, text: [decode([i]) for i in encode(text)][:-1], "should be ['un', 'bel'"),
    (start.pieces, lambda encode, decode, text: None, "is None"),
]


@pytest.mark.parametrize(("check", "answer", "words"), WRONG)
def test_wrong_answer_is_diagnosed(check, answer, words):
    verdict = check(answer)
    assert verdict.status == "wrong"
    assert any(part in verdict.message for part in words.split("|")), verdict


def test_each_exercise_has_at_least_five_wrong_answers():
    checks = [check for check, _, _ in WRONG]
    assert all(checks.count(check) >= 5 for check in (start.continue_text, start.weight_megabytes, start.pieces))


def test_unanswered():
    for check in (start.continue_text, start.weight_megabytes, start.pieces):
        assert check(...).status == "unanswered"
