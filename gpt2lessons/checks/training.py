"""Checks of lesson 12: a loss by hand, its gradient, the schedule of the learning rate, Muon's aim, and four curves."""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)


@exercise("A loss by hand")
def loss_by_hand(answer):
    """Examine the mean cross-entropy in nats of three tokens that had the probabilities 1/2, 1/4 and 1/8."""
    right = 2 * math.log(2)
    refuse(
        answer,
        {
            "that is in bits": (2.0, "Nats come from the natural logarithm."),
            "that is the sum over the three tokens": (3 * right, "The loss is a mean per token."),
            "the sign is missing": (-right, "The logarithm of a number below 1 is negative; a loss is not."),
            "that is the perplexity": (math.exp(right), "The loss is its logarithm."),
            "the mean was taken before the logarithm": (
                -math.log((1 / 2 + 1 / 4 + 1 / 8) / 3),
                "First the logarithm of each probability, then the mean.",
            ),
            "that is how much is missing to 1, on average": (
                1 - (1 / 2 + 1 / 4 + 1 / 8) / 3,
                "The loss takes the logarithm of the probability.",
            ),
        },
    )
    expect_number(answer, right, "the loss", tolerance=1e-3, hint="−ln p of each token, then the mean.")
    return "ln 2, 2 ln 2 and 3 ln 2 make 2 ln 2 on average: as unsure as between four equally likely tokens."


_LOGITS = torch.tensor([[2.0, 0.5, -1.0, 0.0], [0.3, 0.3, 1.8, -0.7], [-0.4, 1.1, 0.2, 2.2]])
_TARGETS = torch.tensor([1, 2, 0])


def _one_hot(targets, size):
    return torch.nn.functional.one_hot(targets, size).float()


@exercise("The gradient by hand")
def gradient(answer):
    """Examine `answer(logits (B, V), targets (B,)) -> (B, V)`, the gradient of the mean loss by the logits."""
    got = call_untouched(lambda z: answer(z, _TARGETS.clone()), _LOGITS)
    probs, hot, B = _LOGITS.softmax(-1), _one_hot(_TARGETS, 4), len(_LOGITS)
    right = (probs - hot) / B
    refuse(
        got,
        {
            "that is the gradient of the sum of the losses": (probs - hot, "The loss is the mean over the rows."),
            "every sign is wrong: following this makes the loss larger": (
                -right,
                "The loss falls against the gradient. What is negative at the right word?",
            ),
            "the softmax ran down the columns": ((_LOGITS.softmax(0) - hot) / B, "Each row is one prediction."),
            "the logits were used in place of probabilities": ((_LOGITS - hot) / B, "Softmax first."),
            "the right word was not treated apart": (probs / B, "What is subtracted at the right word?"),
            "log-probabilities were used in place of probabilities": (
                (_LOGITS.log_softmax(-1) - hot) / B,
                "The softmax, without a logarithm.",
            ),
            "it was divided by the number of all logits": (
                (probs - hot) / _LOGITS.numel(),
                "Over how many predictions is the mean?",
            ),
            "only the right words have a gradient here": (
                (probs - 1) * hot / B,
                "The other logits are pushed down, too.",
            ),
        },
    )
    expect_tensor(got, right, "the gradient")
    more = torch.tensor([[0.0, 1.0, -1.0]])
    expect_tensor(
        answer(more.clone(), torch.tensor([2])),
        more.softmax(-1) - _one_hot(torch.tensor([2]), 3),
        "the gradient of one row of three logits",
    )
    return "probabilities minus 1 at the right word, divided by the number of rows: what autograd finds, too."


_STEPS, _WARMUP, _DECAY = 20, 4, 10


def _schedule(rate):
    return torch.tensor([float(rate(step)) for step in range(_STEPS)])


@exercise("The schedule")
def schedule(answer):
    """Examine `answer(step, steps, warmup, decay) -> share of the peak rate`; warmup, decay in steps; step 0 first."""
    rates = []
    for step in range(_STEPS):
        rates.append(float(as_number(answer(step, _STEPS, _WARMUP, _DECAY), f"the rate of step {step}")))
    got = torch.tensor(rates)
    up, down = (lambda s: (s + 1) / _WARMUP), (lambda s: (_STEPS - s) / _DECAY)
    refuse(
        got,
        {
            "the first step has the rate 0, so it does nothing": (
                _schedule(lambda s: min(1, s / _WARMUP, down(s))),
                "Step 0 is the first of the rising steps.",
            ),
            "the last step has the rate 0, so it does nothing": (
                _schedule(lambda s: min(1, up(s), (_STEPS - 1 - s) / _DECAY)),
                "How many steps are left, the present one counted?",
            ),
            "the first and the last step have the rate 0": (
                _schedule(lambda s: min(1, s / _WARMUP, (_STEPS - 1 - s) / _DECAY)),
                "Count the present step, at both ends.",
            ),
            "it does not fall at the end": (_schedule(lambda s: min(1, up(s))), "The last steps."),
            "it does not rise at the start": (_schedule(lambda s: min(1, down(s))), "The first steps."),
            "it rises above its peak": (_schedule(lambda s: min(up(s), down(s))), "Between the two ramps it is level."),
            "it is the largest of the three, not the smallest": (
                _schedule(lambda s: max(1, up(s), down(s))),
                "Each ramp holds the rate down.",
            ),
            "warm-up and decay were taken for shares of the steps": (
                _schedule(lambda s: min(1, (s + 1) / (_WARMUP * _STEPS), (_STEPS - s) / (_DECAY * _STEPS))),
                "Here they are numbers of steps.",
            ),
        },
    )
    expect_tensor(got, _schedule(lambda s: min(1, up(s), down(s))), f"the rates of {_STEPS} steps")
    for case in ((0, 6, 2, 3), (5, 6, 2, 3), (50, 100, 10, 40)):
        step, steps, warmup, decay = case
        expected = min(1, (step + 1) / warmup, (steps - step) / decay)
        expect_number(answer(*case), expected, f"the rate for (step, steps, warmup, decay) = {case}")
    return "up in a straight line, level, down in a straight line, and never quite 0."


