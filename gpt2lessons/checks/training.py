"""Checks of lesson 12: the gradient of a loss, a step of training, its schedule, a masked loss, and Muon's aim."""

import functools

import torch
from torch.nn import functional as F

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)
from gpt2lessons.gpt2 import GPT2, GPT2Config

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


def _step(model, optimizer, rows, *, targets=slice(1, None), inputs=slice(-1), reduction="mean", first="zero"):
    """One step of training, or what becomes of it with a part left out; returns the loss before it."""
    if first == "zero":
        optimizer.zero_grad()
    loss = F.cross_entropy(model(rows[:, inputs]).flatten(0, 1), rows[:, targets].flatten(), reduction=reduction)
    loss.backward()
    optimizer.step()
    return loss.item()


def _after(model, optimizer, rows):
    _step(model, optimizer, rows)
    with torch.no_grad():
        return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).item()


def _nothing(model, optimizer, rows):
    with torch.no_grad():
        return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).item()


_STEP_MISTAKES = {
    "the second step still carries the gradient of the first": (
        functools.partial(_step, first="keep"),
        "backward() adds to the gradients that are there. Who sets them back to zero?",
    ),
    "each token was asked to predict itself": (
        functools.partial(_step, targets=slice(-1)),
        "The targets are the tokens one place further on.",
    ),
    "each token was asked to predict itself, the last one too": (
        functools.partial(_step, inputs=slice(None), targets=slice(None)),
        "The model reads all tokens but the last, and the targets are all but the first.",
    ),
    "the loss is a sum": (functools.partial(_step, reduction="sum"), "The loss is the mean over all tokens."),
    "the loss is that after the step": (_after, "Return the loss that you called backward() on."),
}


def _trained(step):
    """Two steps of a small model, float64, by plain gradient descent: their losses, the weights, calls of `step()`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2(GPT2Config(vocab_size=7, n_positions=6, n_embd=8, n_layer=1, n_head=2)).double()
    model.requires_grad_(True)
    optimizer, calls = torch.optim.SGD(model.parameters(), lr=0.5), []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    generator = torch.Generator().manual_seed(0)
    losses = [step(model, optimizer, torch.randint(7, (3, 6), generator=generator)) for _ in range(2)]
    return losses, torch.cat([p.detach().flatten() for p in model.parameters()]), len(calls)


@exercise("One step of training")
def training_step(answer):
    """Examine `answer(model, optimizer, rows (B, T + 1)) -> loss before the step`, by two steps of a small model."""
    losses, weights, calls = _trained(answer)
    if any(getattr(loss, "requires_grad", False) for loss in losses):
        raise WrongError(
            "the loss is returned with everything that led to it, which fills the memory.",
            hint="`loss.item()` is the number alone.",
        )
    got = torch.tensor([float(as_number(loss, "the loss")) for loss in losses], dtype=torch.float64)
    if torch.equal(weights, _trained(_nothing)[1]):
        if not calls:
            raise WrongError(
                "no weight moved: the optimizer's step() was not called.",
                hint="backward() finds the gradients, optimizer.step() uses them.",
            )
        raise WrongError(
            "no weight moved: optimizer.step() found no gradients.",
            hint="backward() comes before step(), and nothing may erase the gradients in between.",
        )
    for problem, (mistake, hint) in _STEP_MISTAKES.items():
        wrong, moved, _ = _trained(mistake)
        if torch.allclose(weights, moved, atol=1e-9) and torch.allclose(got, torch.tensor(wrong).double(), atol=1e-9):
            raise WrongError(f"{problem}.", hint=hint)
    right, moved, _ = _trained(_step)
    for number, (loss, expected) in enumerate(zip(got.tolist(), right, strict=True), 1):
        expect_number(
            loss, expected, f"the loss of step {number}", hint="The mean loss over all tokens, before the step."
        )
    if not torch.allclose(weights, moved, atol=1e-9):
        raise WrongError(
            "the losses are right, but after two steps the weights are others.",
            hint="One backward() and one step() for each batch, with the optimizer that was given.",
        )
    return "two steps of yours move every weight to where two steps of ours do."


_MASKED_LOGITS = torch.tensor(
    [
        [[2.0, 0.5, -1.0], [0.3, 0.3, 1.8], [-0.4, 1.1, 0.2], [0.0, 2.0, 0.0]],
        [[1.0, -0.5, 0.4], [0.9, 0.1, -0.8], [1.4, 0.6, 0.2], [0.3, 0.0, 1.0]],
    ]
)
_MASKED_IDS = torch.tensor([[0, 2, 1, 0], [1, 0, 2, 2]])
_ANSWERS = torch.tensor([[False, False, True, False], [False, True, True, True]])


@exercise("Only the answer counts")
def masked_loss(answer):
    """Examine `answer(logits (B, T, V), ids (B, T), answers bool (B, T)) -> mean loss of the answers' tokens`."""
    got = call_untouched(lambda z: answer(z, _MASKED_IDS.clone(), _ANSWERS.clone()), _MASKED_LOGITS)
    log_probs, ids, mask = _MASKED_LOGITS.log_softmax(-1), _MASKED_IDS, _ANSWERS
    each = -log_probs[:, :-1].gather(2, ids[:, 1:, None])[..., 0]  # (B, T − 1): of the tokens from the second on
    own = -log_probs.gather(2, ids[..., None])[..., 0]
    late, early = mask[:, 1:], mask[:, :-1]
    right = each[late].mean()
    refuse(
        got,
        {
            "every token counts, those of the prompts too": (each.mean(), "Keep only what `answers` marks."),
            "the mask is one place off": (
                each[early].mean(),
                "Row t speaks about token t + 1. Which token must be marked for its loss to count?",
            ),
            "each row of logits was compared with the token that it has read": (
                own[mask].mean(),
                "Row t speaks about token t + 1.",
            ),
            "the prompts count, and the answers do not": (each[~late].mean(), "True marks the answers."),
            "that is the sum over the answers' tokens": (right * late.sum(), "The loss is a mean per token."),
            "it was divided by the number of all tokens": (
                (each * late).sum() / late.numel(),
                "Over how many tokens is the mean?",
            ),
            "that is a mean of the rows' means": (
                torch.stack([row[m].mean() for row, m in zip(each, late, strict=True)]).mean(),
                "Rows have different lengths; every answer's token counts the same.",
            ),
            "the sign is missing": (-right, "The logarithm of a probability is negative; a loss is not."),
        },
    )
    expect_number(got, right.item(), "the loss", hint="−ln p of each marked token, then the mean.")
    everything = torch.ones(1, 3, dtype=torch.bool)
    expect_number(
        answer(_MASKED_LOGITS[:1, :3].clone(), ids[:1, :3].clone(), everything),
        each[0, :2].mean().item(),
        "the loss of one row in which every token is marked",
        hint="Nothing predicts the first token.",
    )
    return "prompts are read, but only answers are learnt: what transformers does where a label is -100."


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
