"""What the graded questions share: calls a function on several cases and says which known mistake a wrong one makes.

`examine` trusts nothing that the answer returns: only plain numbers, texts, tensors and lists of them are compared, by
type and value, so an object that claims to equal everything equals nothing here.
"""

import math
from fractions import Fraction

import torch

_CHANGEABLE = (list, dict, set, torch.Tensor)
_SHORT = (torch.float16, torch.bfloat16)
_KINDS = {
    torch.Tensor: "a tensor",
    dict: "a dictionary",
    list: "a list",
    bool: "True or False",
    float: "a plain number",
}


def examine(answer, cases, right, mistakes=None, *, tolerance=1e-5):
    """Raise `AssertionError` unless `answer(*case)` is what `right(*case)` is, for every case, and changes no argument.

    `mistakes` maps a sentence that names a mistake to a function that makes it; the first one whose results are the
    answer's wherever the answer is wrong is reported. Where `right` raises a `ValueError`, so must the answer.
    """
    wrong = []
    for case in cases:
        expected = _outcome(right, _copy(case))
        given = _copy(case)
        got = _outcome(answer, given)
        if not all(same(a, b, 0) for a, b in zip(given, case, strict=True) if type(a) in _CHANGEABLE):
            raise AssertionError("your function changes what it is given; work on a copy")
        if not _agree(got, expected, tolerance):
            wrong.append((case, got, expected))
    if not wrong:
        return
    for sentence, mistake in (mistakes or {}).items():
        if all(_agree(got, _outcome(mistake, _copy(case)), tolerance) for case, got, _ in wrong):
            raise AssertionError(sentence)
    raise AssertionError(_describe(*wrong[0]))


def returned(value, kind, name):
    """Raise `AssertionError` unless `value`, what the function `name` returned, is of a kind that is graded.

    `kind` is torch.Tensor, dict, list, bool or float (which a whole number is too). The visible tests call it, so that
    nobody learns only from a grade that a value was of the wrong kind. Tensors of 16 bits are refused: they hold three
    digits.
    """
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (kind is float and isinstance(value, bool)):
        raise AssertionError(f"{name} should return {_KINDS[kind]}, not {_shown(value, 80)}")
    if short := _short_type(value):
        raise AssertionError(f"{name} {_SHORT_SENTENCE.format(short)}")


_SHORT_SENTENCE = "returns {}, which holds three digits: keep the type of what you are given, or use torch.float32"


def _short_type(value):
    """Return the type of 16 bits that a value holds its numbers in, None if it does not."""
    if type(value) is torch.Tensor:
        return value.dtype if value.dtype in _SHORT else None
    parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    return next((short for part in parts if (short := _short_type(part))), None)


def expect(value, right, mistakes=None, *, what="your value", tolerance=1e-4):
    """Raise `AssertionError` unless `value` is `right`; `mistakes` maps a sentence to the value that it leads to."""
    if same(value, right, tolerance):
        return
    for sentence, wrong in (mistakes or {}).items():
        if same(value, wrong, tolerance):
            raise AssertionError(sentence)
    raise AssertionError(f"{what} is {_shown(value)}, which is not right")


def false_claim(number, value, report, truth, mistakes=None):
    """Examine the answer to "which claim of the report is false, and which number should stand there?".

    `report` {number: (claim, reported value)}, `truth` {claim: true value}; `mistakes` as in `expect`, for the value.
    """
    number = _plain(number)
    if type(number) is float and number.is_integer():
        number = int(number)
    lies = [n for n, (claim, reported) in report.items() if not same(reported, truth[claim], 1e-3)]
    if type(number) is not int or number not in report:
        raise AssertionError(f"false_claim should be the number of a claim, 1 to {len(report)}, not {_shown(number)}")
    if number not in lies:
        raise AssertionError(f"claim {number} is true: your own computation of it should agree with the report")
    if value is None:
        raise AssertionError("you found the false claim, but true_value is no number yet")
    claim, reported = report[number]
    if same(value, reported, 1e-3):
        raise AssertionError("true_value is the number of the report; which number should stand there?")
    if type(value) in (int, float) and same(value, round(truth[claim], 1), 1e-9) and value != truth[claim]:
        raise AssertionError("true_value is rounded too much; do not round")
    expect(value, truth[claim], mistakes, what="you found the false claim, but true_value", tolerance=1e-3)


def same(got, expected, tolerance=1e-5):
    """Whether two values are equal up to `tolerance`; only plain data of one kind can be."""
    got, expected = _plain(got), _plain(expected)
    if type(got) is bool and type(expected) is int:
        got = int(got)  # in a list of numbers Python takes True for 1, and so do the visible tests
    if type(got) in (int, float) and type(expected) in (int, float):
        if math.isnan(got) or math.isnan(expected):
            return math.isnan(got) and math.isnan(expected)
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    if type(got) in (list, tuple) and type(expected) in (list, tuple):
        return len(got) == len(expected) and all(same(a, b, tolerance) for a, b in zip(got, expected, strict=True))
    if type(got) is not type(expected):
        return False
    if type(got) is torch.Tensor:
        if got.shape != expected.shape or (got.dtype == torch.bool) != (expected.dtype == torch.bool):
            return False
        return torch.allclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if type(got) is dict:
        # tensors as keys are found by identity: compare their numbers
        found = {_plain(k): v for k, v in got.items()}
        wanted = {_plain(k): v for k, v in expected.items()}
        alike = len(found) == len(got) and found.keys() == wanted.keys()
        return alike and all(same(found[k], wanted[k], tolerance) for k in found)
    return type(got) in (bool, str, bytes, set, frozenset, type(None)) and got == expected


def _plain(value):
    if type(value) is Fraction:
        return float(value)
    if type(value) is torch.Tensor and value.ndim == 0:
        return value.item()
    return value


def _outcome(function, case):
    """Return ("value", value), or ("error", kind, text) of the exception that the call raised."""
    try:
        return ("value", function(*case))
    except (TimeoutError, ConnectionError) as error:  # it would only happen again with the next case
        raise AssertionError(str(error)) from None
    except Exception as error:
        return ("error", type(error).__name__, str(error))


def _agree(got, expected, tolerance):
    if got[0] == expected[0] == "error":
        return got[1] == expected[1] == "ValueError"
    return got[0] == expected[0] == "value" and same(got[1], expected[1], tolerance)


def _describe(case, got, expected):
    if got[0] == "error":
        if got[1] == "NotImplementedError":
            return "not answered yet"
        return f"your function stops with {got[1]}: {got[2]}"[:500]
    if got[1] is None:
        return "your function returns None. Does it print its result instead of returning it?"
    if short := _short_type(got[1]):
        return f"your function {_SHORT_SENTENCE.format(short)}"
    kinds = type(_plain(got[1])).__name__, type(_plain(expected[1])).__name__
    if expected[0] == "error":
        return f"for {_shown(case)} your function should raise a ValueError"
    if kinds[0] != kinds[1] and not set(kinds) <= {"int", "float"} and not set(kinds) <= {"list", "tuple"}:
        return f"your function returns {_shown(got[1])}; it should return a {kinds[1]}"
    return f"not right for {_shown(case)}: your function returns {_shown(got[1])}"


def _shown(value, limit=160):
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[:limit] + " …"


def _copy(value):
    if type(value) is torch.Tensor:
        return value.clone()
    if type(value) in (list, tuple, set):
        return type(value)(_copy(v) for v in value)
    if type(value) is dict:
        return {k: _copy(v) for k, v in value.items()}
    return value
