"""Checks of lesson 07: a tie by hand, top-k itself, the arguments of a call, and the k that a mass needs."""

import math

import torch

from gpt2lessons import recorded
from gpt2lessons.checks.frame import (
    NO_COLUMN,
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    expect_value,
    refuse,
)
from gpt2lessons.decoding import processors

_INF = math.inf


@exercise("A tie at the threshold")
def tie(answer):
    """Examine the probability of the first of five tokens (0.4, 0.2, 0.2, 0.1, 0.1) after transformers' top_k=2."""
    two = math.exp(0.4) / (math.exp(0.4) + 2 * math.exp(0.2))
    answer = as_number(answer, "the probability")
    refuse(
        answer,
        {
            "that is its probability before: what is left does not sum to 1 yet": (0.4, "Divide by the mass kept."),
            "that would be right if exactly two tokens were left": (
                0.4 / 0.6,
                "The third token is as probable as the second. Which of them should go?",
            ),
            "that is the mass of the tokens that are left, not the first one's share of it": (0.8, "Its share?"),
            "that would be right if only one token were left": (1.0, "How many does k = 2 keep at least?"),
            "the two least probable tokens were kept too": (0.4 / 1.2, "0.1 is below the second largest."),
            "four tokens were kept": (0.4 / 0.9, "0.1 is below the second largest."),
            "the removed logits were set to 0, which is the logit of a certain token": (
                0.4 / 2.8,
                "ln 1 = 0. And ln 0?",
            ),
            "softmax was taken of probabilities": (two, "Softmax takes logits. Probabilities are just renormalised."),
        },
    )
    if not 0 <= answer <= 1:
        raise WrongError("a probability lies between 0 and 1.", hint="Divide by what the kept tokens have together.")
    right = 0.4 / (0.4 + 0.2 + 0.2)
    if not math.isclose(answer, right, rel_tol=1e-3):
        problem = "too small" if answer < right else "too large"
        raise WrongError(f"that is {problem}.", hint="Which tokens are left? Divide by their sum.")
    return "three tokens are left, and the first has half of what they hold."


_TIED = torch.tensor([[2.0, 1.0, 1.0, 0.0, -1.0], [-3.0, -1.0, -1.0, -1.0, -2.0], [0.5, 0.0, 3.0, 4.0, -4.0]])


