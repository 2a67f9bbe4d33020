"""Checks of lesson 05: one step of beam search, the search, the score of a text.

Of its deeper notebook: what is finished, and a table where beams lose.
"""

import math

import torch

from gpt2lessons.checks.frame import WrongError, exercise, expect_number
from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.toy import ToyModel, random_toy

WORDS = ["start", "a", "b", "c", "d", "e"]


@exercise("The score of a finished text")
def sequence_score(answer):
    """Examine `answer(log_probs, length_penalty) -> float`; `log_probs` is a list, one number per new token."""
    for log_probs, penalty in [
        ([-0.5, -1.5, -4.0], 2.0),  # first a case in which most mistakes differ
        ([-0.5, -1.5, -4.0], 1.0),
        ([-2.0, -1.0], 0.0),
        ([-3.0], -1.0),
    ]:
        total, length = sum(log_probs), len(log_probs)
        probs = [math.exp(x) for x in log_probs]
        mistakes = [
            (math.prod(log_probs) / length**penalty, "the log-probabilities were multiplied", "Logs turn × into +."),
            (
                math.prod(probs) / length**penalty,
                "this divides a probability",
                "The score is made of log-probabilities.",
            ),
            (sum(probs) / length**penalty, "probabilities were added", "Only their logarithms may be added."),
            (
                total * length**penalty,
                "the sum was multiplied by length ** length_penalty",
                "Which way does the bar go?",
            ),
            (-total / length**penalty, "the sign is lost", "The score of a text is never above 0."),
            (total / length, "length_penalty has no effect", "It is an exponent."),
            (total, "length_penalty has no effect", "Divide by a power of the length."),
            (total / (length * penalty or 1), "length_penalty was multiplied with the length", "It is an exponent."),
            (total / (length + 1) ** penalty, "the length is one too large", "Count the new tokens only."),
            (total / max(length - 1, 1) ** penalty, "the length is one too small", "The end token counts, too."),
            ((total / length) ** penalty, "the whole mean was raised to a power", "Only the length has the exponent."),
            (total / length ** (1 / penalty if penalty else 1), "the exponent is 1 / length_penalty", "Turn it over."),
            (total / (penalty**length or 1), "base and exponent have changed places", "The length is the base."),
            (
                total + length * penalty,
                "the length was added, not divided by",
                "Where does the bar of the fraction go?",
            ),
            (
                total / ((5 + length) / 6) ** penalty,
                "that is another formula, ((5 + length) / 6) ** length_penalty, of a translation system",
                "Here the length itself has the exponent.",
            ),
            (max(log_probs) / length**penalty, "only one token was counted", "Every new token counts."),
        ]
        got, right = answer(list(log_probs), penalty), total / length**penalty
        _name_mistake(got, right, mistakes, f"for {log_probs} with length_penalty={penalty}")
        hint = "A fraction: the sum above, a power of the length below."
        expect_number(got, right, f"the score of {log_probs} with length_penalty={penalty}", hint=hint)
    return "the sum of the log-probabilities, divided by length ** length_penalty."


def _name_mistake(got, right, mistakes, where):
    value = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isclose(value, right, abs_tol=1e-6):
        return
    for wrong, problem, hint in mistakes:
        if math.isclose(value, wrong, rel_tol=1e-5, abs_tol=1e-6):
            raise WrongError(f"{where} you get {value:.4g}: {problem}.", hint=hint)


_STEPS = [
    # beams, log-probabilities (beams, V), num_beams
    ([((1,), -1.0), ((2,), -1.5)], [[-0.5, -0.6, -5.0], [-1.0, -6.0, -2.0]], 2),  # both from one parent
    ([((1,), -1.0), ((2,), -4.0)], [[-2.0, -3.0, -2.5], [-0.1, -0.2, -5.0]], 2),  # the favourite of a poor parent
    ([((1,), -1.0), ((2,), -1.2)], [[-1.0, -3.0, -4.0], [-0.1, -4.0, -4.0]], 2),  # the second parent overtakes
    ([((7,), 0.0)], [[-3.0, -0.4, -1.5, -2.0]], 3),  # the first step: one text in, three out
]


@exercise("One step of beam search")
def beam_step(answer):
    """Examine `answer(beams, log_probs, num_beams) -> beams`: lists of (ids, total), best first."""
    for beams, table, num_beams in _STEPS:
        given, log_probs = list(beams), torch.tensor(table)
        got = _beams(answer(given, log_probs, num_beams), "what your function returns")
        if given != beams:
            raise WrongError("your function changes the list it was given", hint="Build a new list.")
        every = _step(beams, log_probs.double(), log_probs.numel())
        right = every[:num_beams]
        _examine_step(got, right, every, beams, table, num_beams)
    return "all continuations of all beams compete, by their sums, and the best num_beams survive, best first."


