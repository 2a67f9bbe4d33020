"""The tuning explorer: what is chosen is what is read, points lie where their numbers say, all text is escaped."""

import base64
import math
import re

import pandas as pd
import pytest

from gpt2lessons.tuning import describe, sweep
from gpt2lessons.widgets import TuningExplorer


def hand_made(text="once"):
    rows = []
    for number, (temperature, perplexity, distinct) in enumerate([(1.0, 40.0, 0.9), (0.7, 5.0, 0.6), (0.8, 20.0, 0.5)]):
        for sample in range(2):
            words = f"{text} s{number} t{sample}"
            rows.append((0, sample, number, words, perplexity * (1 + sample / 10), distinct, temperature))
    columns = ["prompt", "sample", "setting", "text", "perplexity", "distinct_2", "temperature"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["objectives"] = ["perplexity", "distinct_2"]
    return table


def test_settings_stand_in_the_order_of_their_perplexity():
    widget = TuningExplorer(hand_made())
    assert [name for name, _ in widget.setting.options] == ["T 0.7", "T 0.8", "no filter"]


def test_choosing_a_setting_and_a_text_shows_that_text():
    widget = TuningExplorer(hand_made(), prompts=["The <king>"])
    assert "once s1 t0" in widget.view.value
    widget.setting.value = 1
    widget.text.value = 2
    assert "once s2 t1" in widget.view.value
    assert "The &lt;king&gt;" in widget.view.value
    assert f"{math.sqrt(20 * 22):.3g}" in widget.view.value  # the geometric mean


def test_the_slider_ends_with_the_settings_texts():
    table = hand_made()
    table = table[(table["setting"] != 1) | (table["sample"] == 0)].copy()
    with pytest.raises(ValueError, match="at least 2 values"):
        TuningExplorer(table)
    widget = TuningExplorer(hand_made())
    assert widget.text.max == 2


def test_points_lie_where_their_numbers_say():
    widget = TuningExplorer(hand_made(), human=(60.0, 0.95))
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="5"', widget.view.value)
    x, y = zip(*(map(float, c) for c in circles), strict=True)
    assert list(x) == sorted(x)  # the lowest perplexity first
    assert y[2] < y[0] < y[1]  # more distinct is higher up, and SVG counts downwards
    logs = [math.log(p * math.sqrt(1.1)) for p in (5, 20, 40)]
    assert math.isclose((x[1] - x[0]) / (x[2] - x[0]), (logs[1] - logs[0]) / (logs[2] - logs[0]), abs_tol=0.01)
    star = re.search(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle" font-size="22"', widget.view.value)
    assert float(star[1]) > x[2]


def test_the_axis_has_plain_numbers_where_they_belong():
    view = TuningExplorer(hand_made(), human=(60.0, 0.95)).view.value
    ticks = {float(s): float(x) for x, s in re.findall(r'<text x="([\d.]+)" y="280" text-anchor="middle">(\d+)<', view)}
    first = float(re.search(r'<circle cx="([\d.]+)"', view)[1])
    star = float(re.search(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle" font-size="22"', view)[1])
    low = math.log(5 * math.sqrt(1.1))
    assert {10, 20} <= ticks.keys()
    for value, place in ticks.items():
        expected = (math.log(value) - low) / (math.log(60) - low)
        assert math.isclose((place - first) / (star - first), expected, abs_tol=0.001)


def test_the_key_names_the_star_only_where_there_is_one():
    assert "reference texts" not in TuningExplorer(hand_made()).view.value
    assert "★ reference texts" in TuningExplorer(hand_made(), human=(60.0, 0.95)).view.value


def test_model_text_is_escaped():
    widget = TuningExplorer(hand_made("<script>alert(1)</script>"), prompts=["<b>"])
    assert "<script>" not in widget.view.value
    assert "&lt;script&gt;" in widget.view.value


def test_picture_and_summary():
    widget = TuningExplorer(hand_made(), human=(60.0, 0.95), setting="T 0.8")
    data = widget._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert base64.b64decode(data["image/png"])[:4] == b"\x89PNG"
    assert repr(widget) == "TuningExplorer: 3 settings; T 0.8: perplexity 21, distinct-2 0.500"


def test_it_takes_a_real_sweep(mini):
    settings = [{"top_k": 3}, {"top_p": 0.9}]
    table = sweep(mini, settings, ["Once", "The"], samples_per_setting=1, max_new_tokens=3, progress=False)
    widget = TuningExplorer(table, prompts=["Once", "The"], setting=describe(settings[1]))
    assert widget.names[widget.setting.value] == "p 0.9"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"setting": "T 9"}, "no setting 'T 9'; there are: T 0.7; T 0.8; no filter"),
        ({"prompts": []}, "there are 0 prompts"),
    ],
)
def test_bad_input_says_what_there_is(change, message):
    with pytest.raises(ValueError, match=message):
        TuningExplorer(hand_made(), **change)
    with pytest.raises(ValueError, match="no column 'distinct_2'"):
        TuningExplorer(hand_made().drop(columns="distinct_2"))