@exercise("Write top-k")
def cut(answer):
    """Examine `answer(logits (B, V), k) -> (B, V)`: -inf for all that is smaller than its row's k-th largest."""
    from transformers import TopKLogitsWarper

    got = call_untouched(answer, _TIED, 2, errors=NO_COLUMN)
    if isinstance(got, torch.Tensor) and got.shape == (3, 2):
        hint = "The result has a column for every token of the vocabulary."
        raise WrongError("these are the k largest logits without the places they came from.", hint=hint)
    kth = _TIED.topk(2).values[:, -1:]
    right = _TIED.masked_fill(kth > _TIED, -_INF)
    in_order = _TIED.sort(dim=-1, descending=True).values
    refuse(
        got,
        {
            "the k-th token itself is removed": (_TIED.masked_fill(kth >= _TIED, -_INF), "Is the k-th in or out?"),
            "one token too many stays in each row": (_largest(3), "The k-th largest has index k − 1."),
            "one token too few stays in each row": (_largest(1), "The k-th largest has index k − 1."),
            "removed logits became 0, more probable than every negative one": (
                right.nan_to_num(neginf=0.0),
                "Which logit belongs to probability 0?",
            ),
            "the removed ones became the smallest logit, which still has a probability": (
                right.nan_to_num(neginf=_TIED.min().item()),
                "Which logit belongs to probability 0?",
            ),
            "each column keeps its k largest, not each row": (
                _TIED.masked_fill(_TIED.topk(2, dim=0).values[-1:] > _TIED, -_INF),
                "Which axis is V?",
            ),
            "the whole batch keeps k tokens": (
                _TIED.masked_fill(_TIED.flatten().topk(2).values[-1] > _TIED, -_INF),
                "Every row is a text.",
            ),
            "all rows share the threshold of the first": (
                _TIED.masked_fill(kth[:1] > _TIED, -_INF),
                "Every row has a threshold of its own: (B, 1), not one number.",
            ),
            "the first k columns stay, not the k largest": (
                _TIED.masked_fill(torch.arange(5) >= 2, -_INF),
                "Places in a sorted row are not token ids.",
            ),
            "the logits come back sorted, so every logit belongs to the wrong token": (
                in_order.masked_fill(kth > in_order, -_INF),
                "Sort to find the threshold only; compare the logits where they stand.",
            ),
            "these are probabilities": (right.softmax(-1), "Logits in, logits out."),
            "these are log-probabilities": (right.log_softmax(-1), "What is kept keeps its logit."),
            "the threshold is the k-th smallest logit, so too many tokens stay": (
                _TIED.masked_fill(_TIED.kthvalue(2).values[:, None] > _TIED, -_INF),
                "`kthvalue` counts from below, `topk` from above.",
            ),
            "the least probable tokens stay": (
                _TIED.masked_fill(_TIED.topk(2, largest=False).values[:, -1:] < _TIED, -_INF),
                "The other end.",
            ),
        },
    )
    if isinstance(got, torch.Tensor) and got.isnan().any():
        hint = "Softmax of a row with nan is nan everywhere. Which logit belongs to probability 0?"
        raise WrongError("some logits became nan.", hint=hint)
    if _one_of_the_ties_is_missing(got, right):
        hint = "Their logits are equal. Compare every logit with the k-th largest, instead of counting places."
        raise WrongError("tokens that tie with the k-th are removed.", hint=hint)
    if isinstance(got, torch.Tensor) and got.shape == right.shape and (low := got.min().item()) < -99 and low > -_INF:
        hint = "It is small only beside larger logits, and GPT-2's own lie near −100."
        raise WrongError(f"removed logits became {low:g}, which is not −∞.", hint=hint)
    expect_tensor(got, right, "the result for k=2")
    for k in (1, 4, 5):
        expect_tensor(answer(_TIED.clone(), k), processors.keep_top_k(_TIED, k), f"the result for k={k}")
    try:
        got = answer(_TIED.clone(), 50)
    except (RuntimeError, IndexError):
        hint = "Look for no larger a place than the row has."
        raise WrongError("with k=50 and a vocabulary of 5 your code stops.", hint=hint) from None
    expect_tensor(got, _TIED, "the result for k=50 and a vocabulary of 5")
    rows = torch.randn(1000, 20, generator=torch.Generator().manual_seed(0)).round(decimals=1)  # with many ties
    real = torch.stack([recorded.distribution(prompt) for prompt in recorded.prompts()])
    for logits, k, which in ((rows, 5, "1,000 rows with ties"), (real, 50, "GPT-2's five recorded answers")):
        theirs = TopKLogitsWarper(k)(None, logits.clone())
        expect_tensor(answer(logits.clone(), k), theirs, f"the result for {which} and k={k}")
    return "the same tokens as transformers on 1,000 rows with ties, and on GPT-2's five recorded answers."


