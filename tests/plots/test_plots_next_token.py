"""The figures of lesson 03 show the numbers they are given, and survive tokens that trip fonts or mathtext."""

import itertools

import matplotlib.pyplot as plt
import pytest
import torch

from gpt2lessons.plots import next_token as plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_bars_are_the_probabilities_and_the_chosen_one_is_marked_by_more_than_colour():
    ax = plots.plot_next_token([" a", "\n", "$"], torch.tensor([0.5, 0.3, 0.2]), chosen=1)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.5, 0.3, 0.2])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["␣a", "⏎", r"\$"]
    assert ["chosen" in t for t in texts(ax)] == [False, True, False]
    assert ax.get_xlabel()


def test_the_text_grows_by_the_chosen_candidates():
    ax = plots.plot_growing_text("Once", [[" upon", " a"], [" the", " a"]], [[0.9, 0.1], [0.6, 0.4]], [0, 1])
    assert "Once" in texts(ax)
    assert "Once␣upon" in texts(ax)
    assert [t for t in texts(ax) if t.startswith("▸ ")] == ["▸ ␣upon  0.90", "▸ ␣a  0.40"]


def test_a_long_context_is_cut_on_the_left():
    ax = plots.plot_growing_text("x" * 100, [["a"]], [[1.0]], [0])
    assert "…" + "x" * 29 in texts(ax)


def test_costs_are_drawn_from_zero_with_their_unit():
    ax = plots.plot_cost([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], unit="seconds")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 2, 3], [1, 1, 1]]
    assert ax.get_ylim()[0] == 0
    assert "seconds" in ax.get_ylabel()
    assert len({line.get_marker() for line in ax.lines}) == 2


def test_surprisal_bars_and_entropy_line():
    ax = plots.plot_surprise([" a", "$"], torch.tensor([1.0, 2.0]), [0.5, 1.5])
    assert [bar.get_height() for bar in ax.patches] == [1, 2]
    assert list(ax.lines[0].get_ydata()) == [0.5, 1.5]
    ax.figure.canvas.draw()


def test_each_text_is_a_point_and_the_diagonal_is_labelled():
    ax = plots.plot_own_surprise({"greedy": (torch.tensor([2.0, 3.0]), [1.0, 1.5]), "sampled": ([2.5], [2.4])})
    points = [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines]
    assert points[0] == ([2.0, 3.0], [1.0, 1.5])
    assert points[1] == ([2.5], [2.4])
    assert points[2][0] == points[2][1]
    assert len({line.get_marker() for line in ax.lines[:2]}) == 2
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[1] > 3
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["greedy", "sampled", "as surprising as expected"]


@pytest.mark.parametrize(
    ("rank", "label"),
    [(1, "most probable"), (2, "2 to 10"), (10, "2 to 10"), (11, "11 to 100"), (100, "11 to 100"), (101, "beyond 100")],
)
def test_rank_classes_have_exact_limits(rank, label):
    assert plots.rank_class(rank)[1] == label


def test_every_token_of_a_trace_stands_with_its_rank_and_lines_do_not_overflow():
    tokens, ranks = [" word", "$", "\n", "x" * 30] * 10, [1, 20, 3000, 4] * 10
    ax = plots.plot_trace(tokens, ranks, columns=50)
    assert texts(ax)[::2] == ["␣word", r"\$", "⏎", "x" * 30] * 10
    assert texts(ax)[1::2] == ["1", "20", "3,000", "4"] * 10
    boxes = sorted((round(r.get_y(), 2), r.get_x(), r.get_x() + r.get_width()) for r in ax.patches)
    assert all(end <= 51 for *_, end in boxes)
    for (line, _, end), (next_line, start, _) in itertools.pairwise(boxes):
        assert line != next_line or end <= start + 1e-9
    ax.figure.canvas.draw()


def test_plots_draw_into_the_axes_they_are_given():
    ax = plt.subplots()[1]
    assert plots.plot_next_token(["a"], [1.0], ax=ax) is ax
    assert plots.plot_cost([1], [1], unit="s", ax=ax) is ax
    assert plots.plot_trace(["a"], [1], ax=ax) is ax