_MATRIX = torch.tensor([[3.0, 1.0, 0.2], [-1.0, 2.0, 0.5], [0.3, -0.4, 0.1], [1.0, 0.0, -2.0]])


@exercise("What Muon aims at")
def orthogonalise(answer):
    """Examine `answer(matrix (R, C)) -> (R, C)`: the same directions, every singular value 1."""
    got = call_untouched(answer, _MATRIX)
    u, s, vt = torch.linalg.svd(_MATRIX, full_matrices=False)
    right = u @ vt
    refuse(
        got,
        {
            "these are only the directions that come out, U": (
                u,
                "A direction that goes in belongs to each. Which factor?",
            ),
            "the singular values are still in: this is the matrix itself": (_MATRIX, "Leave the middle factor out."),
            "V was not transposed": (u @ vt.T, "svd returns Vᵀ already: multiply by what it returns."),
            "this is transposed": (right.T, "Rows stay rows."),
            "only the length was made 1, all singular values share it": (
                _MATRIX / _MATRIX.norm(),
                "One factor for all keeps their ratios. Each singular value by itself should become 1.",
            ),
            "only the largest singular value is 1": (_MATRIX / s[0], "The others, too."),
            "every entry became its sign": (_MATRIX.sign(), "Directions, not entries."),
            "every row was made 1 long, but rows are not the singular directions": (
                _MATRIX / _MATRIX.norm(dim=1, keepdim=True),
                "Take the matrix apart with torch.linalg.svd.",
            ),
            "every column was made 1 long, but columns are not the singular directions": (
                _MATRIX / _MATRIX.norm(dim=0, keepdim=True),
                "Take the matrix apart with torch.linalg.svd.",
            ),
            "the singular values were inverted, not made 1": (
                u @ torch.diag(1 / s) @ vt,
                "A pseudo-inverse has 1/s there; what should stand there?",
            ),
        },
    )
    expect_tensor(got, right, "the result", tolerance=1e-4)
    expect_tensor(
        answer(_MATRIX.T.clone()), right.T, "the result for a matrix with more columns than rows", tolerance=1e-4
    )
    return "U·Vᵀ: all directions of the gradient are kept, and all count the same."


CURVES = {"A": "rate too high", "B": "overfitting", "C": "rate too low", "D": "healthy"}
_WHY = {
    ("A", "overfitting"): "a loss that jumps up in training itself is no overfitting: there, the training loss falls.",
    ("A", "rate too low"): "a rate that is too low makes small, careful steps. Are these small?",
    ("A", "healthy"): "does a healthy loss jump to several times what it was at first?",
    ("B", "rate too high"): "in B the training loss falls to the end. Look at the other line.",
    ("B", "rate too low"): "in B the training loss falls to the end. Look at the other line.",
    ("B", "healthy"): "what does the dashed line of B do after its lowest point?",
    ("C", "rate too high"): "C never jumps: it falls at every stage. What is wrong with its speed?",
    ("C", "overfitting"): "both lines of C fall together, so it has learnt nothing by heart.",
    ("C", "healthy"): "where is C after all these steps, compared with D?",
    ("D", "rate too high"): "D does not jump: both of its lines go down all the way.",
    ("D", "overfitting"): "the two lines of D stay together to the end.",
    ("D", "rate too low"): "D comes down as quickly as any.",
}


@exercise("Four curves, four stories")
def curves(answer):
    """Examine a dict that says of each of the curves A to D what it shows: one of the four values of `CURVES`."""
    names = sorted(CURVES.values())
    if not isinstance(answer, dict):
        raise WrongError(f"the answer should be a dict, but is {type(answer).__name__}: {answer!r:.60}.")
    if answer.keys() != CURVES.keys():
        raise WrongError(
            f"the answer should have the keys A, B, C and D, but has {', '.join(map(str, answer)) or 'none'}."
        )
    for curve, told in answer.items():
        if told not in names:
            raise WrongError(f"{curve}: {told!r} is none of the four: {', '.join(names)}.")
    for curve, told in answer.items():
        if told != CURVES[curve]:
            raise WrongError(f"{curve} is not {told!r}: {_WHY[curve, told]}", hint="The dashed line is held-out text.")
    return "a jump, a parting of the lines, a crawl, and a fall together."
