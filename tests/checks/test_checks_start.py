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


# pieces


def with_map(encode, decode, text):
    return list(map(lambda i: decode([i]), encode(text)))  # noqa: C417


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (start.continue_text, loop_with_while),
        (start.make_it_say, "Jack climbed the beanstalk and met a terrible"),
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
    (start.make_it_say, ["Aladdin"], "is one text"),
    (start.make_it_say, "  ", "is empty"),
    (start.make_it_say, "The Giant and his", "is in your prompt"),
    (start.make_it_say, "very " * 21 + "big", "has 22 words"),
    (start.make_it_say, "In the castle lived a great ", "ends with a space or"),
    (start.make_it_say, "The crown belongs to the", "No giant"),
    (start.pieces, lambda encode, decode, text: text.split(), "tokens are not words"),
    (start.pieces, lambda encode, decode, text: encode(text), "the numbers, not their texts"),
    (start.pieces, lambda encode, decode, text: list(text), "single characters"),
    (start.pieces, lambda encode, decode, text: decode(encode(text)), "in one string"),
    (start.pieces, lambda encode, decode, text: [decode([i]).strip() for i in encode(text)], "lost the spaces"),
    (start.pieces, lambda encode, decode, text: [decode(i) for i in encode(text)], "takes a list of numbers"),
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
    (start.pieces, lambda encode, decode, text: [decode(encode(text))], "one piece, the whole text"),
    (start.continue_text, lambda next_token, ids, n: ids + [next_token(ids)] * n, "called next_token once, but 3"),
    (start.pieces, lambda encode, decode, text: None, "is None"),
]


@pytest.mark.parametrize(("check", "answer", "words"), WRONG)
def test_wrong_answer_is_diagnosed(check, answer, words):
    verdict = check(answer)
    assert verdict.status == "wrong"
    assert any(part in verdict.message for part in words.split("|")), verdict


CHECKS = (start.continue_text, start.pieces, start.make_it_say)


def test_each_exercise_has_at_least_five_wrong_answers():
    checks = [check for check, _, _ in WRONG]
    assert all(checks.count(check) >= 5 for check in CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_unanswered(check):
    assert check(...).status == "unanswered"
