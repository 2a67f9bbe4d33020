"""Checks of lesson 00: the loop that writes, the pieces of a text, a prompt that calls a word."""

import contextlib
import functools
import io
import re

from gpt2lessons.bpe import ASSETS, BPE
from gpt2lessons.checks.frame import WrongError, exercise, expect_value


@exercise("Write the loop")
def continue_text(answer):
    """`answer(next_token, tokens, n)` returns `tokens` and `n` new ones; `next_token` takes the list of all so far."""
    for start, n in (([7], 3), ([1, 2, 3], 4), ([5, 5], 1), ([4], 0)):
        seen, given = [], list(start)

        def next_token(ids, seen=seen):
            if not isinstance(ids, list):
                raise WrongError(f"next_token should be given a list of tokens, but was given {ids!r}.")
            seen.append(list(ids))
            if len(seen) > 50:
                raise WrongError("next_token was called more than 50 times for a few tokens: your loop does not end.")
            return 10 * len(ids) + ids[-1] % 10  # depends on the length and on the last id

        got = answer(next_token, given, n)
        call = f"continue_text(next_token, {start}, {n})"
        if given != start:
            raise WrongError(
                f"{call} changed the list that it was given: it is now {given}. The caller still needs it.",
                hint="`tokens + [new]` makes a new list, `tokens.append(new)` changes the old one.",
            )
        expected = list(start)
        for _ in range(n):
            expected.append(10 * len(expected) + expected[-1] % 10)
        _diagnose_calls(call, seen, start, n)
        if got == expected[len(start) :] and n:
            raise WrongError(f"{call} returned only the new tokens, {got}.", hint="The text begins with the prompt.")
        expect_value(got, expected, call, hint="Which tokens does next_token get in the second round?")
    return "each token was chosen with the whole text before it in view, and the prompt is untouched."


def _diagnose_calls(call, seen, start, n):
    if len(seen) != n:
        times = "once" if len(seen) == 1 else f"{len(seen)} times"
        wanted = f"{n} new token{'s are' if n != 1 else ' is'} wanted"
        raise WrongError(f"{call} called next_token {times}, but {wanted}.")
    lengths = [len(ids) for ids in seen]
    if n > 1 and all(ids == start for ids in seen):
        raise WrongError(
            f"{call} asked next_token about {seen[-1]} every time, so the new tokens were never read.",
            hint="What was chosen in one round is part of the input of the next.",
        )
    if any(length == 1 for length in lengths[1:]) or (len(start) > 1 and lengths[:1] == [1]):
        raise WrongError(
            f"{call} gave next_token the last token alone, {seen[-1]}.",
            hint="A language model reads everything that stands before, not one token.",
        )


@functools.cache
def _mini():
    from gpt2lessons.loading.models import load

    with contextlib.redirect_stdout(io.StringIO()):  # the lesson has said which model it loaded
        return load("gpt2-mini")


@exercise("Make it say giant")
def make_it_say(answer):
    """`answer` is a prompt (str) that gpt2-mini continues, greedily and within ten tokens, with the word "giant"."""
    from gpt2lessons.decoding.generation import generate_text

    if not isinstance(answer, str):
        raise WrongError(f"a prompt is one text (a str), but was given {type(answer).__name__}.")
    if not answer.strip():
        raise WrongError("the prompt is empty: the model needs something to continue.")
    if "giant" in answer.lower():
        raise WrongError("the word is in your prompt. The model has to find it by itself.", hint="Describe it.")
    if len(answer.split()) > 20:
        raise WrongError(f"the prompt has {len(answer.split())} words.", hint="Twenty are enough for a giant.")
    if answer != answer.rstrip():
        hint = "A space belongs to the word behind it, and the model writes that one. Lesson 02 measures the harm."
        raise WrongError("the prompt ends with a space or a line break.", hint=hint)
    text = generate_text(_mini(), answer, max_new_tokens=10)
    if not re.search(r"\bgiants?\b", text[len(answer) :], re.I):
        hint = "Where do giants live? Who meets them? Stop right before the word that you wait for."
        raise WrongError(f"gpt2-mini continued: {text!r}. No giant.", hint=hint)
    return f"gpt2-mini wrote: {text!r}"


@exercise("Cut a text into its pieces")
def pieces(answer):
    """`answer(encode, decode, text)` returns the list of the tokens' texts; `encode` str → ids, `decode` ids → str."""
    folder = ASSETS / "gpt2-mini"
    bpe = BPE.from_files(folder / "vocab.json", folder / "merges.txt")

    def decode(ids):
        if isinstance(ids, int):
            raise WrongError(
                f"decode was given the number {ids}, but it takes a list of numbers.", hint="[5] is a list."
            )
        return bpe.decode(ids)

    for text in ("unbelievable, isn't it?", "I am a large language model", "two  spaces"):
        got, right = answer(bpe.encode, decode, text), [bpe.decode([i]) for i in bpe.encode(text)]
        call = f"pieces(encode, decode, {text!r})"
        _diagnose_pieces(call, got, right, text, bpe)
        expect_value(got, right, call)
    return "joined together, the pieces are the text again, spaces and all."


def _diagnose_pieces(call, got, right, text, bpe):
    if got == text:
        raise WrongError(f"{call} returned the text in one string.", hint="One piece for each number, in a list.")
    if isinstance(got, tuple) and list(got) == right:
        raise WrongError(f"{call} returned a tuple; a list is wanted.")
    if got == [text]:
        raise WrongError(
            f"{call} returned one piece, the whole text.", hint="Give decode one number at a time, in a list."
        )
    if not isinstance(got, list) or got == right:
        return
    if got == bpe.encode(text):
        raise WrongError(f"{call} returned the numbers, not their texts.", hint="decode turns numbers into text.")
    if got == text.split() or got == text.split(" "):
        raise WrongError(
            f"{call} returned the words between the spaces: tokens are not words.", hint="Use encode first."
        )
    if got == list(text):
        raise WrongError(f"{call} returned single characters: a token is longer as a rule.", hint="Use encode first.")
    if got == [piece.strip() for piece in right]:
        raise WrongError(
            f"{call} lost the spaces.", hint="' large' and 'large' are two tokens; keep what decode gives."
        )
    if len(got) == len(right) and "".join(map(str, got)) != text and str(got[-1]) == text:
        raise WrongError(f"{call} returned texts that grow: {got[:3]} …", hint="Decode each number by itself.")
    if any("Ġ" in str(piece) for piece in got):
        raise WrongError(f"{call} shows spaces as Ġ, the way the vocabulary's file spells them.", hint="Use decode.")
