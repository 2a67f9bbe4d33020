"""The figures of lesson 07: every dot at its rank, the tokens beyond the cut told apart, every interval as given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gpt2lessons.plots import top_k as plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def dots(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_ranks_stand_at_their_tokens_and_those_beyond_the_cut_are_diamonds_with_a_number():
    ax = plots.plot_ranks(["a", " b", "\n", "c"], torch.tensor([1, 1458, 50, 51]), 50)
    cut, within, beyond = ax.lines
    assert set(cut.get_ydata()) == {50}
    assert dots(within) == [(0, 1), (2, 50)], "rank 50 is within"
    assert dots(beyond) == [(1, 1458), (3, 51)]
    assert within.get_marker() != beyond.get_marker()
    assert [t.get_text() for t in ax.texts] == ["rank 50", "1,458", "51"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "␣b", "⏎", "c"]
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel()
    ax.figure.canvas.draw()


def test_ranks_without_any_beyond_the_cut():
    ax = plots.plot_ranks(["a"], [2], 50)
    assert [t.get_text() for t in ax.texts] == ["rank 50"]
    assert ax.get_ylim()[1] > 50, "the line is seen"


def test_one_rank_per_token():
    with pytest.raises(ValueError, match="2 tokens need 2 ranks"):
        plots.plot_ranks(["a", "b"], [1], 50)


def test_shares_have_their_means_and_intervals():
    curves = {"first": ([0.5, 0.2], [0.4, 0.1], [0.7, 0.25]), "second": ([0.0, 0.3], [0.0, 0.2], [0.0, 0.4])}
    given = plt.figure().add_subplot()
    ax = plots.plot_shares([1, 50], curves, ax=given)
    assert ax is given
    for (mean, low, high), drawn in zip(curves.values(), ax.containers, strict=True):
        line, _, (bars,) = drawn.lines
        assert dots(line) == [(1, mean[0]), (50, mean[1])]
        ends = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, np.stack([low, high], 1))
    assert len({line.get_marker() for line in ax.lines[::3]}) == 2
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "50"]
    assert ax.get_ylim()[0] == 0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["first", "second"]
