"""The figures of lessons 06 and 07: what is drawn is what was given, labelled, and never told apart by colour alone."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from gpt2lessons.plots import sampling

WORDS, PROBS = ["cat", "dog", " parrot", "rhinoceros$"], torch.tensor([0.5, 0.3, 0.15, 0.05])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def draw_all():
    """Each function's Axes, by name."""
    curves = {"flat": torch.full((64,), 1 / 64), "peaked": torch.tensor([3.0] + [-3.0] * 63).softmax(0)}
    temperatures = torch.logspace(-1, 1, 9)
    tempered = (PROBS.log() / temperatures[:, None]).softmax(-1)
    ranks = {"error": [0.1] * 3}
    return {
        "number line": sampling.plot_number_line(WORDS, PROBS, [0.07, 0.62]),
        "distribution": sampling.plot_distribution(WORDS, PROBS, title="all"),
        "frequencies": sampling.plot_frequencies(WORDS, PROBS, PROBS, PROBS * 0.9, PROBS * 1.1),
        "temperatures": sampling.plot_temperatures(WORDS, tempered, temperatures),
        "entropies": sampling.plot_entropies(temperatures, {"toy": [1.0] * 9}, {"ln 4": 1.386}),
        "tradeoff": sampling.plot_tradeoff(
            ["a", "b", "c"],
            [1, 2, 3],
            [0.95, 0.5, 0.2],
            x_error=ranks["error"],
            y_error=ranks["error"],
            x_label="x",
            y_label="y",
        ),
        "ranked": sampling.plot_ranked(curves, cut=5),
    }


@pytest.mark.parametrize("name", sorted(draw_all()))
def test_every_figure_labels_its_axes_and_can_be_drawn(name):
    ax = draw_all()[name]
    assert ax.get_xlabel() or [t.get_text() for t in ax.get_xticklabels()]
    assert ax.get_ylabel() or len(ax.get_yticks()) in (0, len(WORDS))
    ax.figure.canvas.draw()


def test_every_public_function_draws_into_given_axes():
    fig, ax = plt.subplots()
    assert sampling.plot_distribution(WORDS, PROBS, ax=ax) is ax
    assert sampling.plot_number_line(WORDS, PROBS, ax=fig.add_subplot()).figure is fig


def test_words_on_the_number_line_are_as_long_as_the_probabilities_and_touch():
    bars = sampling.plot_number_line(WORDS, PROBS, [0.62]).patches
    np.testing.assert_allclose([b.get_width() for b in bars], PROBS, rtol=1e-6)
    np.testing.assert_allclose([b.get_x() for b in bars], [0, 0.5, 0.8, 0.95], rtol=1e-6)


def test_marks_on_the_number_line_stand_where_they_were_drawn():
    ax = sampling.plot_number_line(WORDS, PROBS, [0.07, 0.62])
    assert [line.get_xdata()[0] for line in ax.lines] == [0.07, 0.62]
    assert {"0.07", "0.62"} <= set(texts(ax))


def test_removed_tokens_are_hatched_and_named_removed():
    after = torch.tensor([0.625, 0.375, 0.0, 0.0])
    ax = sampling.plot_distribution(WORDS, after, kept=after > 0, before=PROBS)
    assert texts(ax) == ["0.625", "0.375", "removed", "removed"]
    hatched = [p for p in ax.patches if p.get_hatch()]
    np.testing.assert_allclose([p.get_width() for p in hatched], [0.15, 0.05], rtol=1e-6)
    outlines = [p.get_width() for p in ax.patches if not p.get_fill()]
    np.testing.assert_allclose(outlines, [0.5, 0.3], rtol=1e-6)


def test_first_word_is_on_top_and_tokens_are_made_visible():
    ax = sampling.plot_distribution(WORDS, PROBS)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog", "␣parrot", r"rhinoceros\$"]


def test_frequency_intervals_reach_from_low_to_high():
    ax = sampling.plot_frequencies(WORDS, PROBS, [0.5, 0.3, 0.2, 0.0], [0.4, 0.2, 0.1, 0.0], [0.6, 0.45, 0.3, 0.1])
    (segments,) = [c.get_segments() for c in ax.collections]
    ends = [(s[0][1], s[-1][1]) for s in segments]
    np.testing.assert_allclose(ends, [(0.4, 0.6), (0.2, 0.45), (0.1, 0.3), (0.0, 0.1)])


def test_lines_differ_in_style_not_only_in_colour():
    axes = draw_all()
    for name, count in (("temperatures", 4), ("ranked", 2)):
        styles = [line.get_linestyle() for line in axes[name].lines[:count]]
        assert len(set(styles)) == count


def test_a_word_has_one_colour_on_the_line_and_over_the_temperatures():
    axes = draw_all()
    segments = [bar.get_facecolor() for bar in axes["number line"].patches[:4]]
    assert [to_rgba(line.get_color()) for line in axes["temperatures"].lines[:4]] == segments


def test_no_tick_of_the_tradeoff_is_a_share_above_1():
    ax = draw_all()["tradeoff"]
    assert max(ax.get_yticks()) <= 1
    assert ax.spines["left"].get_bounds()[1] == 1
    assert ax.get_ylim()[1] > 1.0  # a label has its room all the same


def test_entropies_draw_five_curves_apart_and_name_their_limit():
    temperatures = torch.logspace(-1, 1, 9)
    curves = {f"prompt {i}": torch.linspace(0, i + 1, 9) for i in range(5)}
    ax = sampling.plot_entropies(temperatures, curves, {"ln V": 6.0})
    drawn = ax.lines[:5]
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in drawn}) == 5
    np.testing.assert_allclose(drawn[4].get_ydata(), curves["prompt 4"])
    assert texts(ax) == ["ln V", "T = 1: the model itself"]
    assert ax.get_ylim()[1] > 6


def test_ranked_says_the_mass_up_to_the_cut_whatever_the_order_of_the_tokens():
    shuffled = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2])
    legend = sampling.plot_ranked({"toy": shuffled}, cut=2).get_legend().get_texts()
    assert [t.get_text() for t in legend] == ["toy: the first 2 hold 0.650"]


def test_ranked_takes_a_cut_for_each_curve():
    curves = {"a": torch.tensor([0.5, 0.3, 0.2]), "b": torch.tensor([0.9, 0.1, 0.0])}
    legend = sampling.plot_ranked(curves, cut={"a": 2, "b": 1}).get_legend().get_texts()
    assert [t.get_text() for t in legend] == ["a: the first 2 hold 0.800", "b: the first 1 hold 0.900"]


@pytest.mark.parametrize("function", [sampling.plot_number_line, sampling.plot_distribution])
def test_words_and_probabilities_must_match(function):
    with pytest.raises(ValueError, match="2 words need 2 numbers"):
        function(WORDS[:2], PROBS)