def _examine_step(got, right, every, beams, table, num_beams):
    ids, expected = [c[0] for c in got], [c[0] for c in right]
    where = f"with the beams {beams} and the log-probabilities {table}"
    favourites = [max((c for c in every if c[0][:-1] == b[0]), key=lambda c: c[1])[0] for b in beams]
    by_token = sorted(every, key=lambda c: -table[[b[0] for b in beams].index(c[0][:-1])][c[0][-1]])
    if len(ids) != num_beams:
        count = f"{len(ids)} come back, but num_beams={num_beams}"
        raise WrongError(f"{where}: {count}.", hint="Rank all continuations together, then cut.")
    if any(len(i) != len(expected[0]) for i in ids):
        raise WrongError(f"{where}: your ids are {ids}.", hint="Each survivor is its parent's ids and one more.")
    if ids == expected:
        _examine_totals(got, dict(beams), right, where)
        return
    if sorted(ids) == sorted(expected):
        raise WrongError(f"{where}: the right texts, but not the best first: {ids}.", hint="Sort by the sums.")
    if set(ids) == set(favourites):
        problem = "each beam kept its own favourite; two children of one parent may both be better"
        raise WrongError(f"{where}: {problem}.", hint="Let all continuations compete in one list.")
    if set(ids) == {c[0] for c in by_token[:num_beams]}:
        problem = "ranked by the last token alone; what the beams had so far is forgotten"
        raise WrongError(f"{where}: {problem}.", hint="Which number belongs to the whole text?")
    if set(ids) == {c[0] for c in sorted(every, key=lambda c: c[1])[:num_beams]}:
        raise WrongError(f"{where}: these are the worst.", hint="Which is the better sum, -1 or -5?")
    sums = dict(every)
    lost = next(i for i in expected if i not in ids)
    kept = next(i for i in ids if i not in expected)
    problem = f"you keep {kept}, whose sum is {sums[kept]:.4g}, and drop {lost}, whose sum is {sums[lost]:.4g}"
    raise WrongError(f"{where}: {problem}.", hint="Rank all continuations of all beams by their sums.")


def _examine_totals(got, parents, right, where):
    for (ids, total), (_, expected) in zip(got, right, strict=True):
        if math.isclose(total, expected, abs_tol=1e-5):
            continue
        if total > 0:
            problem = f"{list(ids)} has {total:.4g}; a sum of log-probabilities is never positive"
            raise WrongError(f"{where}: {problem}.", hint="The logarithms are given already.")
        hint = "Parent's total plus the token's log-probability."
        if math.isclose(total, expected - parents[ids[:-1]], abs_tol=1e-5):
            hint = "Add the parent's total."
        elif math.isclose(total * len(ids), expected, abs_tol=1e-5):
            hint = "No mean yet: the score of an open text is a sum."
        raise WrongError(f"{where}: the total of {list(ids)} should be {expected:.4g}, but is {total:.4g}.", hint=hint)


def _step(beams, log_probs, num_beams):
    """The course's own step: (ids, total) and (beams, V) in, the best continuations out."""
    if tuple(log_probs.shape[:-1]) != (len(beams),):
        problem = f"step was given {len(beams)} beams, but log-probabilities {tuple(log_probs.shape)}"
        raise WrongError(f"{problem}.", hint="One row (V,) for each beam: which row of logits is about the next token?")
    rows = zip(beams, log_probs.tolist(), strict=True)
    every = [((*ids, v), total + x) for (ids, total), row in rows for v, x in enumerate(row)]
    return sorted(every, key=lambda pair: -pair[1])[:num_beams]


def _search(model, prompt_ids, num_beams, length, read=None, *, first=None, forget=False):
    """Beam search with `_step`, and with the mistakes that a learner makes.

    `read`: what is made of the logits (beams, T, V); `first`: num_beams of the first step only;
    `forget`: the totals of earlier steps are lost.
    """
    read = read or (lambda logits: logits[:, -1].log_softmax(-1))
    beams = [(tuple(prompt_ids), 0.0)]
    for step in range(length):
        if forget:
            beams = [(ids, 0.0) for ids, _ in beams]
        scores = read(model(torch.tensor([ids for ids, _ in beams], device="cpu")))
        beams = _step(beams, scores, first if first and not step else num_beams)
    return beams


