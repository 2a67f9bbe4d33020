"""The checks of lesson 12: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import pytest
import torch
from support.told_apart import three_tests

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


RIGHT = {
    "loss_by_hand": [2 * math.log(2), torch.tensor([2.0, 4.0, 8.0]).log().mean(), 1.3863],
    "gradient": [by_autograd, lambda z, t: (z.softmax(-1) - hot(z, t)) / len(z)],
    "schedule": [by_recipe, by_cases],
    "orthogonalise": [polar, lambda m: svd(m).U @ svd(m).Vh],
    "curves": [dict(reversed(checks.CURVES.items()))],
}
STORY = checks.CURVES
WRONG = {
    "loss_by_hand": {
        "bits": (2.0, "in bits"),
        "sum": (6 * math.log(2), "the sum"),
        "sign": (-2 * math.log(2), "sign is missing"),
        "perplexity": (4.0, "perplexity"),
        "mean first": (-math.log(7 / 24), "before the logarithm"),
        "missing to 1": (17 / 24, "missing to 1"),
        "rough": (1.3, "should be 1.3863"),
    },
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
    "curves": {
        "no dict": (["rate too high"], "should be a dict"),
        "three": ({k: v for k, v in STORY.items() if k != "D"}, "the keys A, B, C and D"),
        "a word of its own": (STORY | {"B": "overfit"}, "none of the four"),
        "not filled in": (STORY | {"C": ...}, "C: Ellipsis is none"),
        "A and B swapped": (STORY | {"A": "overfitting", "B": "rate too high"}, "A is not 'overfitting'"),
        "B and D swapped": (STORY | {"B": "healthy", "D": "overfitting"}, "B is not 'healthy'"),
        "C and D swapped": (STORY | {"C": "healthy", "D": "rate too low"}, "C is not 'healthy'"),
        "D too high": (STORY | {"D": "rate too high"}, "D does not jump"),
    },
}
test_other_right_answers, test_wrong_answers, test_diagnoses_differ = three_tests(checks, RIGHT, WRONG)


@pytest.mark.parametrize("curve", STORY)
@pytest.mark.parametrize("told", sorted(STORY.values()))
def test_every_wrong_story_is_answered_without_the_right_one(curve, told):
    verdict = checks.curves(STORY | {curve: told})
    if told == STORY[curve]:
        assert verdict.status == "right"
    else:
        assert verdict.status == "wrong"
        assert STORY[curve] not in verdict.message.split(": ", 1)[1]
