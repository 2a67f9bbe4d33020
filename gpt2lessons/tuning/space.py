"""The settings that a search tries: a grid, or points drawn at random."""

import itertools
import math

import numpy as np

from gpt2lessons.decoding.processors import SETTINGS

# what each setting is when it does nothing, as a row of a batch
OFF = {each.name: each.neutral for each in SETTINGS.values()}


class SearchSpace:
    """The settings to try: for each name of `OFF` a list of values, or a tuple (low, high) to draw from.

    `SearchSpace(temperature=[0.7, 1.0], top_p=[0.9, None])` has four settings; None turns a filter off. Raises
    `ValueError` for an unknown name, an empty list, or a value that the filter does not allow.
    """

    def __init__(self, **values):
        if not values:
            raise ValueError(f"a search space needs at least one of: {', '.join(OFF)}.")
        for name, choices in values.items():
            if name not in OFF:
                raise ValueError(f"{name} cannot be searched; what can: {', '.join(OFF)}.")
            if not isinstance(choices, list | tuple) or not choices:
                raise ValueError(
                    f"{name}={choices!r} is not allowed: give a list of values, such as {name}=[{OFF[name]}]."
                )
            if isinstance(choices, tuple) and (len(choices) != 2 or not choices[0] < choices[1]):
                raise ValueError(f"{name}={choices!r} is not a range (low, high); for single values write a list.")
            for value in choices:
                SETTINGS[name].check(value)
        self.values = values

    def grid(self):
        """Return every combination of the listed values, as a list of dicts."""
        ranges = [name for name, choices in self.values.items() if isinstance(choices, tuple)]
        if ranges:
            raise ValueError(f"{ranges[0]} is a range and has no grid: give a list of values, or use sample(n).")
        return [dict(zip(self.values, row, strict=True)) for row in itertools.product(*self.values.values())]

    def sample(self, n, *, seed=0):
        """Return `n` settings drawn at random: uniformly from each list or range, on a log scale for temperature.

        Bergstra & Bengio 2012, "Random search for hyper-parameter optimization": few dimensions matter, and random
        points try more values of each than a grid of the same size.
        """
        if n < 1:
            raise ValueError(f"n={n} is not allowed: draw at least one setting.")
        rng = np.random.default_rng(seed)
        return [{name: _draw(rng, name, choices) for name, choices in self.values.items()} for _ in range(n)]


def describe(setting):
    """Return a setting (a dict, or a row of a sweep's table) in short, such as "k 25, p 0.8, T 0.7".

    What is off is left out; "no filter" is what remains of nothing.
    """
    order = ("top_k", "top_p", *(name for name in OFF if name not in ("top_k", "top_p", "temperature")), "temperature")
    parts = []
    for name in order:
        value = setting.get(name)
        if value is not None and value == value and value != OFF[name]:  # nan is pandas' word for "off"
            parts.append(f"{SETTINGS[name].short} {value:g}")
    return ", ".join(parts) or "no filter"


def _draw(rng, name, choices):
    if isinstance(choices, list):
        return choices[rng.integers(len(choices))]
    low, high = choices
    if name == "top_k":
        return int(rng.integers(low, high + 1))
    if name == "temperature":
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return rng.uniform(low, high)
