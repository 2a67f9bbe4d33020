"""The figures of lessons 08 and 09: what is drawn is what was given, labelled, and never told apart by colour alone."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gpt2lessons.plots import filters

TOKENS, SIZES = [" a", "\n", "$x"], torch.tensor([1, 2, 40])
CANDIDATES = [[" a", " b"], ["x", "\n"], ["y", "averylongtoken"]]
NAN = float("nan")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_nuclei_hatch_what_is_outside_and_frame_the_token_of_the_text():
    ax = filters.plot_nuclei(TOKENS, CANDIDATES, SIZES)
    hatched = [(p.get_x() + 0.47, p.get_y() + 0.45) for p in ax.patches if p.get_hatch()]
    np.testing.assert_allclose(hatched, [(0, 1)], atol=1e-9)  # only the second candidate of the first step
    framed = [(p.get_x() + 0.47, p.get_y() + 0.45) for p in ax.patches if not p.get_fill()]
    np.testing.assert_allclose(framed, [(0, 0), (1, 1)], atol=1e-9)  # the third token is not among the candidates


def test_nuclei_count_what_there_is_no_room_for():
    ax = filters.plot_nuclei(TOKENS, CANDIDATES, SIZES)
    assert texts(ax) == ["␣a", "␣b", "", "x", "⏎", "", "y", "averylong…", "+ 38"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["␣a\n1", "⏎\n2", "\\$x\n40"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_counts_are_drawn_on_a_log_scale_with_different_lines_and_markers():
    ax = filters.plot_counts(TOKENS, {"k": [50, 50, 50], "p": [1, 20, 300]})
    assert ax.get_yscale() == "log"
    assert "log" in ax.get_ylabel()
    assert [list(line.get_ydata()) for line in ax.lines] == [[50, 50, 50], [1, 20, 300]]
    assert len({line.get_linestyle() for line in ax.lines}) == len({line.get_marker() for line in ax.lines}) == 2
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["k", "p"]


def test_cumulative_curves_end_at_one_and_are_marked_where_the_filters_cut():
    flat, sharp = torch.full((8,), 1 / 8), torch.tensor([0.0, 0.0, 0.75, 0.125, 0.0, 0.125, 0.0, 0.0])
    ax = filters.plot_cumulative({"flat": flat, "sharp": sharp}, k=2, p=0.5, title="two")
    curves = [line.get_ydata() for line in ax.lines[:2]]
    np.testing.assert_allclose(curves[0], np.arange(1, 9) / 8)
    np.testing.assert_allclose(curves[1], [0.75, 0.875, 1, 1, 1, 1, 1, 1])
    assert ax.get_xscale() == "log"
    marks = [tuple(found.get_offsets()[0].tolist()) for found in ax.collections]
    assert marks == [(2, 0.25), (4, 0.5), (2, 0.875), (1, 0.75)]  # k and p of each curve
    assert [line.get_xdata()[0] for line in ax.lines[2:3]] == [2]
    assert [line.get_ydata()[0] for line in ax.lines[3:]] == [0.5]
    assert ax.get_ylim()[1] < 1.05
    assert ax.get_legend().get_title().get_text() == "two"


def test_cumulative_that_never_reaches_p_is_marked_at_its_end():
    ax = filters.plot_cumulative({"rounded": [0.5, 0.25, 0.125]}, k=1, p=0.9)
    assert ax.collections[1].get_offsets()[0].tolist() == [3, 0.875]


@pytest.mark.parametrize(("name", "columns"), [("short", 2), ("a name that is far too long " * 3, 1)])
def test_cumulative_legend_is_no_wider_than_its_axes(name, columns):
    ax = filters.plot_cumulative({name + "1": [0.5, 0.5], name + "2": [0.5, 0.5]}, k=1, p=0.5)
    assert ax.get_legend()._ncols == columns
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().width <= ax.figure.bbox.width


def test_probabilities_of_tokens_have_a_panel_for_each_text():
    upper, lower = filters.plot_token_probs({"a": torch.tensor([0.5, 0.25]), "b": [1, 0]})
    assert [bar.get_height() for bar in upper.patches] == [0.5, 0.25]
    assert [bar.get_height() for bar in lower.patches] == [1, 0]
    assert [ax.get_title("left") for ax in (upper, lower)] == ["a", "b"]
    assert lower.get_ylim() == (0, 1)


def test_kept_tokens_are_drawn_over_settings_on_a_log_scale():
    ax = filters.plot_kept([1, 2], {"p": [3, 300], "m": [2, 4]}, label="temperature")
    assert [list(line.get_ydata()) for line in ax.lines] == [[3, 300], [2, 4]]
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    assert (ax.get_yscale(), ax.get_xlabel(), list(ax.get_xticks())) == ("log", "temperature", [1, 2])


def test_survivors_show_each_probability_and_a_cross_for_none():
    ax = filters.plot_survivors(["cat", " dog"], {"model": [0.6, 0.4], "top_k=1": torch.tensor([1.0, 0.0])}, title="t")
    assert texts(ax) == [".600", ".400", "1", "✗"]
    assert sum(bool(p.get_hatch()) for p in ax.patches) == 1
    assert [t.get_text() for t in ax.get_yticklabels()] == ["model", "top_k=1"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["cat", "␣dog"]


def test_pipeline_has_one_panel_per_stage():
    axes = filters.plot_pipeline(["cat", "dog"], {"model": [0.6, 0.4], "top_k 1": [1.0, 0.0]})
    assert [ax.get_title(loc="left") for ax in axes] == ["model", "top_k 1"]
    assert [b.get_width() for b in axes[1].patches] == [1, 0]
    assert texts(axes[1]) == ["1.000", "✗"]
    assert all(ax.get_xlim() == (0, 1) for ax in axes)  # a probability
    assert [t.get_ha() for t in axes[1].texts] == ["right", "left"]  # 1.000 stands in its bar, not past the axis


def test_strategies_draw_intervals_and_lone_points_differently():
    (ax,) = filters.plot_strategies(["greedy", "drawn"], {"log p": ([-1, -3], [NAN, -3.5], [NAN, -2.5])})
    (interval,) = ax.collections[0].get_segments()
    np.testing.assert_allclose(interval, [[-3.5, 1], [-2.5, 1]])
    marks = {line.get_marker(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert marks == {"o": ([-3], [1]), "D": ([-1], [0])}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["greedy", "drawn"]


DRAWINGS = {
    "nuclei": lambda axes: (filters.plot_nuclei(TOKENS, CANDIDATES, SIZES, ax=axes[0]), axes[0]),
    "counts": lambda axes: (filters.plot_counts(TOKENS, {"k": SIZES}, ax=axes[0]), axes[0]),
    "cumulative": lambda axes: (filters.plot_cumulative({"a": [0.5, 0.5]}, k=1, p=0.5, ax=axes[0]), axes[0]),
    "token probs": lambda axes: (filters.plot_token_probs({"a": [0.5], "b": [0.5]}, axes=axes), axes),
    "kept": lambda axes: (filters.plot_kept([1, 2], {"p": [1, 2]}, label="T", ax=axes[0]), axes[0]),
    "survivors": lambda axes: (filters.plot_survivors(["a", "b"], {"m": [0.5, 0.5]}, ax=axes[0]), axes[0]),
    "pipeline": lambda axes: (filters.plot_pipeline(["a", "b"], {"m": [0.5, 0.5], "n": [1, 0]}, axes=axes)[1], axes[1]),
    "strategies": lambda axes: (
        filters.plot_strategies(["a"], {"m": ([1], [0], [2]), "n": ([1], [NAN], [NAN])}, axes=axes)[1],
        axes[1],
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_function_draws_into_given_axes_and_can_be_drawn(name):
    fig, axes = plt.subplots(2, 1, figsize=(8, 9))
    got, given = DRAWINGS[name](axes)
    assert got is given
    fig.canvas.draw()
    assert plt.get_fignums() == [fig.number]


@pytest.mark.parametrize(
    "call",
    [
        lambda: filters.plot_nuclei(TOKENS, CANDIDATES, [1]),
        lambda: filters.plot_counts(TOKENS, {"k": [1]}),
        lambda: filters.plot_survivors(TOKENS, {"k": [1]}),
        lambda: filters.plot_kept([1, 2, 3], {"k": [1]}, label="T"),
        lambda: filters.plot_pipeline(TOKENS, {"k": [1]}),
        lambda: filters.plot_strategies(TOKENS, {"k": ([1], [1], [1])}),
    ],
)
def test_numbers_must_match_the_names(call):
    with pytest.raises(ValueError, match="3 names need 3 numbers"):
        call()