_MISREAD = [  # settings of `_search`, what is wrong, hint
    (
        {"read": lambda z: z[:, -1]},
        "the totals are sums of logits, not of log-probabilities",
        "Logits of different texts differ by a constant. Which function removes it?",
    ),
    (
        {"read": lambda z: z[:, -1].softmax(-1)},
        "the totals are sums of probabilities",
        "Probabilities are multiplied; what may be added?",
    ),
    (
        {"read": lambda z: z[:, -1].log_softmax(0)},
        "log_softmax ran over the beams, not over the vocabulary",
        "Which axis is V?",
    ),
    (
        {"read": lambda z: z[:, 0].log_softmax(-1)},
        "the first row of logits was read",
        "Which row speaks about the token that is not there yet?",
    ),
    (
        {"read": lambda z: z[:, -1].log()},
        "the totals are sums of logarithms of logits",
        "Logits are no probabilities. Which function makes log-probabilities of them?",
    ),
    ({"forget": True}, "the totals of earlier steps are lost", "The list that step returns goes into the next step."),
    (
        {"first": 1},
        "only one continuation of the prompt was searched on",
        "At the first step too, num_beams texts survive.",
    ),
]


@exercise("Beam search")
def search(answer):
    """Examine `answer(model, prompt_ids, num_beams, max_new_tokens, step) -> beams`, best first."""
    for seed, num_beams, length in [(0, 3, 4), (4, 2, 5), (7, 1, 3), (9, 5, 1)]:
        toy, read = random_toy(seed, vocab_size=6, context=2), []

        def model(ids, toy=toy, read=read):
            if not isinstance(ids, torch.Tensor) or ids.ndim != 2:
                raise WrongError("the model reads a tensor of ids (B, T).", hint="torch.tensor([...]) of all beams.")
            if not ids.shape[1]:
                raise WrongError("the model is given an empty text.", hint="The first text is the prompt.")
            read.append(ids)
            # constants that differ from text to text, so that logits are not log-probabilities
            return toy(ids) + 2.0 + ids.cumsum(1)[..., None]

        prompt = [seed % 6, 2]
        given = list(prompt)
        got = answer(model, given, num_beams, length, _step)
        if given != prompt:
            raise WrongError("your function changes the list of prompt ids.", hint="Make a new tuple of it.")
        got = _beams(got, "what your function returns")
        _examine_search(got, model, read[0], prompt, num_beams, length)
    return "the same texts and sums as the course's search, with 1, 2, 3 and 5 beams."


def _examine_search(got, model, first_read, prompt, num_beams, length):
    where = f"for the prompt {prompt} with num_beams={num_beams} and max_new_tokens={length}"
    if len(first_read) > 1:
        problem = f"the model is asked about {len(first_read)} copies of the prompt"
        raise WrongError(f"{where}: {problem}.", hint="Copies stay copies: start with one text and the total 0.")
    if first_read.shape[1] < len(prompt):
        problem = f"the model is given {first_read.shape[1]} token of a prompt of {len(prompt)}"
        raise WrongError(f"{where}: {problem}.", hint="It reads each text as a whole.")
    right = _search(model, prompt, num_beams, length)
    sizes = {len(ids) for ids, _ in got}
    if sizes == {length} and length != len(right[0][0]):
        raise WrongError(f"{where}: the prompt is missing in the texts.", hint="The first text is the prompt itself.")
    if sizes != {len(prompt) + length}:
        problem = f"the texts have {sorted(sizes)} ids instead of {len(prompt) + length}"
        raise WrongError(f"{where}: {problem}.", hint="One step, one token; max_new_tokens steps.")
    if _same(got, right):
        return
    for settings, problem, hint in _MISREAD:
        if _same(got, _search(model, prompt, num_beams, length, **settings)):
            raise WrongError(f"{where}: {problem}.", hint=hint)
    if len(got) != len(right):
        problem = f"{len(got)} texts come back, not {len(right)}"
        raise WrongError(f"{where}: {problem}.", hint="Return the whole list, best first.")
    if _same(sorted(got), sorted(right)):
        raise WrongError(f"{where}: the right texts, but not the best first.", hint="step sorts; keep its order.")
    if [ids for ids, _ in got] == [ids for ids, _ in right]:
        problem = f"the right texts, but the best total should be {right[0][1]:.4f}, not {got[0][1]:.4f}"
        raise WrongError(
            f"{where}: {problem}.", hint="The prompt has 0; every new token adds its log-probability, once."
        )
    problem = f"{right[0][0]} should be the best text, but you have {got[0][0]}"
    raise WrongError(f"{where}: {problem}.", hint="What do you give to `step`, and what do you make of its answer?")


