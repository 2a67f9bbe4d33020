"""The checks of lesson 12: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import torch
from support.told_apart import three_tests
from torch.nn import functional as F

from gpt2lessons.checks import training as checks
from gpt2lessons.training import loop as training


def by_autograd(logits, targets):
    logits = logits.clone().requires_grad_()
    with torch.enable_grad():
        training.loss_of(logits[None], targets[None]).backward()
    return logits.grad


def hot(logits, targets):
    return torch.zeros_like(logits).scatter(1, targets[:, None], 1.0)


def in_place(logits, targets):
    logits.sub_(1)
    return by_autograd(logits, targets)


def by_recipe(step, steps, warmup, decay):
    return training.Recipe(steps=steps, warmup=warmup / steps, decay=decay / steps).rate(step)


def by_cases(step, steps, warmup, decay):
    if step < warmup:
        return (step + 1) / warmup
    return 1.0 if step < steps - decay else torch.tensor((steps - step) / decay)


def polar(matrix):
    """M (MᵀM)^−½ by eigenvalues, the other way to the same matrix."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    values, vectors = torch.linalg.eigh((tall.T @ tall).double())
    found = (tall.double() @ vectors @ torch.diag(values.rsqrt()) @ vectors.T).float()
    return found if tall is matrix else found.T


def svd(matrix):
    return torch.linalg.svd(matrix, full_matrices=False)


def loss_of(model, rows, targets=None):
    return training.loss_of(model(rows[:, :-1]), rows[:, 1:] if targets is None else targets)


