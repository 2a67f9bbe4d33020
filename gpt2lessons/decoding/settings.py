"""What a decoding setting is, and the one table of them all.

A setting is declared where its function stands: by the line `@setting(…)` above it in `processors`.
Everything else (generation, beam search, speculation, tuning, widgets, tests) reads the table. Its
order is the order of the functions in `processors`, which is the order in which they are applied.
"""

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from gpt2lessons.decoding.arguments import check_ids, check_logits, read_column, read_number

_Function = TypeVar("_Function", bound=Callable)
SETTINGS = {}  # name -> Setting; full once `processors` is imported, so take it from there

_ELSEWHERE = {
    "max_length": "It counted prompt and new tokens together; say max_new_tokens.",
    "max_time": "A text must not depend on how fast a machine is; say max_new_tokens, or end it with stop=….",
    "seed": "Give generator=torch.Generator().manual_seed(seed), or use generate_text.",
    "num_beams": "Beams are searched by beam_search.",
    "typical": "It is called typical_p.",
    "epsilon_cutoff": "It is called epsilon here.",
    "eta_cutoff": "It is called eta here.",
    "logits_processor": "A list of functions goes to processors=[…].",
}


@dataclass(frozen=True)
class Rule:
    """Which values a setting takes: `valid` says so to the machine, `allowed` to the reader."""

    name: str
    allowed: str
    valid: Callable
    whole: bool = False
    if_zero: str = ""


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    `name`: the keyword of `generate`; `function`: its processor, checked; `neutral`: the value that
    does nothing; `optional`: whether None does nothing too; `short`: its name in tables; `sampling`:
    whether it needs `do_sample=True`; `reads_ids`: whether it looks at the text so far.
    """

    name: str
    function: Callable
    neutral: float
    optional: bool
    short: str
    sampling: bool
    reads_ids: bool

    def apply(self, logits, input_ids, value):
        """Return the logits (B, V) after this setting; `input_ids` (B, T) is the text so far."""
        if self.reads_ids:
            return self.function(logits, input_ids, value)
        return self.function(logits, value)

    def is_off(self, value):
        """Whether `value` does nothing; a tensor counts as on."""
        if isinstance(value, torch.Tensor):
            return False
        return value == self.neutral or (self.optional and value is None)

    def check(self, value, rows=1):
        """Raise `ValueError` or `TypeError` unless `value` is allowed for a batch of `rows` texts."""
        dummy = torch.zeros(rows, 2, device="cpu")
        self.apply(dummy, dummy.new_zeros(rows, 1, dtype=torch.long), value)


def setting(
    name,
    *,
    allowed,
    valid,
    neutral,
    whole=False,
    optional=True,
    if_zero="",
    short=None,
    sampling=True,
):
    """Declare the function below as a setting: check what it is given, skip it where it does nothing.

    The function may then rely on good logits (B, V), and on a value that is one number, or a tensor
    (B, 1) with one value per row, in which rows with the neutral value come out unchanged.
    """
    rule = Rule(name, allowed, valid, whole, if_zero)

    def declare(function):
        signature = inspect.signature(function)
        reads_ids = "input_ids" in signature.parameters

        @functools.wraps(function)
        def checked(*args, **kwargs):
            logits, *ids, value = signature.bind(*args, **kwargs).args
            check_logits(logits)
            if reads_ids:
                check_ids(logits, *ids)
            if value is None and optional:
                return logits.clone()
            if isinstance(value, torch.Tensor) and value.ndim > 0:
                value = read_column(value, rule, logits)
                return torch.where(value == neutral, logits, function(logits, *ids, value))
            value = read_number(value.item() if isinstance(value, torch.Tensor) else value, rule)
            return logits.clone() if value == neutral else function(logits, *ids, value)

        SETTINGS[name] = Setting(name, checked, neutral, optional, short or name, sampling, reads_ids)
        return checked

    return declare


def active_settings(given, *, rows=1, do_sample=True, names=None):
    """Return [(Setting, value)] of the settings in `given` {name: value} that do something, in order.

    `rows` is the size of the batch that a tensor has to fit; `names` restricts what is known. Raises
    `TypeError` for an unknown name, `ValueError` or `TypeError` for a value that is not allowed, and
    `ValueError` for a sampling setting without `do_sample`.
    """
    known = list(SETTINGS) if names is None else names
    for name in given:
        if name not in known:
            raise TypeError(f"{name} is not a setting here. {_advice(name, known)}")
    active = []
    for name in known:
        if name not in given:
            continue
        SETTINGS[name].check(given[name], rows)
        if not SETTINGS[name].is_off(given[name]):
            active.append((SETTINGS[name], given[name]))
    useless = [each.name for each, _ in active if each.sampling]
    if useless and not do_sample:
        raise ValueError(
            f"{useless[0]} was set, but greedy search (do_sample=False) always takes the most "
            f"probable token, so it would do nothing. Add do_sample=True, or leave "
            f"{', '.join(useless)} out."
        )
    return active


def _advice(name, known):
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Settings: {', '.join(known)}."


def with_advice(function: _Function) -> _Function:
    """Let the function below say what to write in place of an argument that other libraries have."""
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def called(*args, **kwargs):
        for name in kwargs:
            if name in _ELSEWHERE and name not in known:
                raise TypeError(f"{name} is not a setting here. {_ELSEWHERE[name]}")
        return function(*args, **kwargs)

    return called


def with_signature(*, sampling: bool | None = None) -> Callable[[_Function], _Function]:
    """Give the function below, which takes `**settings`, a signature that lists them for editors."""

    def sign(function):
        own = inspect.signature(function)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.neutral)
            for each in SETTINGS.values()
            if sampling is None or each.sampling == sampling
        ]
        function.__signature__ = own.replace(parameters=[*kept, *more])
        return function

    return sign
