"""Checks of lesson 07: a tie by hand, exactly k, one k per row, the k that a mass needs, and the hidden default."""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    expect_value,
    refuse,
)

_INF = math.inf


@exercise("A tie at the threshold")
def tie(answer):
    """Examine the probability of the first of five tokens (0.4, 0.2, 0.2, 0.1, 0.1) after the library's top_k=2."""
    two = math.exp(0.4) / (math.exp(0.4) + 2 * math.exp(0.2))
    refuse(
        answer,
        {
            "that is its probability before: what is left does not sum to 1 yet": (0.4, "Divide by the mass kept."),
            "that would be right if exactly two tokens were left": (
                0.4 / 0.6,
                "The third token is as probable as the second. Which of them should the library drop?",
            ),
            "that is the mass of the tokens that are left, not the first one's share of it": (0.8, "Its share?"),
            "that is top_k=1": (1.0, "More than one token is left."),
            "that is top_k=3 and 4 mixed up: the two last tokens are below the threshold": (0.4 / 0.9, "0.1 < 0.2."),
            "the removed logits were set to 0, which is the logit of a certain token": (
                0.4 / 2.8,
                "ln 1 = 0. And ln 0?",
            ),
            "softmax was taken of probabilities": (two, "Softmax takes logits. Probabilities are just renormalised."),
        },
    )
    expect_number(answer, 0.5, "the probability", tolerance=1e-3, hint="Which tokens are left? Divide by their sum.")
    return "three tokens are left, 0.4 of 0.8: the library keeps what ties with the k-th."


_TIED = torch.tensor([[2.0, 1.0, 1.0, 0.0, -1.0], [-3.0, -1.0, -1.0, -1.0, -2.0], [0.5, 0.0, 3.0, 4.0, -4.0]])


@exercise("Exactly k")
def exactly_k(answer):
    """Examine `answer(logits (B, V), k) -> (B, V)`: exactly k finite logits per row; of equals the lower ids stay."""
    got = call_untouched(answer, _TIED, 2)
    kth = _TIED.topk(2).values[:, -1:]
    keep = _first(_TIED, 2)
    columns = _TIED.topk(2, dim=0).values[-1:]
    flat = _TIED.flatten().topk(2).values[-1]
    right = _TIED.masked_fill(~keep, -_INF)
    refuse(
        got,
        {
            "tokens that tie with the k-th stay, so some rows keep more than k": (
                _TIED.masked_fill(kth > _TIED, -_INF),
                "A threshold cannot tell equals apart; their places in a sorted row can.",
            ),
            "the k-th token itself is removed": (_TIED.masked_fill(kth >= _TIED, -_INF), "Is the k-th in or out?"),
            "k + 1 tokens stay": (_TIED.masked_fill(~_first(_TIED, 3), -_INF), "Count the kept ones of a row."),
            "only k − 1 tokens stay": (_TIED.masked_fill(~_first(_TIED, 1), -_INF), "Count the kept ones of a row."),
            "removed logits became 0, more probable than every negative one": (
                _TIED.masked_fill(~keep, 0.0),
                "Which logit belongs to probability 0?",
            ),
            "the removed ones became the smallest logit, which still has a probability": (
                _TIED.masked_fill(~keep, _TIED.min().item()),
                "Which logit belongs to probability 0?",
            ),
            "k tokens were kept per column, not per row": (
                _TIED.masked_fill(columns > _TIED, -_INF),
                "Which axis is V?",
            ),
            "k tokens were kept in the whole batch": (_TIED.masked_fill(flat > _TIED, -_INF), "Every row is a text."),
            "of equals the higher ids stay": (
                _TIED.masked_fill(~_first(_TIED.flip(1), 2).flip(1), -_INF),
                "Sort so that equals keep their order: look for `stable`.",
            ),
            "these are probabilities": (right.softmax(-1), "Logits in, logits out."),
            "the least probable tokens stay": (_TIED.masked_fill(~_first(-_TIED, 2), -_INF), "The other end."),
        },
    )
    expect_tensor(got, right, "the result for k=2")
    for k in (1, 4, 5):
        expect_tensor(answer(_TIED.clone(), k), _TIED.masked_fill(~_first(_TIED, k), -_INF), f"the result for k={k}")
    many = torch.zeros(1, 100)
    kept = int(answer(many, 5).isfinite().sum())
    expect_value(kept, 5, "the number kept of 100 equal logits with k=5")
    return "exactly k, whatever ties."


