"""The figures of lesson 12: what is drawn is what was given, lines keep their distance, bad input gets a sentence."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gpt2lessons.plots import training as plots

LINES = {"uniform": 5.55, "unigram": 2.7, "bigram": 2.69, "floor": 0.2}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_running_mean_looks_back_only():
    assert plots.smooth([4, 2, 0, 2], 2).tolist() == [4, 3, 1, 1]
    assert plots.smooth([4, 2, 0], 1).tolist() == [4, 2, 0]
    assert plots.smooth(torch.tensor([3.0, 1.0]), 50).tolist() == [3, 2]


def test_a_loss_is_drawn_from_step_1_with_its_mean_and_its_lines():
    losses = np.linspace(5, 1, 80)
    ax = plots.plot_loss(losses, lines=LINES, unit="nats per byte", marked=30)
    each, mean, *rest = ax.lines
    np.testing.assert_array_equal(each.get_xdata(), np.arange(1, 81))
    np.testing.assert_array_equal(each.get_ydata(), losses)
    np.testing.assert_allclose(mean.get_ydata(), plots.smooth(losses, 2))
    assert sorted(line.get_ydata()[0] for line in rest[:-1]) == sorted(LINES.values())
    assert legend(ax) == ["each step", "running mean", "step 30"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss (nats per byte)")
    assert {text.get_text() for text in ax.texts} == {f"{name} {value:.2f}" for name, value in LINES.items()}


def test_names_of_lines_never_touch_and_all_lines_are_inside():
    ax = plots.plot_loss([5.0, 1.0], lines=LINES)
    low, high = ax.get_ylim()
    places = [text.xy[1] for text in ax.texts]
    assert min(np.diff(sorted(places))) >= 0.06 * (high - low)
    assert low <= min(LINES.values())
    assert max(LINES.values()) < high


def test_steps_of_a_thinned_curve_are_kept():
    ax = plots.plot_loss([3, 2, 1], steps=[10, 20, 30])
    assert ax.lines[0].get_xdata().tolist() == [10, 20, 30]


def test_runs_differ_in_line_and_marker_not_in_colour_alone():
    ax = plots.plot_runs({"a": [3, 2], "b": ([5, 9], torch.tensor([1.0, 0.5]))}, lines={"ln 2": 0.69})
    first, second = ax.lines[:2]
    assert (first.get_xdata().tolist(), second.get_xdata().tolist()) == ([1, 2], [5, 9])
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
    assert legend(ax) == ["a", "b"]


def test_a_schedule_is_a_share_of_the_peak():
    ax = plots.plot_schedule({"r": [0.5, 1, 0.5]})
    assert ax.get_ylim() == (0, 1.05)
    assert "share of its peak" in ax.get_ylabel()


def test_the_gradient_is_probabilities_minus_one_at_the_right_word():
    left, right = plots.plot_loss_and_gradient(["a", "b", "c"], [0.5, 0.3, 0.2], 1)
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [0.5, -0.7, 0.2])
    assert [t.get_text() for t in right.get_yticklabels()] == ["a", "b (right)", "c"]
    point = left.lines[1]
    np.testing.assert_allclose([point.get_xdata()[0], point.get_ydata()[0]], [0.3, -np.log(0.3)])


def test_singular_values_are_sorted_shares_of_the_largest():
    ax = plots.plot_singular_values({"g": [1, 4, 2], "m": torch.tensor([1.0, 1.0, 0.0])})
    assert ax.lines[0].get_ydata().tolist() == [1, 0.5, 0.25]
    assert ax.lines[1].get_ydata()[-1] == pytest.approx(1e-7)  # a zero stays on the figure
    assert ax.get_yscale() == "log"


def test_the_map_of_heads_says_every_number():
    scores = torch.tensor([[0.1, 0.9, 0.25], [0.0, 0.5, 1.0]])
    ax = plots.plot_head_scores(scores, title="t")
    assert [text.get_text() for text in ax.texts] == ["0.10", "0.90", "0.25", "0.00", "0.50", "1.00"]
    np.testing.assert_allclose(ax.images[0].get_array(), scores)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("head", "layer", "t")


def test_loss_and_attention_share_their_steps():
    upper, lower = plots.plot_phase_change([10, 20], {"loss": [3, 1]}, {"a": [0.1, 0.9], "b": [0.2, 0.4]})
    assert upper.lines[0].get_xdata().tolist() == lower.lines[1].get_xdata().tolist() == [10, 20]
    assert lower.get_ylim() == (0, 1.02)


def test_a_watched_step_has_its_line_and_its_tokens():
    left, right = plots.plot_watched([5, 4, 3], 2, [" a", "$"], [0.75, 0.25], lines={"floor": 0.2})
    assert legend(left)[-1] == "step 2"
    assert [t.get_text() for t in right.get_yticklabels()] == ["␣a", "\\$"]
    assert [bar.get_width() for bar in right.patches] == [0.75, 0.25]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.plot_loss([]), "losses is empty"),
        (lambda: plots.plot_loss([1, 2], steps=[1]), "2 losses, but 1 steps"),
        (lambda: plots.plot_runs({}), "no run to draw"),
        (lambda: plots.plot_runs({"a": ([1], [1, 2])}), "a has 1 steps, but 2 values"),
        (lambda: plots.smooth([1], 0), "width is at least 1"),
        (lambda: plots.plot_singular_values({"z": [0, 0]}), "z has no singular value above 0"),
        (lambda: plots.plot_head_scores([0.5]), "(n_layer, n_head)"),
    ],
)
def test_bad_input_gets_a_sentence(draw, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        draw()


def test_scaling_shows_what_was_predicted_and_what_was_measured():
    ax = plots.plot_scaling([100, 1000], {"10 steps": [2.0, 1.0], "20 steps": [1, 0.5]}, [1, 0.5, 0.25], 10000, 0.1)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    by_name = {line.get_label(): (line.get_xdata().tolist(), list(line.get_ydata())) for line in ax.lines}
    assert by_name["20 steps"] == ([100, 1000], [1, 0.5])
    assert by_name["fitted line"] == ([100, 1000, 10000], [1, 0.5, 0.25])
    assert by_name["predicted"] == ([10000], [0.25])
    assert by_name["measured"] == ([10000], [0.1])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["100", "1,000", "10,000"]
    with pytest.raises(ValueError, match="a fit of 3"):
        plots.plot_scaling([100, 1000], {"a": [1, 2]}, [1, 2], 10000, 0.1)
