"""Checks of lesson 04: finding a loop, the n-gram ban, and the repetition penalty."""

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    call_untouched,
    exercise,
    expect_tensor,
    expect_value,
    refuse,
)


@exercise("Which tokens are banned?")
def banned_tokens(answer):
    """Examine `answer(prompt_ids, new_ids, ngram_size) -> set of ids`; both are lists."""
    # the prompt holds (7, 8); each case: what a mistake would give, and what it is
    _ask(
        answer,
        [7, 8, 9],
        [5, 7],
        2,
        {8},
        {
            frozenset(): ("pairs of the prompt were overlooked", "The ban looks at prompt and new ids alike."),
            frozenset({7}): ("the beginning of the pair is banned, not its end", "Which id would repeat the pair?"),
        },
    )
    _ask(answer, [3], [4, 3, 5, 3], 2, {4, 5}, {frozenset({5}): ("only the latest pair counts", "All pairs count.")})
    _ask(
        answer,
        [1, 2, 3],
        [5, 2],
        3,
        set(),
        {frozenset({3}): ("a pair is enough to be banned, though n = 3", "The last n − 1 ids must all match.")},
    )
    _ask(
        answer, [1, 2, 3], [4, 1, 2], 3, {3}, {frozenset(): ("the trigram 1 2 3 was overlooked", "Compare n − 1 ids.")}
    )
    _ask(
        answer,
        [6],
        [5, 5],
        2,
        {5},
        {frozenset(): ("the pair at the very end, 5 5, was overlooked", "How many windows of n fit into the text?")},
    )
    _ask(
        answer,
        [1, 2],
        [3],
        1,
        {1, 2, 3},
        {frozenset(): ("with n = 1 every token that has occurred is banned", "In Python, ids[-0:] is the whole list.")},
    )
    _ask(
        answer,
        [40, 716, 257],
        [11, 314],
        2,
        set(),
        {frozenset({716}): ("'I' and ' I' are read as the same token", "The ban compares ids, 40 and 314, not text.")},
    )
    _ask(answer, [4], [], 2, set(), {})
    return "prompt and new tokens alike, by ids, for every n."


def _ask(answer, prompt, new, n, expected, mistakes):
    got = answer(list(prompt), list(new), n)
    place = f"prompt {prompt}, new {new}, n = {n}"
    expect_value(got, got if isinstance(got, set) else set(), f"the answer for {place}")
    if got != expected:
        problem, hint = mistakes.get(frozenset(got), (f"expected {expected or '{}'}, but got {got or '{}'}", ""))
        raise WrongError(f"{place}: {problem}.", hint=hint)


@exercise("Repetition penalty")
def penalize(answer):
    """Examine `answer(logits (V,), ids: list, penalty) -> logits (V,)`."""
    logits, ids = torch.tensor([2.0, -1.0, 3.0, -4.0]), [0, 1, 0]
    got = call_untouched(answer, logits, list(ids), 2.0)
    expected = torch.tensor([1.0, -2.0, 3.0, -4.0])
    mistakes = {
        "the token with a negative logit was divided, so it became more probable": (
            [1.0, -0.5, 3.0, -4.0],
            "Which way is down for a negative number?",
        ),
        "a token that occurred twice was penalised twice": ([0.5, -2.0, 3.0, -4.0], "The penalty does not count."),
        "tokens that have not occurred were penalised too": ([1.0, -2.0, 1.5, -8.0], "Only what stands in `ids`."),
        "the penalty was subtracted": ([0.0, -3.0, 3.0, -4.0], "It divides and multiplies."),
        "everything was multiplied, so a positive logit grew": ([4.0, -2.0, 3.0, -4.0], "Down is below for both."),
        "the negative logit was left as it is": ([1.0, -1.0, 3.0, -4.0], "It has occurred as well."),
        "nothing changed": (logits.tolist(), "Do you return the new tensor?"),
    }
    refuse(got, mistakes)
    expect_tensor(got, expected, "the result for logits [2, −1, 3, −4], ids [0, 1, 0], penalty 2")
    expect_tensor(answer(logits.clone(), [2, 3], 1.0), logits, "the result with penalty 1")
    expect_tensor(answer(logits.clone(), [], 2.0), logits, "the result when nothing has been said")
    return "positive logits are divided, negative ones multiplied, each token once."


@exercise("Find the loop")
def loop_length(answer):
    """Examine `answer(ids: list) -> int`: length of the shortest phrase that ends the text three times in a row."""
    cases = [
        ([9, 1, 2, 1, 2, 1, 2], 2, {3: "that is how often it repeats, not how long it is", 0: "a loop was overlooked"}),
        ([5, 5, 5, 5, 5, 5], 1, {2: "5 5 repeats, but a shorter phrase does too", 6: "that counts repetitions"}),
        ([1, 2, 3, 1, 2, 3], 0, {3: "the phrase stands there only twice"}),
        ([1, 2, 1, 2, 1, 2, 9], 0, {2: "the loop has ended before the text did"}),
        ([3, 1, 2, 3, 7, 2, 3, 1, 2, 3], 0, {3: "one id is compared where a whole phrase should be"}),
        (
            [8, 1, 2, 3, 1, 2, 3, 1, 2, 3],
            3,
            {0: "a phrase of three tokens was overlooked", 9: "that is the whole loop"},
        ),
        ([4, 5, 4, 5, 4, 5, 4, 5], 2, {4: "4 5 4 5 repeats, but a shorter phrase does too"}),
        ([1, 1, 2, 1, 1, 2, 1, 1, 2], 3, {1: "one id is compared where a whole phrase should be"}),
        ([6, 6, 6], 1, {0: "a text that is nothing but the loop was overlooked"}),
        ([7], 0, {}),
        ([], 0, {}),
    ]
    for ids, expected, mistakes in cases:
        got = answer(list(ids))
        expect_value(got, got if isinstance(got, int) and not isinstance(got, bool) else 0, f"the answer for {ids}")
        if got != expected:
            reason = mistakes.get(got, f"expected {expected}, but got {got}")
            raise WrongError(
                f"{ids}: {reason}.", hint="Compare the last p ids with the p before and the p before those."
            )
    return "the shortest phrase, at the end, three times."
