"""A right answer keeps its points in whatever form it comes, or the visible test says so before it is handed in.

Each form passes `wire`, as in grading; the visible part of a test sees it as it is, as at the student's desk.
"""

import enum
import math
import re
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_sets import HIDDEN, cells, complaint, kind, model_answer

from gpt2lessons.checks import coursework
from gpt2lessons.grading.inside import wire


class Ids(list):
    """A list with methods of its own, one of which lies."""

    def __iter__(self):
        return iter(["a lie"])


class Text(str):
    __slots__ = ()


class Angry(float):
    def __float__(self):
        raise RuntimeError("no")


Pair = namedtuple("Pair", "ids total")
Number = enum.IntEnum("Number", {"ONE": 1, "FIVE": 5})

PLAIN = {
    "Counter": (Counter({1: 0.5}), {1: 0.5}),
    "defaultdict": (defaultdict(float, {1: 0.5}), {1: 0.5}),
    "OrderedDict": (OrderedDict({1: 0.5}), {1: 0.5}),
    "list with methods": (Ids([1, 2]), [1, 2]),
    "named tuple": (Pair((1,), 2.0), ((1,), 2.0)),
    "text with methods": (Text("a"), "a"),
    "member of an enumeration": (Number.FIVE, 5),
    "float with methods": (Angry(0.5), 0.5),
    "numpy's double": (np.float64(0.1), 0.1),
    "numpy's single": (np.float32(0.5), 0.5),
    "numpy's long double": (np.longdouble(0.5), 0.5),
    "numpy's half": (np.float16(0.5), 0.5),
    "numpy's whole number": (np.int64(7), 7),
    "numpy's truth": (np.True_, True),
    "fraction": (Fraction(1, 3), Fraction(1, 3)),
    "decimal": (Decimal("0.375"), Fraction(3, 8)),
    "nothing": (None, None),
}


@pytest.mark.parametrize("form", PLAIN)
def test_a_form_arrives_as_its_plain_base(form):
    value, plain = PLAIN[form]
    arrived = wire.decode(wire.encode(value))
    assert arrived == plain
    assert type(arrived) is type(plain)


@pytest.mark.parametrize("dtype", wire.DTYPES)
def test_tensors_of_every_type_arrive_bit_for_bit(dtype):
    value = torch.tensor([[0, 1, 2], [3, 100, 1]]).to(getattr(torch, dtype))
    for shape in (value, value.t(), value[0, 1], value[:0], torch.nn.Parameter(value, requires_grad=False)):
        arrived = wire.decode(wire.encode(shape))
        assert type(arrived) is torch.Tensor
        assert (arrived.dtype, arrived.shape) == (shape.dtype, shape.shape)
        assert arrived.equal(shape)


@pytest.mark.parametrize(
    "value", [1j, np.clongdouble(1j), torch.ones(2, dtype=torch.complex64), np.ones(3), Decimal("nan"), object(), len]
)
def test_what_is_no_plain_data_arrives_opaque(value):
    assert isinstance(wire.decode(wire.encode(value)), wire.Opaque)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.fractions()
)
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.booleans())


def _holding(inner):
    return st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.recursive(SCALARS, _holding, max_leaves=20))
def test_plain_data_arrives_as_it_was(value):
    arrived = wire.decode(wire.encode(value))
    assert arrived == value
    assert type(arrived) is type(value)


def test_one_limit_holds_for_messages_of_both_directions(tmp_path):
    with (tmp_path / "pipe").open("wb") as stream, pytest.raises(ValueError, match="more than 16 MB"):
        wire.send(stream, "x" * wire.MOST)
    assert (tmp_path / "pipe").read_bytes() == b""
    with (tmp_path / "pipe").open("wb") as stream:
        wire.send(stream, "x" * (wire.MOST - 4))
    with (tmp_path / "pipe").open("rb") as stream:
        assert len(wire.receive(stream)) == wire.MOST - 4
    (tmp_path / "pipe").write_bytes(b"x" * (wire.MOST + 1))
    with (tmp_path / "pipe").open("rb") as stream:
        assert wire.receive(stream) is None


def wired(function):
    """A function whose results pass the wire, as those of a student's process do."""
    return lambda *args: wire.decode(wire.encode(function(*args)))


def given_to(name):
    space = {}
    for cell in cells(name).values():
        if cell["cell_type"] == "code" and not kind(cell)["grade"] and not kind(cell)["solution"]:
            exec(cell["source"], space)
    return space


def verdicts(name, question, function, form):
    """What the visible test says about the form on the student's desk, and the whole test about what arrives."""
    space = given_to(name)
    exec(model_answer(name, question), space)
    right, test = space[function], cells(name)[f"{question}-test"]["source"]
    said = []
    for answer, source in (
        (lambda *a: form(right(*a)), HIDDEN.sub("", test)),
        (wired(lambda *a: form(right(*a))), test),
    ):
        try:
            exec(source, {**space, function: answer})
            said.append("")
        except Exception as error:
            said.append(str(error) or type(error).__name__)
    return said


def as_tensors(kept):
    return {torch.tensor(i): torch.tensor(p, dtype=torch.float64) for i, p in kept.items()}


def singles(kept):
    return {i: np.float32(p) for i, p in kept.items()}


