"""The frame of every exercise check: a verdict, a way to say what is wrong, and comparisons that diagnose."""

import functools
import html
import math
from dataclasses import dataclass

_MARKS = {"unanswered": "○", "wrong": "✗", "right": "✓"}
_COLOURS = {"unanswered": "#767676", "wrong": "#c2410c", "right": "#00795c"}


class WrongError(Exception):
    """Raised inside a check: `problem` says what is wrong, `hint` where to look; neither gives the answer away."""

    def __init__(self, problem, *, hint=""):
        super().__init__(problem)
        self.problem, self.hint = problem, hint


@dataclass(frozen=True)
class Verdict:
    """What a check found: `status` is "unanswered", "wrong" or "right"; printing it shows the message."""

    exercise: str
    status: str
    message: str
    hint: str = ""

    def __repr__(self):
        text = f"{_MARKS[self.status]} {self.exercise}: {self.message}"
        return f"{text}\n  Hint: {self.hint}" if self.hint else text

    def _repr_html_(self):
        # the learner's own values may be part of the message, so everything is escaped
        hint = f"<br><i>Hint:</i> {html.escape(self.hint)}" if self.hint else ""
        return (
            f'<div style="border-left:4px solid {_COLOURS[self.status]};padding:.4em .8em">'
            f"<b>{_MARKS[self.status]} {html.escape(self.exercise)}</b>: "
            f'<span style="white-space:pre-wrap">{html.escape(self.message)}</span>{hint}</div>'
        )


def exercise(title):
    """Turn `examine(answer) -> str` into a check that never raises and returns a `Verdict`.

    `examine` raises `WrongError` on a wrong answer and returns the sentence that confirms a right one. An
    answer that is still `...`, or a function that still raises a bare `NotImplementedError`, is "unanswered".
    Any other exception of the learner's code is reported as a wrong answer, with its text.
    """

    def decorate(examine):
        @functools.wraps(examine)
        def check(answer=...):
            if answer is ...:
                return Verdict(title, "unanswered", "not answered yet. Replace the ... and run the cell again.")
            try:
                return Verdict(title, "right", examine(answer))
            except WrongError as error:
                return Verdict(title, "wrong", error.problem, error.hint)
            except NotImplementedError as error:
                if not error.args:
                    todo = "not answered yet. Replace the line `raise NotImplementedError` and run the cell again."
                    return Verdict(title, "unanswered", todo)
                return _stopped(title, error)
            except Exception as error:
                return _stopped(title, error)

        check.title = title
        return check

    return decorate


def _stopped(title, error):
    return Verdict(title, "wrong", f"your code stopped with {type(error).__name__}: {error}")


def expect_value(got, expected, what, *, hint=""):
    """Raise `WrongError` unless `got == expected` and both are of one kind (a list is not a tensor)."""
    _expect_something(got, what)
    if type(got) is not type(expected):
        raise WrongError(f"{what} should be {_kind(expected)}, but is {_kind(got)}: {_short(got)}.", hint=hint)
    if got != expected:
        raise WrongError(f"{what} should be {_short(expected)}, but is {_short(got)}.", hint=hint)


def expect_number(got, expected, what, *, tolerance=1e-5, hint=""):
    """Raise `WrongError` unless `got` is a number (or a 0-d tensor) within `tolerance`, relative, of `expected`."""
    _expect_something(got, what)
    if hasattr(got, "numel") and got.numel() == 1:
        got = got.item()
    if isinstance(got, bool) or not isinstance(got, int | float):
        raise WrongError(f"{what} should be a number, but is {_kind(got)}: {_short(got)}.", hint=hint)
    if math.isnan(got) or not math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance):
        raise WrongError(f"{what} should be {expected:.5g}, but is {got:.5g}.", hint=hint)


def expect_tensor(got, expected, what, *, tolerance=1e-5, hint=""):
    """Raise `WrongError` unless `got` has the shape of `expected` and its values to `tolerance`; -inf equals -inf."""
    import torch

    _expect_something(got, what)
    if not isinstance(got, torch.Tensor):
        raise WrongError(f"{what} should be a tensor, but is {_kind(got)}: {_short(got)}.", hint=hint)
    if got.shape != expected.shape:
        shapes = f"{tuple(expected.shape)}, but has {tuple(got.shape)}"
        raise WrongError(f"{what} should have shape {shapes}.", hint=hint)
    if not torch.allclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance):
        where = tuple(
            (~torch.isclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance)).nonzero()[0].tolist()
        )
        place = f" at {list(where)}" if where else ""
        values = f"{expected[where].item():.5g}, but is {got[where].item():.5g}"
        raise WrongError(f"{what}{place} should be {values}.", hint=hint)


def _expect_something(got, what):
    if got is None:
        raise WrongError(f"{what} is None. Does your function end with `return`?")


def _kind(value):
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _short(value, limit=120):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + " …"


NO_COLUMN = {
    "size of tensor": (
        "logits (B, V) and your threshold have shapes that do not fit.",
        "One threshold per row is a column, (B, 1): an index such as [:, -1:] keeps the axis, as keepdim=True does.",
    )
}


def call_untouched(answer, tensor, *rest, errors=None):
    """Return `answer(tensor, *rest)`; raise `WrongError` if it changed the tensor it was given.

    `errors` {part of a RuntimeError's text: (what is wrong, a hint)}: such an error of PyTorch is explained.
    """
    given = tensor.clone()
    try:
        got = answer(given, *rest)
    except RuntimeError as error:
        for problem, hint in (said for part, said in (errors or {}).items() if part in str(error)):
            raise WrongError(problem, hint=hint) from None
        raise
    if not given.equal(tensor):
        hint = "Work on a copy: avoid -=, /=, assignments to slices, and methods that end in _."
        raise WrongError("your function changed the tensor it was given.", hint=hint)
    return got


def refuse(got, mistakes):
    """Raise `WrongError` if `got` (a number or tensor) is what a known mistake gives; -inf equals -inf.

    `mistakes` maps a sentence that names the mistake, without its full stop, to (the wrong value, a hint).
    """
    import torch

    if isinstance(got, bool) or not isinstance(got, int | float | torch.Tensor):
        return
    got = torch.as_tensor(got).double()
    for problem, (value, hint) in mistakes.items():
        value = torch.as_tensor(value).double()
        if got.shape == value.shape and torch.allclose(got, value, rtol=1e-4, atol=1e-6):
            raise WrongError(f"{problem}.", hint=hint)


def as_number(got, what="the result"):
    """Return `got`, a number or a tensor with one element, as a Python number; raise `WrongError` if it is neither."""
    _expect_something(got, what)
    if hasattr(got, "numel") and got.numel() == 1:
        return got.item()
    if isinstance(got, bool) or not isinstance(got, int | float):
        raise WrongError(f"{what} should be a number, but is {_kind(got)}: {_short(got)}.")
    return got