def stepped(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def zero_first(model, optimizer, rows):
    return stepped(optimizer, loss_of(model, rows))


def by_the_loop(model, optimizer, rows):
    recipe = training.Recipe(steps=2, warmup=0, decay=0, clip=1e9, bf16=False)
    optimizer.param_groups[0]["peak"] = optimizer.param_groups[0]["lr"]
    return training.train_step(model, rows, [optimizer], recipe, 0)


def by_hand_descent(model, optimizer, rows):
    """Without the optimizer's own step: plain gradient descent is the weight minus rate times gradient."""
    loss = loss_of(model, rows)
    parameters = list(model.parameters())
    with torch.no_grad():
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p -= optimizer.param_groups[0]["lr"] * g
    return torch.tensor(loss.item(), dtype=torch.float64)


def erased(model, optimizer, rows):
    loss = loss_of(model, rows)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def never_zeroed(model, optimizer, rows):
    loss = loss_of(model, rows)
    loss.backward()
    optimizer.step()
    return loss.item()


def after_the_step(model, optimizer, rows):
    stepped(optimizer, loss_of(model, rows))
    return loss_of(model, rows).item()


def last_step_undone(model, optimizer, rows):
    """Its losses are right, if it forgets its last step."""
    before = [p.detach().clone() for p in model.parameters()]
    loss = stepped(optimizer, loss_of(model, rows))
    if last_step_undone.calls.append(1) or len(last_step_undone.calls) % 2 == 0:
        for p, old in zip(model.parameters(), before, strict=True):
            p.data.copy_(old)
    return loss


last_step_undone.calls = []


def each_loss(logits, ids):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")


def by_the_library(logits, ids, answers):
    labels = ids.masked_fill(~answers, -100)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def by_weights(logits, ids, answers):
    weights = answers[:, 1:].double()
    return (each_loss(logits, ids) * weights).sum() / weights.sum()


def mean_of_rows(logits, ids, answers):
    weights = answers[:, 1:].double()
    return ((each_loss(logits, ids) * weights).sum(1) / weights.sum(1)).mean()


def masked_in_place(logits, ids, answers):
    found = by_the_library(logits, ids, answers)
    logits[~answers] = 0
    return found


RIGHT = {
    "gradient": [by_autograd, lambda z, t: (z.softmax(-1) - hot(z, t)) / len(z)],
    "schedule": [by_recipe, by_cases],
    "orthogonalise": [polar, lambda m: svd(m).U @ svd(m).Vh],
    "training_step": [zero_first, by_the_loop, by_hand_descent],
    "masked_loss": [by_the_library, by_weights],
}
WRONG = {
    "gradient": {
        "sum": (lambda z, t: by_autograd(z, t) * len(z), "sum of the losses"),
        "sign": (lambda z, t: -by_autograd(z, t), "every sign is wrong"),
        "columns": (lambda z, t: (z.softmax(0) - hot(z, t)) / len(z), "down the columns"),
        "logits": (lambda z, t: (z - hot(z, t)) / len(z), "in place of probabilities"),
        "no target": (lambda z, t: z.softmax(-1) / len(z), "not treated apart"),
        "log": (lambda z, t: (z.log_softmax(-1) - hot(z, t)) / len(z), "log-probabilities"),
        "all logits": (lambda z, t: by_autograd(z, t) / z.shape[1], "number of all logits"),
        "target alone": (lambda z, t: by_autograd(z, t) * hot(z, t), "only the right words"),
        "always three rows": (lambda z, t: by_autograd(z, t) * len(z) / 3, "one row of three logits"),
        "in place": (in_place, "changed the tensor"),
        "no return": (lambda z, t: None, "is None"),
    },
    "schedule": {
        "starts at 0": (lambda s, n, w, d: min(1, s / w, (n - s) / d), "first step has the rate 0"),
        "ends at 0": (lambda s, n, w, d: min(1, (s + 1) / w, (n - 1 - s) / d), "last step has the rate 0"),
        "both": (lambda s, n, w, d: min(1, s / w, (n - 1 - s) / d), "first and the last step"),
        "no decay": (lambda s, n, w, d: min(1, (s + 1) / w), "does not fall"),
        "no warm-up": (lambda s, n, w, d: min(1, (n - s) / d), "does not rise"),
        "no roof": (lambda s, n, w, d: min((s + 1) / w, (n - s) / d), "above its peak"),
        "largest": (lambda s, n, w, d: max(1, (s + 1) / w, (n - s) / d), "largest of the three"),
        "shares": (lambda s, n, w, d: min(1, (s + 1) / (w * n), (n - s) / (d * n)), "shares of the steps"),
        "cosine": (
            lambda s, n, w, d: min(1, (s + 1) / w, 0.5 + 0.5 * math.cos(math.pi * max(0, s - n + d) / d)),
            "the rates of 20 steps",
        ),
        "four steps of warm-up whatever was asked": (
            lambda s, n, w, d: min(1, (s + 1) / 4, (n - s) / d),
            "(step, steps, warmup, decay) = (0, 6, 2, 3)",
        ),
    },
    "orthogonalise": {
        "U": (lambda m: svd(m).U, "only the directions"),
        "nothing": (lambda m: m.clone(), "the matrix itself"),
        "V not transposed": (lambda m: svd(m).U @ svd(m).Vh.T, "not transposed"),
        "transposed": (lambda m: polar(m).T, "this is transposed"),
        "length 1": (lambda m: m / m.norm(), "only the length"),
        "largest 1": (lambda m: m / torch.linalg.matrix_norm(m, 2), "only the largest"),
        "sign": (torch.sign, "its sign"),
        "rows": (lambda m: torch.nn.functional.normalize(m), "every row"),
        "columns": (lambda m: torch.nn.functional.normalize(m, dim=0), "every column"),
        "inverse": (lambda m: torch.linalg.pinv(m).T, "inverted"),
        "tall only": (
            lambda m: polar(m) if m.shape[0] >= m.shape[1] else m.clone(),
            "more columns than rows",
        ),
    },
    "training_step": {
        "no step": (lambda m, o, rows: loss_of(m, rows).item(), "step() was not called"),
        "erased": (erased, "found no gradients"),
        "never zeroed": (never_zeroed, "carries the gradient of the first"),
        "itself": (lambda m, o, rows: stepped(o, loss_of(m, rows, targets=rows[:, :-1])), "to predict itself."),
        "all rows": (
            lambda m, o, rows: stepped(o, training.loss_of(m(rows), rows)),
            "to predict itself, the last one too",
        ),
        "sum": (lambda m, o, rows: stepped(o, loss_of(m, rows) * rows[:, 1:].numel()), "is a sum"),
        "after": (after_the_step, "that after the step"),
        "with its graph": (lambda m, o, rows: (stepped(o, found := loss_of(m, rows)), found)[1], "fills the memory"),
        "bits": (lambda m, o, rows: stepped(o, loss_of(m, rows)) / math.log(2), "the loss of step 1"),
        "twice": (lambda m, o, rows: (stepped(o, loss_of(m, rows)), stepped(o, loss_of(m, rows)))[0], "loss of step 2"),
        "last step undone": (last_step_undone, "weights are others"),
        "no return": (lambda m, o, rows: stepped(o, loss_of(m, rows)) and None, "is None"),
    },
    "masked_loss": {
        "no mask": (lambda z, ids, a: by_the_library(z, ids, torch.ones_like(a)), "those of the prompts too"),
        "mask not shifted": (lambda z, ids, a: each_loss(z, ids)[a[:, :-1]].mean(), "one place off"),
        "itself": (lambda z, ids, a: F.cross_entropy(z[a], ids[a]), "that it has read"),
        "prompts": (lambda z, ids, a: by_the_library(z, ids, ~a), "the answers do not"),
        "sum": (lambda z, ids, a: each_loss(z, ids)[a[:, 1:]].sum(), "the sum over"),
        "all tokens": (lambda z, ids, a: (each_loss(z, ids) * a[:, 1:]).mean(), "number of all tokens"),
        "rows": (mean_of_rows, "mean of the rows' means"),
        "sign": (lambda z, ids, a: -by_the_library(z, ids, a), "sign is missing"),
        "always four tokens": (lambda z, ids, a: each_loss(z, ids)[a[:, 1:]].sum() / 4, "every token is marked"),
        "in place": (masked_in_place, "changed the tensor"),
        "no return": (lambda z, ids, a: None, "is None"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)