@exercise("Which k does a mass need?")
def smallest_k(answer):
    """Examine `answer(probs (V,), mass) -> int`, the fewest tokens that hold at least `mass`."""
    probs = torch.tensor([0.0625, 0.25, 0.0625, 0.5, 0.125])  # exact in binary, so that sums are
    right = {0.8: 3, 0.75: 2, 0.5: 1, 0.3: 1, 0.9: 4, 1.0: 5}
    got = {}
    for mass in right:
        k = call_untouched(lambda p, mass=mass: answer(p, mass), probs)
        k = k.item() if isinstance(k, torch.Tensor) and k.numel() == 1 else k
        if isinstance(k, float) and k.is_integer():
            raise WrongError(
                f"for mass={mass} the answer is a float, {k}.", hint="A number of tokens is an int: int(…)."
            )
        if isinstance(k, bool) or not isinstance(k, int):
            hint = "How many tokens, not how much they hold."
            raise WrongError(f"for mass={mass} the answer should be a whole number, but is {k!r}.", hint=hint)
        got[mass] = k
    mistakes = {
        "the probabilities were added in the order of ids": ([4, 4, 4, 2, 5, 5], "The most probable come first."),
        "the probabilities were sorted upwards": ([5, 5, 4, 4, 5, 5], "The most probable come first."),
        "the token that reaches the mass is missing: one too few": ([2, 1, 0, 0, 3, 4], "It is needed."),
        "one token too many is counted": ([4, 3, 2, 2, 5, 6], "Is the token that reaches the mass counted twice?"),
        "where a sum reaches the mass exactly, one token too many is taken": (
            [3, 3, 2, 1, 4, 5],
            "At least, not more.",
        ),
        "where a sum reaches the mass exactly, one token more is taken": ([3, 3, 2, 1, 4, 6], "At least, not more."),
        "that counts tokens that have at least this probability each": ([0, 0, 1, 1, 0, 0], "Their sum counts."),
        "that counts tokens that have more than this probability each": ([0, 0, 0, 1, 0, 0], "Their sum counts."),
        "that is the number of tokens times the mass": ([4, 4, 3, 2, 5, 5], "Tokens do not weigh the same."),
    }
    for problem, (wrong, hint) in mistakes.items():
        if list(got.values()) == wrong:
            raise WrongError(f"{problem}.", hint=hint)
    for mass, k in right.items():
        if got[mass] != k:
            raise WrongError(f"for probabilities {probs.tolist()} and mass={mass} the answer is {k}, not {got[mass]}.")
    return "sort, add up, stop where the mass is reached. Lesson 08 makes a sampler of it."


@exercise("Top-p and nothing else")
def top_p_alone(answer):
    """Examine a dict of arguments with which transformers' generate samples from the 0.8 nucleus and nothing else."""
    expect_value(answer, answer if isinstance(answer, dict) else {}, "the answer")
    if any(value is ... for value in answer.values()):
        raise NotImplementedError
    strange = set(answer) - {"do_sample", "top_k", "top_p", "temperature", "max_new_tokens", "max_length"}
    if strange:
        raise WrongError(
            f"{', '.join(sorted(map(str, strange)))} does not belong here.", hint="Which filters are meant?"
        )
    if answer.get("do_sample") is not True:
        raise WrongError(
            "without do_sample=True this is greedy search, and no filter acts.", hint="Ask for sampling first."
        )
    if "top_p" not in answer or answer["top_p"] in (None, 1, 1.0):
        raise WrongError("no nucleus is asked for.", hint="It has the argument top_p.")
    if answer["top_p"] == 80:
        raise WrongError("top_p is a probability from 0 to 1, not a percentage.", hint="80 % is 0.8.")
    expect_number(answer["top_p"], 0.8, "top_p")
    if answer.get("temperature", 1.0) not in (1, None):
        raise WrongError("the temperature changes the distribution before the nucleus is cut.", hint="Leave it at 1.")
    if "top_k" not in answer:
        hint = "What does the library do when top_k is not given?"
        raise WrongError("a second filter is on that nobody asked for.", hint=hint)
    k = answer["top_k"]
    if k == 1:
        raise WrongError("top_k=1 leaves one token: that is greedy search.", hint="How is top-k switched off?")
    if isinstance(k, str):
        raise WrongError(f"top_k={k!r} is a text.", hint="A number, without quotation marks.")
    if k is not None and not isinstance(k, bool) and k < 0:
        raise WrongError(f"top_k={k} means `off` in other programs; transformers refuses it.", hint="A number below 1.")
    if k is not None and (k or isinstance(k, bool)):
        hint = "One value switches it off for every model, whatever the size of its vocabulary."
        raise WrongError(f"top_k={k!r} may still remove tokens of the nucleus.", hint=hint)
    return "do_sample, top_p, and top_k switched off on purpose."


def _largest(k):
    """Return `_TIED` with what is smaller than the k-th largest of its row removed."""
    return processors.keep_top_k(_TIED, k)


def _one_of_the_ties_is_missing(got, right):
    """Is `got` what `right` is, except that of tied tokens only so many stay that each row has 2?"""
    if not isinstance(got, torch.Tensor) or got.shape != right.shape:
        return False
    kept = got.isfinite()
    same = bool((got[kept] == right[kept]).all())
    return same and got[~kept].eq(-_INF).all().item() and kept.sum(-1).tolist() == [2, 2, 2]
