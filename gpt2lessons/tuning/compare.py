"""What a sweep's table says, and how sure it is: intervals per setting, gaps to a target, paired comparison.

The intervals are Student's (`student_interval`), because the units that may be taken for independent are few.
"""

import numpy as np
import pandas as pd

from gpt2lessons.metrics.intervals import student_interval
from gpt2lessons.tuning.sweep import PLACE

_SHARES = ("distinct_2", "repetition")


def summarize(table, *, objectives=None, over="texts", confidence=0.95):
    """Return one row per setting of a `sweep`'s table: mean and Student's interval of each objective.

    For the objective `perplexity` the mean is geometric, exp(mean of ln), as it is within a text. Columns: `setting`,
    the settings' values, `texts` (how many), and per objective its name, name + `_low`, name + `_high`. The intervals
    of distinct_2 and repetition end at 0 and 1, as these shares do.

    `over` names the units that count once each, and with it what the interval is about: "texts" (other samples for
    the same prompts); "prompts" (other prompts); or a list with a group for each prompt, such as its book (other
    books): prompts of one book resemble each other. `objectives` are column names (default: those of the sweep).
    Raises `ValueError` for an unknown column, for groups that are not one for each prompt, and for a single unit.
    """
    values = [name for name in table.columns if name not in {*PLACE, "text"}]
    objectives = list(table.attrs["objectives"] if objectives is None else objectives)
    _check_columns(table, objectives)
    settings = [name for name in values if name not in table.attrs["objectives"]]
    rows = []
    for number, group in table.groupby("setting"):
        row = {"setting": number} | {name: group[name].iloc[0] for name in settings} | {"texts": len(group)}
        for name in objectives:
            forward, back = _scale(name)
            data = _units(forward(group[name]), group["prompt"], over)
            low, high = student_interval(data, confidence=confidence)
            row |= {name: back(data.mean()), f"{name}_low": back(low), f"{name}_high": back(high)}
        rows.append(row)
    return pd.DataFrame(rows)


def gaps(table, target, *, objective="perplexity", over="prompts", confidence=0.95):
    """Return how far each setting lies from `target`, above (+) or below (−): `setting`, `gap`, `low`, `high`.

    `target` has one number for each prompt: what the reference text of this prompt measures. For `perplexity` a gap
    is in ln: −0.69 is half the target. The gap of a prompt is the mean over its texts minus the target; what it
    averages over, and `over`, are as in `summarize`. A mean gap of 0 says that the two agree on average, not that each
    prompt does. Raises `ValueError` for a target of another length, and as `summarize` does.
    """
    _check_columns(table, [objective])
    wanted = np.asarray(target, dtype=float)
    prompts = int(table["prompt"].max()) + 1
    if wanted.shape != (prompts,):
        raise ValueError(f"target has one number for each of the {prompts} prompts, not the shape {wanted.shape}.")
    forward = _scale(objective)[0]
    gap = forward(table[objective]) - forward(wanted[table["prompt"]])
    rows = []
    for number, values in gap.groupby(table["setting"]):
        data = _units(values, table["prompt"].loc[values.index], over)
        low, high = student_interval(data, confidence=confidence)
        rows.append({"setting": number, "gap": float(data.mean()), "low": low, "high": high})
    return pd.DataFrame(rows)


def compare(table, first, second, *, objective, over="prompts", confidence=0.95):
    """Return how much higher `objective` is for setting number `first` than for `second`: (mean, low, high).

    The difference is taken within each unit (`over`, as in `summarize`: "prompts" or groups of prompts), so that what
    a prompt does to both settings cancels; the interval is Student's over the differences. For `perplexity` all is in
    ln: 0.1 is about 10 %. A target that both share would cancel too: which of two is nearer, see `gaps`.
    Raises `ValueError` for an unknown setting, and as `summarize` does.
    """
    _check_columns(table, [objective])
    if isinstance(over, str) and over != "prompts":
        raise ValueError(f"over={over!r} is not allowed: texts of two settings are no pairs; 'prompts' or groups are.")
    means = {}
    for setting in (first, second):
        rows = table[table["setting"] == setting]
        if rows.empty:
            raise ValueError(f"there is no setting {setting!r} in the table; there are 0 to {table['setting'].max()}.")
        means[setting] = _scale(objective)[0](rows[objective]).groupby(rows["prompt"]).mean()
    difference = (means[first] - means[second]).dropna()
    data = _units(difference, difference.index.to_series(), over)
    return float(data.mean()), *student_interval(data, confidence=confidence)


def _units(values, prompts, over):
    """Return the means of `values` (a Series) over the units of `over`; `prompts` says whose each value is."""
    if isinstance(over, str):
        if over not in ("texts", "prompts"):
            raise ValueError(f"over={over!r} is not allowed: it is 'texts', 'prompts', or a group for each prompt.")
        return (values if over == "texts" else values.groupby(prompts).mean()).to_numpy()
    by_prompt, groups = values.groupby(prompts).mean(), list(over)
    if len(groups) <= by_prompt.index.max():
        raise ValueError(f"over has {len(groups)} groups, but prompts up to number {by_prompt.index.max()}.")
    return by_prompt.groupby([groups[prompt] for prompt in by_prompt.index]).mean().to_numpy()


def _scale(objective):
    """Return the functions to and from the scale on which `objective` is averaged."""
    if objective == "perplexity":
        return np.log, lambda x: float(np.exp(x))
    return (lambda x: x), (lambda x: float(np.clip(x, 0, 1))) if objective in _SHARES else float


def _check_columns(table, names):
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"the table has no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}.")