FORMS = {
    ("ps1_architecture_and_tokens", "q1", "block_parameters"): [float, np.int64, torch.tensor, np.float64, Fraction],
    ("ps1_architecture_and_tokens", "q2", "window_pattern"): [
        torch.Tensor.to_sparse, lambda x: x.clone().requires_grad_(),
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.nn.Parameter, torch.Tensor.double, torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.numpy,
    ],
    ("ps1_architecture_and_tokens", "q3", "tokens_of"): [
        tuple, Ids, np.array, torch.tensor, set, deque, iter, dict.fromkeys, lambda ids: [np.uint8(i) for i in ids],
        lambda ids: [True if i == 1 else i for i in ids],
    ],
    ("ps2_decoding", "q1", "keep_within"): [
        torch.Tensor.to_sparse, lambda x: x.clone().requires_grad_(), lambda x: x.t().contiguous().t(),
        torch.nn.Parameter, torch.Tensor.double, torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.numpy,
        torch.Tensor.tolist,
    ],
    ("ps2_decoding", "q2", "survivors"): [
        UserDict, MappingProxyType, lambda d: {i: np.longdouble(p) for i, p in d.items()},
        lambda d: {np.int16(i): Decimal(p) for i, p in d.items()}, lambda d: dict(reversed(d.items())),
        Counter, OrderedDict, lambda d: defaultdict(float, d), as_tensors, singles, lambda d: list(d.items()),
        lambda d: {float(i): p for i, p in d.items()}, lambda d: {i: Fraction(p) for i, p in d.items()},
        lambda d: {i: torch.tensor(p).half() for i, p in d.items()},
    ],
    ("ps2_decoding", "q3", "cooling_sampler"): [
        Ids, tuple, np.array, torch.tensor, lambda ids: [float(i) for i in ids],
        lambda ids: [np.int64(i) for i in ids], lambda ids: [torch.tensor(i) for i in ids],
    ],
    ("ps3_beam_search", "q1", "turning_point"): [
        lambda p: p if p is None else np.float64(p), lambda p: p if p is None else torch.tensor(p).double(),
    ],
    ("ps3_beam_search", "q2", "family_step"): [
        tuple, lambda s: [Pair(*p) for p in s], lambda s: [[*p] for p in s], lambda s: [(list(i), t) for i, t in s],
        lambda s: [(i, torch.tensor(t).double()) for i, t in s],
    ],
    ("ps3_beam_search", "q3", "may_stop"): [np.bool_, torch.tensor, int, float, str],
    ("ps4_tuning_and_evaluation", "q1", "word_perplexity"): [
        np.float64, np.float32, torch.tensor, Decimal, np.longdouble, np.float16, complex, lambda p: np.array([p]),
        lambda p: torch.tensor([p], dtype=torch.float64), lambda p: torch.tensor(p).requires_grad_(),
    ],
    ("ps4_tuning_and_evaluation", "q2", "share_of_wins"): [Fraction, Decimal, np.float64, torch.tensor],
    ("ps4_tuning_and_evaluation", "q3", "careful_choice"): [np.float64, torch.tensor, np.float32],
}  # fmt: skip
CASES = [(*place, form) for place, forms in FORMS.items() for form in forms]


@pytest.mark.parametrize(("name", "question", "function", "form"), CASES)
def test_a_right_answer_in_another_form_is_graded_as_right_or_refused_at_the_desk(name, question, function, form):
    at_the_desk, graded = verdicts(name, question, function, form)
    assert not graded or at_the_desk, f"the visible test passes, and then: {graded}"


@pytest.mark.parametrize("name", ["ps1_architecture_and_tokens", "ps2_decoding"])
def test_short_tensors_are_refused_with_a_sentence(name):
    question, function = ("q2", "window_pattern") if "ps1" in name else ("q1", "keep_within")
    for form in (torch.Tensor.half, torch.Tensor.bfloat16):
        assert all("holds three digits" in said for said in verdicts(name, question, function, form))


@pytest.mark.parametrize("whole", [float, np.float64, np.int64, torch.tensor])
def test_a_claims_number_may_be_written_as_a_whole_float(whole):
    answer = model_answer("ps2_decoding", "q4")
    assert complaint("ps2_decoding", "q4", f"{answer}\nfalse_claim = float(false_claim)") == ""
    number = wire.decode(wire.encode(whole(2.0)))
    report = {1: ("a", 1.0), 2: ("b", 9.0)}
    coursework.false_claim(number, 2.0, report, {"a": 1.0, "b": 2.0})
    with pytest.raises(AssertionError, match="should be the number of a claim"):
        coursework.false_claim(1.5, 2.0, report, {"a": 1.0, "b": 2.0})


def test_two_tensors_of_one_id_are_two_keys_and_no_right_answer():
    twice = {torch.tensor(1): 0.5, torch.tensor(1.0): 0.5}
    assert not coursework.same(twice, {1: 0.5})
    assert coursework.same({torch.tensor(1): 0.5}, {1: 0.5})


@pytest.mark.parametrize(
    ("value", "wanted", "message"),
    [
        (None, list, "should return a list, not None"),
        (np.ones(2), torch.Tensor, "should return a tensor"),
        (np.True_, bool, "should return True or False"),
        (True, float, "should return a plain number"),
        (math.inf, dict, "should return a dictionary"),
    ],
)
def test_a_wrong_kind_is_said_at_the_desk(value, wanted, message):
    with pytest.raises(AssertionError, match=re.escape(message)):
        coursework.returned(value, wanted, "f")
