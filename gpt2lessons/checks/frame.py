"""The frame of every exercise check: a verdict, a way to say what is wrong, and comparisons that diagnose."""

import functools
import html
import math
from collections import Counter
from dataclasses import dataclass, replace

from gpt2lessons.checks import guard
from gpt2lessons.desk import record

TRIES = 3  # wrong ones, before the hint is named
_wrong = Counter()  # {check: wrong tries since the last right one}
_MARKS = {"unanswered": "○", "wrong": "✗", "right": "✓"}
_COLOURS = {"unanswered": "#767676", "wrong": "#c2410c", "right": "#00795c"}


class WrongError(Exception):
    """Raised inside a check: `problem` says what is wrong, `hint` where to look; neither gives the answer away."""

    def __init__(self, problem, *, hint=""):
        super().__init__(problem)
        self.problem, self.hint = problem, hint


@dataclass(frozen=True)
class Verdict:
    """What a check found: `status` is "unanswered", "wrong" or "right"; printing it shows the message.

    `hint` is where to look, `onward` what to do after several wrong tries.
    """

    exercise: str
    status: str
    message: str
    hint: str = ""
    onward: str = ""

    def __repr__(self):
        text = f"{_MARKS[self.status]} {self.exercise}: {self.message}"
        text += f"\n  Hint: {self.hint}" if self.hint else ""
        return f"{text}\n  {self.onward}" if self.onward else text

    def _repr_html_(self):
        # the learner's own values may be part of the message, so everything is escaped
        hint = f"<br><i>Hint:</i> {html.escape(self.hint)}" if self.hint else ""
        hint += f"<br>{html.escape(self.onward)}" if self.onward else ""
        return (
            f'<div style="border-left:4px solid {_COLOURS[self.status]};padding:.4em .8em">'
            f"<b>{_MARKS[self.status]} {html.escape(self.exercise)}</b>: "
            f'<span style="white-space:pre-wrap">{html.escape(self.message)}</span>{hint}</div>'
        )


def exercise(title):
    """Turn `examine(answer) -> str` into a check that never raises and returns a `Verdict`.

    `examine` raises `WrongError` on a wrong answer and returns the sentence that confirms a right one. An
    answer that is still `...`, or a function that still raises a bare `NotImplementedError`, is "unanswered".
    Any other exception of the learner's code is reported as a wrong answer, with its text and the learner's line; so is
    code that runs longer than `guard.limit` allows. What is right is noted in the learner's record.

    The check's `title` is that of the exercise, its `key` the name by which the record knows it: "topic.check".
    """

    def decorate(examine):
        key = f"{examine.__module__.rpartition('.')[2]}.{examine.__name__}"

        @functools.wraps(examine)
        def check(answer=...):
            __tracebackhide__ = True  # an interruption shows the learner's cell, not this
            if answer is ...:
                return Verdict(title, "unanswered", "not answered yet. Replace the ... and run the cell again.")
            try:
                with guard.limited(check.__code__):
                    message = examine(answer)
            except WrongError as error:
                return _again(key, Verdict(title, "wrong", error.problem, error.hint))
            except NotImplementedError as error:
                if not error.args:
                    todo = "not answered yet. Replace the line `raise NotImplementedError` and run the cell again."
                    return Verdict(title, "unanswered", todo)
                return _again(key, _stopped(title, error))
            except guard.TooLongError as error:
                return _again(key, _too_long(title, error))
            except KeyboardInterrupt as error:
                place = guard.line_of(error)
                raise KeyboardInterrupt(f"you stopped the check of {title!r}{f', at {place}' * bool(place)}") from None
            except Exception as error:
                return _again(key, _stopped(title, error))
            _wrong.pop(key, None)
            record.note(key)
            return Verdict(title, "right", message)

        check.title, check.key = title, key
        return check

    return decorate


def _again(key, verdict):
    """Count a wrong try; from the third on, the verdict names the hint that waits below the cell."""
    _wrong[key] += 1
    if _wrong[key] < TRIES:
        return verdict
    tries = f"{_wrong[key]} tries so far. Open “Hint” below this cell: it says how to begin."
    return replace(verdict, onward=tries)


def _stopped(title, error):
    place = guard.line_of(error)
    hint = ""
    if isinstance(error, NameError):
        hint = (
            "Names come from cells that ran before this one. Run the set-up cell at the top, and those above this one."
        )
    where = f"\n{place}" if place else ""
    return Verdict(title, "wrong", f"your code stopped with {type(error).__name__}: {error}{where}", hint)


def _too_long(title, error):
    place = guard.line_of(error)
    where = f"\n{place}" if place else ""
    hint = (
        f"If it only needs more time: gl.checks.limit({6 * guard.seconds():g}). gl.checks.limit(None) lifts the limit."
    )
    told = f"your code was stopped after {guard.seconds():g} seconds. Is there a loop that never ends?{where}"
    return Verdict(title, "wrong", told, hint)


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
