"""The figures of the evaluation lesson: what is drawn is what was given."""

import math

import matplotlib
import matplotlib.pyplot as plt
import pytest

from gpt2lessons.plots import evaluation

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_surprisal_draws_every_token_with_its_bits_and_class():
    ax = evaluation.plot_surprisal(["Once", " $5", " x", " y"], [None, 0.5, 13.25, math.inf])
    assert [t for t in texts(ax) if t in ("–", "0.5", "13.2", "∞")] == ["–", "0.5", "13.2", "∞"]
    assert "␣\\$5" in texts(ax)
    colours = [matplotlib.colors.to_hex(p.get_facecolor()).upper() for p in ax.patches]
    assert colours == ["#FFFFFF", "#F2F2F2", "#EE8A5F", "#EE8A5F"]
    shown = [t.get_text() for t in ax.get_legend().get_texts()]
    assert shown == ["not predicted", "up to 1 bit (p ≥ 1/2)", "more than 12 bits"]


@pytest.mark.parametrize(("bits", "name"), [(1, "up to 1 bit"), (1.01, "up to 4"), (12, "up to 12"), (12.1, "more")])
def test_surprisal_classes_include_their_upper_limit(bits, name):
    assert evaluation.surprisal_class(bits)[1].startswith(name)


def test_long_texts_wrap_and_no_box_overlaps_another():
    ax = evaluation.plot_surprisal([" something"] * 40, [3.0] * 40)
    boxes = [(p.get_x(), p.get_x() + p.get_width(), p.get_y()) for p in ax.patches]
    assert len({y for *_, y in boxes}) > 1
    assert max(right for _, right, _ in boxes) <= ax.get_xlim()[1]
    for i, (left, right, y) in enumerate(boxes):
        assert all(right <= a or b <= left or y != z for a, b, z in boxes[:i])


def test_perplexities_are_points_with_intervals():
    ax = evaluation.plot_perplexities(["a", "b"], [10, 1234.4], intervals=[(5, 20), None], marked=["b"])
    assert [tuple(line.get_xdata()) for line in ax.lines] == [(5, 20), (10,), (1234.4,)]
    assert ax.get_xscale() == "log"
    assert texts(ax) == ["10", "1,234"]
    assert [line.get_marker() for line in ax.lines[1:]] == ["o", "D"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_context_draws_one_line_per_label():
    ax = evaluation.plot_context([4, 8], {"one": [9, 7], "two": [8, 6]})
    assert [list(line.get_ydata()) for line in ax.lines] == [[9, 7], [8, 6]]
    assert "tokens" in ax.get_xlabel()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_overlap_marks_shared_ngrams_by_more_than_colour(n):
    candidate, reference = ["a", "b", "c", "d"], ["a", "b", "c", "x", "y"]
    spans = [True] * (4 - n) + [False], [True] * (4 - n) + [False] * 2
    ax = evaluation.plot_overlap(candidate, reference, spans, n=n)
    assert texts(ax).count("✓") == 2 * (4 - n)
    widths = [line.get_linewidth() for line in ax.lines]
    assert sorted(set(widths)) == [1.5, 9]
    assert widths.count(9) == 2 * (4 - n)


def test_gaps_draw_a_panel_per_measure_with_intervals_and_the_target_at_zero():
    gaps = {m: {"greedy": (i, i - 1, i + 2), "pure": (-i, -i - 1, 0)} for i, m in enumerate("pqr", 1)}
    axes = evaluation.plot_differences(gaps, zero="people")
    assert [ax.get_xlabel() for ax in axes.flat[:3]] == [f"{m}, minus people" for m in "pqr"]
    assert not axes.flat[3].axison
    zero, *lines = axes.flat[1].lines
    assert list(zero.get_xdata()) == [0, 0]
    assert [list(line.get_xdata()) for line in lines] == [[1, 4], [2], [-3, 0], [-2]]
    assert [t.get_text() for t in axes.flat[0].get_yticklabels()] == ["greedy", "pure"]


def test_shares_have_counts_intervals_and_chance():
    ax = evaluation.plot_shares(["x", "y"], [3, 0], [4, 4], [(0.3, 0.95), (0, 0.49)], chance=0.25)
    assert texts(ax) == ["3 of 4", "0 of 4"]
    assert [line.get_xdata()[0] for line in ax.lines] == [0.3, 0.75, 0, 0, 0.25]


def test_functions_draw_into_the_axes_they_are_given():
    _, (left, right) = plt.subplots(1, 2)
    assert evaluation.plot_perplexities(["a"], [2], ax=left) is left
    assert evaluation.plot_overlap(["a"], ["a"], ([True], [True]), ax=right) is right