def _same(got, right):
    """Are these the same texts with the same totals, in the same order?"""
    return len(got) == len(right) and all(
        a == b and math.isclose(x, y, abs_tol=1e-4) for (a, x), (b, y) in zip(got, right, strict=True)
    )


@exercise("Finished or searched on")
def split_finished(answer):
    """Examine `answer(candidates, eos_token_id, num_beams) -> (open, finished)`; lists of (ids, total), best first."""
    cases = [
        [((5, 0), -1.0), ((5, 1), -1.1), ((5, 2), -1.3), ((6, 0), -1.4)],  # one ends in time, one too late
        [((5, 0), -1.0), ((6, 0), -1.1), ((5, 2), -1.3), ((6, 3), -1.4)],  # both of the best end
        [((5, 1), -1.0), ((6, 3), -1.1), ((5, 0), -1.3), ((6, 2), -1.4)],  # nothing ends in time
    ]
    for candidates in cases:
        got = answer(list(candidates), 0, 2)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise WrongError("your function should return two lists: open, finished.")
        open_, finished = ([c[0] for c in _beams(part, "a list of yours")] for part in got)
        ended = [ids for ids, _ in candidates if ids[-1] == 0]
        right = [ids for ids, _ in candidates if ids[-1] != 0][:2], [ids for ids, _ in candidates[:2] if ids[-1] == 0]
        where = f"of {[list(ids) for ids, _ in candidates]} (0 ends a text, two beams)"
        if (finished, open_) == right and right[0] != right[1]:
            raise WrongError("the two lists are the wrong way round: first open, then finished.")
        if any(ids in ended for ids in open_):
            raise WrongError(f"{where}, you search on from a finished text.", hint="Nothing can follow the end.")
        if not finished and right[1]:
            raise WrongError(f"{where}, what is finished is lost.", hint="It may be the best text of all.")
        if len(finished) > len(right[1]):
            problem = "you finish one that is not among the two best"
            raise WrongError(f"{where}, {problem}.", hint="Only the first num_beams may finish.")
        if len(open_) < 2:
            problem = "fewer than two are searched on"
            raise WrongError(f"{where}, {problem}.", hint="That is why twice as many candidates are given.")
        if len(open_) > 2:
            raise WrongError(f"{where}, more than two are searched on.", hint="Cut the list to num_beams.")
        if (open_, finished) != right:
            raise WrongError(f"{where}, open should be {right[0]} and finished {right[1]}, not {open_} and {finished}.")
    return "ends among the best are finished, later ones are dropped, and two others go on."


def _beams(value, whose):
    """Return a list of (ids tuple, float) from what the learner gave."""
    try:
        return [(tuple(int(i) for i in ids), float(total)) for ids, total in value]
    except (TypeError, ValueError):
        raise WrongError(f"{whose} should be a list of pairs (ids, total), but is {value!r:.100}.") from None


@exercise("A table on which two beams lose to one")
def beams_lose(answer):
    """Examine a table for `ToyModel(["start", "a", "b", "c", "d", "e"], table)`, three words after "start"."""
    if not isinstance(answer, dict):
        raise WrongError(f"the table should be a dict of rows, not {type(answer).__name__}.")
    try:
        model = ToyModel(WORDS, answer)
    except (ValueError, AttributeError) as error:
        raise WrongError(f"ToyModel refuses the table: {error}.") from None
    start = model.encode("start")
    greedy = model.greedy("start", 3)
    searches = [beam_search(model, start, num_beams=n, max_new_tokens=3) for n in (1, 2)]
    one, two = (search.hypotheses[0] for search in searches)
    texts = " ".join(greedy.words), model.decode(two.new_ids)
    gap = two.log_prob - one.log_prob
    if texts[0] == texts[1]:
        place = next(n.rank for n in searches[1].tree.at(2) if n.new_ids() == greedy.ids[:2])
        problem = f"one beam and two both find {texts[0]!r}; its first two words are number {place} among the pairs"
        raise WrongError(f"{problem}.", hint="Two beams must drop them: two other pairs have to be more probable.")
    if abs(gap) < 1e-5:
        raise WrongError(f"{texts[0]!r} and {texts[1]!r} are equally probable: a tie is no loss.")
    if gap > 0:
        ps = f"P({texts[1]!r}) = {math.exp(two.log_prob):.3f} beats P({texts[0]!r}) = {math.exp(one.log_prob):.3f}"
        raise WrongError(
            f"two beams win: {ps}.", hint="What comes third must be sure for greedy, unsure for the others."
        )
    return f"greedy writes {texts[0]!r}; two beams drop its beginning and end with {texts[1]!r}, {gap:.2f} nats worse."
