"""The figures of lesson 01 show the numbers that they were given, and refuse nothing that a model can produce."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.plots import architecture, blueprints
from gpt2lessons.plots.style import visible

PATTERN = [[1.0, 0, 0], [0.25, 0.75, 0], [0.5, 0.1, 0.4]]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_pattern_shows_weights_and_leaves_the_future_white():
    ax = architecture.plot_pattern(torch.tensor(PATTERN), ["a", " b", "$"])
    image = ax.images[0].get_array()
    assert np.allclose(image.filled(0), PATTERN)
    assert image.mask.tolist() == [[False, True, True], [False, False, True], [False, False, False]]
    assert texts(ax) == ["1.00", "0.25", "0.75", "0.50", "0.10", "0.40"]
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == [visible(t) for t in ("a", " b", "$")]


def test_pattern_of_a_segment_that_looks_further_back():
    ax = architecture.plot_pattern([[0.5, 0.2, 0.3]], ["c"], sources=["a", "b", "c"])
    assert ticks(ax.xaxis) == ["a", "b", "c"]
    assert ticks(ax.yaxis) == ["c"]


def test_head_grid_puts_each_pattern_in_its_cell():
    patterns = np.zeros((2, 3, 4, 4))
    for layer, head in np.ndindex(2, 3):
        patterns[layer, head] = 0.1 + 0.1 * layer + 0.2 * head
    ax = architecture.plot_head_grid(patterns, picked=(1, 2))
    canvas = ax.images[0].get_array().filled(0)
    step = 5
    for layer, head in np.ndindex(2, 3):
        cell = canvas[layer * step : layer * step + 4, head * step : head * step + 4]
        assert np.allclose(cell, patterns[layer, head])
    assert canvas.shape == (9, 14)
    assert (ax.patches[0].get_x(), ax.patches[0].get_y(), ax.patches[0].get_width()) == (9.5, 4.5, 4)


def test_parameters_bars_are_shares_that_fill_the_width():
    ax = architecture.plot_parameters({"one": {"x": 30, "y": 70}, "two": {"x": 1, "y": 3}})
    assert [round(bar.get_width()) for bar in ax.patches] == [30, 70, 25, 75]
    assert [round(bar.get_x()) for bar in ax.patches] == [0, 30, 0, 25]
    assert ticks(ax.yaxis) == ["one\n100", "two\n4"]


def test_heads_frame_the_picked_pattern_and_draw_it_beside():
    patterns = torch.rand(2, 3, 3, 3).tril()
    grid, picked = architecture.plot_heads(patterns, "abc", (1, 2), title="whose")
    assert (grid.patches[0].get_x(), grid.patches[0].get_y()) == (7.5, 3.5)
    assert np.allclose(picked.images[0].get_array().filled(0), patterns[1, 2])
    titles = [ax.get_title(loc="left") for ax in (grid, picked)]
    assert titles == ["whose: all 6 patterns", "whose: layer 1, head 2"]


def test_heads_without_a_name_have_titles_without_a_colon():
    axes = architecture.plot_heads(torch.ones(1, 1, 2, 2).tril(), "ab", (0, 0))
    assert [ax.get_title(loc="left") for ax in axes] == ["all 1 patterns", "layer 0, head 0"]


def test_gather_writes_every_number_of_the_calculation():
    keys = torch.tensor([[2 * np.log(3), 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    values = [[5.0, 0], [0, 2.5], [0, 0]]
    ax = architecture.plot_gather(["Ann", "ran", "she"], [1.0, 0, 0, 0], keys, values)
    written = texts(ax)
    assert {"2.20", "1.10", "3.00", "1.00", "0.60", "0.20", "(5, 0)", "(0, 2.50)"} <= set(written)
    assert {"(3, 0)", "(0, 0.50)", "sum 5.00", "sum (3, 0.50)"} <= set(written)
    assert "“she” asks,\nquery (1, 0, 0, 0)" in written
    widths = [bar.get_width() / 0.84 for bar in ax.patches]
    assert np.allclose(widths, [1, 0.6, 1, 0.2, 1, 0.2])


def test_lens_writes_each_word_in_its_cell():
    probs = [[0.9, 0.1], [0.3, 0.6], [0.2, 0.8]]
    ax = architecture.plot_lens([["a", "$b"], ["c", "d"], [" e", "f"]], probs, ["x", " y"])
    assert np.allclose(ax.images[0].get_array(), probs)
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert places == {
        "a": (0, 0),
        visible("$b"): (1, 0),
        "c": (0, 1),
        "d": (1, 1),
        "␣e": (0, 2),
        "f": (1, 2),
    }
    assert ticks(ax.yaxis) == ["embeddings", "after h.0", "after h.1"]
    assert ticks(ax.xaxis) == ["x", "␣y"]


def test_silenced_draws_effects_with_their_intervals():
    heads, effects = [(0, 0), (0, 1), (3, 2)], torch.tensor([0.25, -0.01, 0.5])
    ends = [(0.2, 0.35), (-0.05, 0.0), (0.4, 0.75)]
    ax = architecture.plot_silenced(heads, effects, ends, picked=[(3, 2)])
    bars = [bar for bar in ax.patches if bar.get_width()]
    assert np.allclose([bar.get_width() for bar in bars], effects)
    assert [bar.get_hatch() or "" for bar in bars] == ["", "", "//"]
    lines = [segment[:, 0] for segment in ax.collections[0].get_segments()]
    assert np.allclose(lines, ends)
    assert texts(ax)[0] == "+0.250  (+0.200 to +0.350)"
    assert texts(ax)[1] == "−0.010  (−0.050 to +0.000)"
    assert ticks(ax.yaxis) == ["layer 0, head 0", "layer 0, head 1", "layer 3, head 2"]


def test_stream_draws_what_it_gets():
    ax = architecture.plot_stream({"stream": [0.5, 1.0, 4.0, 2.0]}, ends=("ln_f",))
    assert list(ax.lines[0].get_ydata()) == [0.5, 1.0, 4.0, 2.0]
    assert ticks(ax.xaxis) == ["embeddings", "h.0", "h.1", "ln_f"]


def test_data_flow_writes_the_recorded_shapes():
    torch.manual_seed(0)
    gpt2 = GPT2(GPT2Config(vocab_size=11, n_positions=8, n_embd=6, n_layer=3, n_head=2)).requires_grad_(False)
    ids, record = torch.tensor([[3, 1, 4, 1, 5]]), {}
    gpt2(ids, record=record)
    ax = blueprints.plot_data_flow(record, list("abcde"), ids[0], {"<b>": 0.75, "$x$": 0.2}, layer=2, head=1)
    written = texts(ax)
    for name in ("wpe", "h.2.ln_1", "h.2.attn.q", "h.2.attn.scores", "h.2.mlp.c_fc", "logits"):
        assert f"({', '.join(map(str, record[name].shape))})" in written
    assert {"input_ids (1, 5)", "3 blocks of this form, each with weights of its own"} <= set(written)
    inset = next(child for child in ax.child_axes if child.images)
    assert np.allclose(inset.images[0].get_array().filled(0), record["h.2.attn.pattern"][0, 1])
    bars = next(child for child in ax.child_axes if child.patches)
    assert [bar.get_width() for bar in bars.patches] == [0.75, 0.2]


def test_data_flow_of_a_long_text_shows_its_first_tokens():
    gpt2 = GPT2(GPT2Config(vocab_size=11, n_positions=30, n_embd=6, n_layer=1, n_head=2)).requires_grad_(False)
    ids, record = torch.zeros(1, 30).long(), {}
    gpt2(ids, record=record)
    written = texts(blueprints.plot_data_flow(record, [f"t{i}" for i in range(30)], ids[0], {"x": 1.0}))
    assert "t7" in written
    assert "t29" not in written
    assert any("more" in text for text in written)


def test_stacks_draw_blocks_additions_and_patterns():
    model = {
        "name": "N",
        "kind": "k",
        "inputs": "in",
        "output": "out",
        "repeat": "2 ×",
        "rows": "abc",
        "columns": "abc",
    }
    model |= {"block": ["LayerNorm", "attention", "LayerNorm", "MLP"], "skips": [(0, 1), (2, 3)], "pattern": PATTERN}
    other = model | {"cached": 1, "skips": [(0, 0)], "drawn_from": "random matrices"}
    axes = blueprints.plot_stacks([model, other])
    assert axes.shape == (2, 2)
    assert [t for t in texts(axes[0, 0]) if t in model["block"]] == model["block"]
    assert (texts(axes[0, 0]).count("+"), texts(axes[0, 1]).count("+")) == (2, 1)
    assert np.allclose(axes[1, 0].images[0].get_array().filled(0), PATTERN)
    assert axes[1, 1].lines[0].get_xdata()[0] == 0.5
    assert "cached segment" in texts(axes[1, 1])
    assert [ax.get_title() for ax in axes[1]] == ["", "random matrices"]


NODES = {("a",): 0.6, ("b",): 0.4, ("a", "c"): 0.9, ("b", "c"): 0.3, ("b", "d"): 0.7}


def test_next_token_tree_has_a_label_per_node_and_a_line_per_step():
    ways = {"greedy": ("a", "c"), "beam": ("a", "c"), "sampled": ("b", "d")}
    ax = blueprints.plot_next_token_tree("root", NODES, ways, drawn=("sampled",))
    assert sorted(texts(ax)) == sorted(["root", *(f"{path[-1]}  {p:.2f}" for path, p in NODES.items())])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(ways)
    lines = [line for line in ax.lines if len(line.get_xdata())]
    assert len(lines) == 2 + 2 + 2 + 1, "two steps for each strategy, and one branch that nobody takes"
    assert sum(line.get_linestyle() != "-" for line in lines) == 2, "only what was sampled is broken"


def test_next_token_tree_puts_likelier_branches_above():
    ax = blueprints.plot_next_token_tree("root", NODES, {})
    height = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert height["a  0.60"] < height["b  0.40"]
    assert height["d  0.70"] < height["c  0.30"]
    assert height["b  0.40"] == (height["d  0.70"] + height["c  0.30"]) / 2


def test_next_token_tree_shows_two_digits_of_a_small_probability():
    nodes = {("a",): 0.0996, ("b",): 0.0871, ("c",): 0.00333, ("d",): 0.00002}
    assert texts(blueprints.plot_next_token_tree("root", nodes, {}))[:4] == [
        "a  0.10",
        "b  0.087",
        "c  0.0033",
        "d  2e-05",
    ]
