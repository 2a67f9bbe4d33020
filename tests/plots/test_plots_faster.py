"""The figures of lesson 13: what is drawn is what was given, labelled, and never told apart by colour alone."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gpt2lessons.plots import faster


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_the_roof_rises_with_the_bandwidth_to_the_peak_and_bends_at_the_ridge():
    ax = faster.plot_roofline(10e9, 80e9, {"head": ([0.5, 4, 32], torch.tensor([4e9, 30e9, 70e9]), ["1", "8", "64"])})
    xs, ys = ax.lines[0].get_data()
    np.testing.assert_allclose(np.array(ys[:2]) / np.array(xs[:2]), 10e9)
    assert (xs[1], ys[1], ys[2]) == (8, 80e9, 80e9)
    np.testing.assert_allclose(ax.lines[2].get_data(), [[0.5, 4, 32], [4e9, 30e9, 70e9]])
    assert texts(ax) == [" ridge:\n 8 FLOP per byte", "1", "8", "64"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "FLOP per byte" in ax.get_xlabel()


def test_batches_are_drawn_beside_the_batch_itself():
    ax = faster.plot_batches([1, 2, 8], {"time": [1, 1.1, 2], "tokens": torch.tensor([1, 1.8, 4])})
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 2, 8], [1, 1.1, 2]]
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [1, 1.8, 4])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1×", "2×", "8×"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda curves: faster.plot_batches([1, 2], curves),
        lambda curves: faster.plot_speedups([0, 1], curves, {}),
    ],
)
def test_curves_differ_in_their_lines_and_are_named(draw):
    ax = draw({"a": [1, 2], "b": [1, 3]})
    lines = [line for line in ax.lines if line.get_label() in ("a", "b")]
    assert [list(line.get_ydata()) for line in lines] == [[1, 2], [1, 3]]
    assert len({line.get_linestyle() for line in lines}) == 2
    assert {"a", "b"} <= {t.get_text() for t in ax.get_legend().get_texts()}


def test_errors_are_points_with_different_markers_over_the_matrices():
    ax = faster.plot_errors(["wte", "c_fc"], {"bf16": [0.001, 0.002], "int8": torch.tensor([0.01, 0.02])})
    assert list(ax.lines[0].get_ydata()) == [0.001, 0.002]
    assert len({line.get_marker() for line in ax.lines}) == 2
    assert [t.get_text() for t in ax.get_xticklabels()] == ["wte", "c_fc"]


def test_many_matrices_name_a_few():
    ax = faster.plot_errors([f"m{i}" for i in range(100)], {"bf16": [1e-3] * 100})
    assert [t.get_text() for t in ax.get_xticklabels()][:3] == ["m0", "m4", "m8"]


def test_overlap_stacks_what_is_shared_and_what_each_has_more():
    ax = faster.plot_overlap(["a", "b"], [0.75, 0.25], torch.tensor([0.5, 0.5]))
    shared, more_p, more_q = ([(bar.get_y(), bar.get_height()) for bar in group] for group in ax.containers)
    assert shared == [(0, 0.5), (0, 0.25)]
    assert more_p == [(0.5, 0.25), (0.25, 0)]
    assert more_q == [(0.5, 0), (0.25, 0.25)]
    assert len({group[0].get_hatch() for group in ax.containers}) == 3
    assert texts(ax) == ["p 0.75, q 0.50", "p 0.25, q 0.50"]


def test_speedups_mark_break_even_and_tell_predicted_from_measured():
    points = {"1": (0.4, 0.9, 0.5), "2": (0.5, 1.1, torch.tensor(0.6))}
    ax = faster.plot_speedups([0, 0.5, 1], {"c = 0": [1, 2, 5]}, points)
    assert list(ax.lines[0].get_ydata()) == [1, 1]
    for marker, inside, speeds in (("D", "white", [0.9, 1.1]), ("o", "black", [0.5, 0.6])):
        marks = [line for line in ax.lines if line.get_marker() == marker]
        assert [line.get_xdata()[0] for line in marks] == [0.4, 0.5]
        np.testing.assert_allclose([line.get_ydata()[0] for line in marks], speeds)
        assert {line.get_markerfacecolor() for line in marks} == {inside}
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == ["c = 0", "drafts, predicted", "drafts, measured"]
    assert texts(ax) == ["1", "2"]


def test_rounds_show_each_token_with_its_fate():
    rounds = [[(" a", "accepted"), ("$b", "refused"), ("\n", "never looked at"), (" c", "added by the target")]]
    ax = faster.plot_rounds(rounds)
    assert texts(ax) == ["✓ ␣a", "✗ \\$b", "⏎", "+ ␣c"]
    boxes = [p for p in ax.patches if p.get_width() and p.get_height()]
    assert [round(p.get_x(), 2) for p in boxes] == [0, 1, 2, 3]
    assert [p.get_hatch() for p in boxes] == [None, "///", "...", None]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first round stands on top
    assert len(ax.get_legend().get_texts()) == len(faster.FATES)


def test_long_tokens_are_cut():
    assert texts(faster.plot_rounds([[("incomprehensible", "accepted")]])) == ["✓ incompreh…"]
