"""The figures of lesson 04 show the numbers they are given."""

import matplotlib.pyplot as plt
import pytest
import torch

from gpt2lessons.plots import loops as plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_the_map_shows_every_probability_in_its_place():
    ax = plots.plot_phrase([" a", "$"], [[0.5, 0.001], [0.9, 0.25]])
    assert texts(ax) == ["0.50", "<.01", "0.90", "0.25"]
    assert ax.images[0].get_array().tolist() == [[0.5, 0.001], [0.9, 0.25]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["␣a", r"\$"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1", "2"]


def test_the_chosen_probabilities_and_where_the_phrase_begins():
    ax = plots.plot_chosen([0.1, 0.2, 0.3], starts=[2, 3])
    assert [line.get_xdata()[0] for line in ax.lines[:-1]] == [2, 3]
    assert list(ax.lines[-1].get_ydata()) == [0.1, 0.2, 0.3]
    assert plots.plot_chosen([0.5]).get_legend() is None


def test_a_price_stands_beside_both_tokens():
    ax = plots.plot_ban([3, 7], [" a", "$"], [" b", "\n"], [0.5, 2.25])
    assert [bar.get_width() for bar in ax.patches] == [0.5, 2.25]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["step 3:  ␣a", r"step 7:  \$"]
    assert texts(ax) == [" 0.50   → ␣b", " 2.25   → ⏎"]


def test_a_ban_that_never_bites_draws_an_empty_figure():
    ax = plots.plot_ban([], [], [], [])
    ax.figure.canvas.draw()
    assert not ax.patches


def test_paths_are_sorted_and_marked():
    ax = plots.plot_paths(["a", "b", "c"], [0.2, 0.5, 0.3], {"b": "best", "c": "greedy"})
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "c", "a"]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.3, 0.2]
    assert texts(ax) == [" 0.500  ◀ best", " 0.300  ◀ greedy", " 0.200"]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [True, True, False]


def test_every_head_has_its_share_in_its_place():
    ax = plots.plot_heads(torch.tensor([[0.1, 0.75], [0.0, 1.0], [0.5, 0.25]]))
    assert texts(ax) == ["0.10", "0.75", "0.00", "1.00", "0.50", "0.25"]
    assert ax.texts[1].get_position() == (1, 0)
    assert ax.images[0].get_clim() == (0, 1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("head", "layer")
