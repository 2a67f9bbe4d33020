"""The figures of lesson 10 show the numbers that they are given, in the right place and order."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gpt2lessons.plots import tuning


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def labels(axis):
    return [t.get_text() for t in axis.get_ticklabels()]


def test_grid_writes_every_score_into_its_cell_and_leaves_gaps():
    scores = {(0, 0.8, 0.7): 9.18, (0, 0.9, 0.7): 15.6, (0, 0.9, 1.0): 38.0, (25, 0.8, 0.7): 7.07}
    axes = tuning.plot_grid(scores, mark=(25, 0.8, 0.7))
    shown = [{t.get_position(): t.get_text() for t in ax.texts} for ax in axes]
    assert shown[0] == {(0, 0): "9.18", (1, 0): "–", (0, 1): "15.6", (1, 1): "38"}
    assert shown[1] == {(0, 0): "7.07", (1, 0): "–", (0, 1): "–", (1, 1): "–"}
    assert [ax.get_title(loc="left") for ax in axes] == ["top_k off", "top_k 25"]
    assert [len(ax.patches) for ax in axes] == [0, 1]


def test_gaps_show_each_point_with_its_interval_and_the_margin():
    lines = {"no filter": ([-1.0, 0.5], [-1.5, 0.0], [-0.5, 0.75]), "p 0.9": ([-2.0, 0.0], [-2.5, -1.0], [-1.5, 1.0])}
    ax = tuning.plot_gaps([0.7, 1.3], lines, margin=0.4, marks={"announced": (0.7, -1.9)})
    first, second = ax.containers
    assert first[0].get_ydata().tolist() == [-1, 0.5]
    segments = [segment[:, 1].tolist() for segment in second[2][0].get_segments()]
    assert segments == [[-2.5, -1.5], [-1, 1]]
    assert abs(first[0].get_xdata() - [0.7, 1.3]).max() < 0.02
    band = ax.patches[0]
    assert (band.get_y(), band.get_y() + band.get_height()) == (-0.4, 0.4)
    assert ax.lines[-1].get_xydata().tolist() == [[0.7, -1.9]]
    assert [t.get_text() for t in ax.get_legend().get_texts()].count("announced") == 1
    assert labels(ax.xaxis) == ["0.7", "1.3"]


def test_curse_joins_each_score_with_its_own_later_mean():
    ax = tuning.plot_curse([5.0, 3.0], [6.0, 7.0])
    segments = {tuple(segment[:, 0]) for segment in ax.collections[0].get_segments()}
    assert segments == {(3.0, 7.0), (5.0, 6.0)}
    assert ax.lines[0].get_xdata().tolist() == [3, 5]


def test_settings_lie_where_their_numbers_say_and_the_star_is_the_reference():
    ax = tuning.plot_settings(["c", "a", "b"], [30.0, 3.0, 10.0], [0.9, 0.5, 0.4], human=(40, 0.95))
    assert ax.lines[0].get_xydata().tolist() == [[30, 0.9], [3, 0.5], [10, 0.4]]
    assert ax.lines[1].get_xydata().tolist() == [[40, 0.95]]


def test_the_chosen_setting_is_ringed_and_named_in_the_legend():
    ax = tuning.plot_settings(["c", "a"], [30.0, 3.0], [0.9, 0.5], chosen="a")
    ring = ax.lines[-1]
    assert ring.get_xydata().tolist() == [[3, 0.5]]
    assert ring.get_markerfacecolor() == "none"
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "a"
    assert not ax.texts


def test_temperature_curve_marks_its_minimum():
    ax = tuning.plot_temperature_curve([0.5, 1.0, 1.5], [9.0, 4.0, 6.0])
    assert ax.lines[1].get_xydata().tolist() == [[1, 4]]
    assert ax.texts[0].get_text() == "T = 1.00: 4"


def test_ticks_are_plain_numbers():
    ax = tuning.plot_curse([10, 100], [11, 110])
    assert "log scale" in ax.get_xlabel()
    assert {"10", "100"} <= set(labels(ax.xaxis))
    assert all(np.isfinite(float(text)) for text in labels(ax.xaxis))
