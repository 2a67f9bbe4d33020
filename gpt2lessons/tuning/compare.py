"""What a sweep's table says, and how sure it is: intervals per setting, the Pareto front, paired comparison."""

import numpy as np
import pandas as pd

from gpt2lessons.metrics.intervals import bootstrap_interval
from gpt2lessons.tuning.sweep import PLACE


def summarize(table, *, objectives=None, over="texts", seed=0, resamples=1000, confidence=0.95):
    """Return one row per setting of a `sweep`'s table: mean and bootstrap interval of each objective.

    For the objective `perplexity` the mean is geometric, exp(mean of ln), as it is within a text. Columns: `setting`,
    the settings' values, `texts` (how many), and per objective its name, name + `_low`, name + `_high`.

    `over` says what is drawn again, and with it what the interval is about: "texts" (other samples for prompts like
    these) or "prompts" (other prompts: texts of one prompt resemble each other, so each prompt counts once, with its
    mean). `objectives` are column names (default: those of the sweep). Raises `ValueError` for an unknown column, and
    where there is only one text, or prompt, to draw from.
    """
    if over not in ("texts", "prompts"):
        raise ValueError(f"over={over!r} is not allowed: it is 'texts' or 'prompts'.")
    values = [name for name in table.columns if name not in {*PLACE, "text"}]
    objectives = list(table.attrs["objectives"] if objectives is None else objectives)
    _check_columns(table, objectives)
    settings = [name for name in values if name not in table.attrs["objectives"]]
    rows = []
    for number, group in table.groupby("setting"):
        row = {"setting": number} | {name: group[name].iloc[0] for name in settings} | {"texts": len(group)}
        for name in objectives:
            forward, back = _scale(name)
            data = forward(group[name])
            data = (data if over == "texts" else data.groupby(group["prompt"]).mean()).to_numpy()
            low, high = bootstrap_interval(data, seed=seed, resamples=resamples, confidence=confidence)
            row |= {name: back(data.mean()), f"{name}_low": back(low), f"{name}_high": back(high)}
        rows.append(row)
    return pd.DataFrame(rows)


def pareto_front(table, *, maximize=(), minimize=()):
    """Return, for each row of `table`, whether no other row is at least as good everywhere and better somewhere.

    `maximize` and `minimize` are column names; the result is a boolean Series with the table's index. Raises
    `ValueError` if there is nothing to compare by, or a value is nan.
    """
    names = [*maximize, *minimize]
    if not names:
        raise ValueError("name at least one column to maximize or minimize.")
    _check_columns(table, names)
    points = np.column_stack([table[n] for n in maximize] + [-table[n] for n in minimize]).astype(float)
    if np.isnan(points).any():
        raise ValueError("a point with nan can be neither better nor worse: leave such rows out.")
    better = (points[None] >= points[:, None]).all(-1) & (points[None] > points[:, None]).any(-1)
    return pd.Series(~better.any(1), index=table.index, name="on_front")


def compare(table, first, second, *, objective, target=None, seed=0, resamples=1000, confidence=0.95):
    """Return how much higher `objective` is for setting number `first` than for `second`: (mean, low, high).

    The mean over a prompt's texts is taken for each setting, then the difference prompt by prompt, and prompts are
    resampled: the interval is about new prompts of the same kind. For `perplexity` all is in ln: 0.1 is about 10 %.

    With `target`, a number or one for each prompt (what people's texts measure), it is the distance that is compared:
    how much farther from its target, whichever side, the mean of `first` lies than that of `second`; below 0 means
    that `first` is nearer. Raises `ValueError` for an unknown setting, fewer than 2 prompts, or a target of another
    length.
    """
    _check_columns(table, [objective])
    forward = _scale(objective)[0]
    data = table.assign(value=forward(table[objective]))
    means = data.pivot_table(index="prompt", columns="setting", values="value", aggfunc="mean")
    for setting in (first, second):
        if setting not in means:
            raise ValueError(f"there is no setting {setting!r} in the table; there are 0 to {means.columns.max()}.")
    pair = means[[first, second]].dropna()
    if target is None:
        values, difference = (pair[first] - pair[second]).to_numpy(), np.mean
    else:
        prompts = int(data["prompt"].max()) + 1
        if np.ndim(target) and len(target) != prompts:
            raise ValueError(f"target is one number, or one for each of the {prompts} prompts, not {len(target)}.")
        wanted = np.broadcast_to(np.asarray(target, dtype=float), prompts)
        values = pair.to_numpy() - forward(wanted[pair.index])[:, None]
        difference = _farther
    low, high = bootstrap_interval(
        values, lambda rows: float(difference(rows)), seed=seed, resamples=resamples, confidence=confidence
    )
    return float(difference(values)), low, high


def _farther(gaps):
    """Return |mean gap| of the first column of `gaps` (prompts, 2) minus that of the second."""
    return np.subtract(*np.abs(gaps.mean(0)))


def _scale(objective):
    """Return the functions to and from the scale on which `objective` is averaged."""
    return (np.log, lambda x: float(np.exp(x))) if objective == "perplexity" else (lambda x: x, float)


def _check_columns(table, names):
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"the table has no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}.")