@exercise("One k per row")
def k_per_row(answer):
    """Examine `answer(logits (B, V), ks (B,)) -> (B, V)`: row i keeps its ks[i] largest logits (no ties)."""
    logits = torch.tensor([[2.0, 1.0, 1.5, 0.0, -1.0], [-3.0, -1.0, 0.0, 2.5, -2.0], [0.5, 0.0, 3.0, 4.0, -4.0]])
    ks = torch.tensor([1, 4, 2])
    got = call_untouched(answer, logits, ks)
    cut = lambda wanted: torch.stack([_keep(row, k) for row, k in zip(logits, wanted, strict=True)])  # noqa: E731
    refuse(
        got,
        {
            "every row got the largest k": (
                cut([4, 4, 4]),
                "topk(largest k) is a start; then pick each row's own k-th.",
            ),
            "every row got the smallest k": (cut([1, 1, 1]), "Each row has its own k."),
            "every row got the first k": (cut([1, 1, 1]), "Each row has its own k."),
            "every row got the last k": (cut([2, 2, 2]), "Each row has its own k."),
            "the k's were given to the rows in reverse": (cut([2, 4, 1]), "Row i has ks[i]."),
            "each row keeps one too many": (cut([2, 5, 3]), "The k-th largest stands at place k − 1."),
            "each row keeps one too few": (cut([0, 3, 1]), "Is the k-th itself in or out?"),
            "removed logits became 0": (cut([1, 4, 2]).nan_to_num(neginf=0.0), "Which logit has probability 0?"),
            "the first k columns were kept, not the k largest": (
                logits.masked_fill(torch.arange(5) >= ks[:, None], -_INF),
                "Places in the sorted row are not token ids: bring them back.",
            ),
            "these are probabilities": (cut([1, 4, 2]).softmax(-1), "Logits in, logits out."),
        },
    )
    expect_tensor(got, cut([1, 4, 2]), "the result for ks [1, 4, 2]")
    expect_tensor(answer(logits.clone(), torch.tensor([5, 5, 5])), logits, "the result when every row keeps all")
    return "each row has a threshold of its own."


@exercise("Which k does a mass need?")
def smallest_k(answer):
    """Examine `answer(probs (V,), mass) -> int`, the fewest tokens that hold at least `mass`."""
    probs = torch.tensor([0.0625, 0.25, 0.0625, 0.5, 0.125])  # exact in binary, so that sums are
    right = {0.8: 3, 0.75: 2, 0.5: 1, 0.3: 1, 0.9: 4, 1.0: 5}
    got = {}
    for mass in right:
        k = call_untouched(lambda p, mass=mass: answer(p, mass), probs)
        k = k.item() if isinstance(k, torch.Tensor) and k.numel() == 1 else k
        if isinstance(k, bool) or not isinstance(k, int):
            hint = "How many tokens, not how much they hold."
            raise WrongError(f"for mass={mass} the answer should be a whole number, but is {k!r}.", hint=hint)
        got[mass] = k
    mistakes = {
        "the probabilities were added in the order of ids": ([4, 4, 4, 2, 5, 5], "The most probable come first."),
        "the probabilities were sorted upwards": ([5, 5, 4, 4, 5, 5], "The most probable come first."),
        "the token that reaches the mass is missing: one too few": ([2, 1, 0, 0, 3, 4], "It is needed."),
        "one token too many": ([4, 3, 2, 2, 5, 6], "Is the token that reaches the mass counted twice?"),
        "where a sum reaches the mass exactly, one token too many is taken": (
            [3, 3, 2, 1, 4, 5],
            "At least, not more.",
        ),
        "that counts tokens that have at least this probability each": ([0, 0, 1, 1, 0, 0], "Their sum counts."),
        "that is the number of tokens times the mass": ([4, 4, 3, 2, 5, 5], "Tokens do not weigh the same."),
    }
    for problem, (wrong, hint) in mistakes.items():
        if list(got.values()) == wrong:
            raise WrongError(f"{problem}.", hint=hint)
    for mass, k in right.items():
        if got[mass] != k:
            raise WrongError(f"for probabilities {probs.tolist()} and mass={mass} the answer is {k}, not {got[mass]}.")
    return "sort, add up, stop where the mass is reached. Lesson 08 makes a sampler of it."


@exercise("Top-p alone")
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
            "without do_sample=True this is greedy search, and no filter acts.", hint="Switch the lottery on."
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
    if k is not None and not isinstance(k, bool) and k < 0:
        raise WrongError(f"top_k={k} means `off` in other programs; transformers refuses it.", hint="A number below 1.")
    if k is not None and (k or isinstance(k, bool)):
        hint = "One value switches it off for every model, whatever the size of its vocabulary."
        raise WrongError(f"top_k={k!r} may still remove tokens of the nucleus.", hint=hint)
    return "do_sample, top_p, and top_k switched off on purpose."


def _first(logits, k):
    """Return which k logits of each row are largest, bool (B, V); of equals the lower ids."""
    ids = logits.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)


def _keep(row, k):
    return row.masked_fill(~_first(row[None], k)[0], -_INF)
