"""The figures of beam search: every candidate once, with its numbers; parents level with children; nothing overlaps."""

import itertools
import math

import matplotlib.pyplot as plt
import pytest

from gpt2lessons import toy
from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.plots import search as plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def search(model, prompt, **arguments):
    return beam_search(model, model.encode(prompt), eos_token_id=model.eos_token_id, **arguments)


@pytest.fixture(params=[(toy.GREEDY_LOSES, "the", 2, 2), (toy.BEAM_LOSES, "the", 2, 3), (toy.EARLY_STOP, "so", 3, 4)])
def found(request):
    model, prompt, num_beams, length = request.param
    return model, search(model, prompt, num_beams=num_beams, max_new_tokens=length)


def test_rows_are_distinct_per_step_and_parents_are_in_the_middle(found):
    _, result = found
    nodes = result.tree.nodes
    rows = plots.tree_rows(nodes)
    for step in range(1, result.tree.num_steps + 1):
        places = sorted(rows[n] for n in result.tree.at(step))
        assert all(b - a >= 1 for a, b in itertools.pairwise(places))
    for node in [None, *nodes]:
        below = [rows[c] for c in result.tree.children(node)]
        if below:
            assert rows[node] == (min(below) + max(below)) / 2


def test_the_tree_shows_every_candidate_with_probability_and_sum(found):
    model, result = found
    ax = plots.plot_beam_tree(result.tree.nodes, model.words, prompt="start", highlight=result.hypotheses[0].node)
    texts = [t.get_text() for t in ax.texts]
    assert texts[0] == "start"
    for node, text in zip(result.tree.nodes, texts[1:], strict=True):
        sign = plots.STATES[node.state][0]
        assert text.startswith(f"{sign} {model.words[node.token]}\n")
        assert f"p {math.exp(node.log_prob):.2f}" in text
        assert text.endswith(f"Σ {node.total:.2f}")
    bold = [t.get_text() for t in ax.texts if t.get_fontweight() == "bold"]
    assert len(bold) == 1 + len(result.hypotheses[0].new_ids)  # the prompt and the best path


def test_the_boxes_of_the_tree_do_not_overlap(found):
    model, result = found
    ax = plots.plot_beam_tree(result.tree.nodes, model.words)
    ax.figure.draw_without_rendering()
    boxes = [t.get_bbox_patch().get_window_extent() for t in ax.texts]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]


def test_states_differ_by_sign_and_line_not_only_by_colour():
    signs, _, lines = zip(*plots.STATES.values(), strict=True)
    assert len(set(signs)) == len(plots.STATES)
    assert len(set(lines[1:])) == 3


def test_surprisals_one_panel_per_text_on_one_scale_with_its_mean_and_tokens():
    texts = {"people": (["Once", " upon"], [1.0, 3.0]), "beams": ([" a", "\n", "!"], [0.5, 0.25, 0.75])}
    fig = plots.plot_surprisals(texts)
    for ax, (tokens, values) in zip(fig.axes, texts.values(), strict=True):
        assert [bar.get_height() for bar in ax.patches] == values
        assert [t.get_text() for t in ax.get_xticklabels()] == [plots.visible(token) for token in tokens]
        assert set(ax.lines[0].get_ydata()) == {sum(values) / len(values)}
        assert ax.get_ylim() == fig.axes[0].get_ylim()
        assert "nats" in ax.get_ylabel()
    assert [ax.get_title(loc="left") for ax in fig.axes] == [
        "people: mean 2.00 nats per token",
        "beams: mean 0.50 nats per token",
    ]
    assert len({ax.patches[0].get_facecolor() for ax in fig.axes}) == 2
    assert fig.axes[0].get_ylim()[1] > 3.0


def test_gains_are_ordered_and_losses_look_different():
    ax = plots.plot_gains([0.5, -1.0, 3.0, 0.0])
    wins, losses = ([bar.get_height() for bar in bars] for bars in ax.containers)
    assert wins == [3.0, 0.5, 0, 0]
    assert losses == [0, 0, 0, -1.0]
    looks = [(bars[0].get_hatch(), bars[0].get_facecolor()) for bars in ax.containers]
    assert looks[0][0] != looks[1][0]
    assert looks[0][1] != looks[1][1]
    assert "nats" in ax.get_ylabel()


@pytest.mark.parametrize(("followed", "step"), [([-1.0, -4.0, -4.5], 2), ([-3.5, -4.0, -4.5], 1), ([-1, -2, -3], None)])
def test_the_cross_stands_where_the_text_first_lies_below_the_kept_ones(followed, step):
    ax = plots.plot_dropped([" a", "b", "\n"], followed, [-1.0, -2.5, -5.0], [-3.0, -3.5, -6.0])
    crosses = [line for line in ax.lines if line.get_label() == "dropped here"]
    assert [list(line.get_xdata()) for line in crosses] == ([[step]] if step else [])
    assert list(ax.lines[1].get_ydata()) == followed
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [plots.visible(token) for token in (" a", "b", "\n")]
    assert "nats" in ax.get_ylabel()
