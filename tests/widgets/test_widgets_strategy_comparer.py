"""The strategy comparer: its texts and numbers are those of generate and beam_search, chosen by boxes or presets."""

import itertools

import matplotlib.pyplot as plt
import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.widgets import StrategyComparer
from gpt2lessons.widgets.strategy_comparer import PRESETS, STRATEGIES


@pytest.fixture
def comparer(mini):
    return StrategyComparer(mini, new_tokens=6)


def test_every_strategy_writes_what_the_package_writes(mini, comparer):
    ids = mini.encode("Once upon a time")
    for name, settings in STRATEGIES.items():
        if "num_beams" in settings:
            new = gl.beam_search(mini, ids, max_new_tokens=6, **settings).hypotheses[0].ids[ids.shape[1] :]
        else:
            luck = torch.Generator().manual_seed(0)
            new = gl.generate(mini, ids, max_new_tokens=6, generator=luck, **settings).new_tokens[0]
        assert comparer._write(name)[0] == mini.decode(new), name
        assert len(new) == 6


def test_numbers_are_those_of_the_text(mini, comparer):
    ids = mini.encode("Once upon a time")
    written = gl.generate(mini, ids, max_new_tokens=6)
    text, numbers = comparer._write("greedy")
    assert numbers["log p per token"] == pytest.approx(written.log_probs.mean().item(), abs=1e-4)
    new = written.new_tokens[0].tolist()
    assert numbers["distinct-2"] == len(set(itertools.pairwise(new))) / 5
    assert numbers["repetition"] == sum(t in new[:i] for i, t in enumerate(new)) / 6
    assert f"{numbers['log p per token']:.2f}" in comparer.view.value
    assert text in comparer.view.value


def test_seed_changes_what_is_drawn_and_nothing_else(comparer):
    before = comparer.texts()
    comparer.seed.value = 1
    after = comparer.texts()
    assert before["greedy"] == after["greedy"]
    assert before["pure sampling"] != after["pure sampling"]
    assert "seed 1" in comparer.view.value
    comparer.seed.value = 0
    assert comparer.texts() == before


def test_presets_tick_the_boxes_and_boxes_name_the_preset(comparer):
    for preset, members in PRESETS.items():
        comparer.preset.value = preset
        assert {name for name, box in comparer.chosen.items() if box.value} == set(members)
        assert comparer.view.value.count("<section") == len(members)
    comparer.chosen["greedy"].value = True
    assert comparer.preset.value == "your choice"
    comparer.chosen["greedy"].value = False
    assert comparer.preset.value == preset


def test_no_strategy_is_a_sentence(comparer):
    for box in comparer.chosen.values():
        box.value = False
    assert "tick at least one box" in comparer.view.value
    assert "tick at least one box" in repr(comparer)


def test_prompt_names_and_text_are_escaped(mini):
    widget = StrategyComparer(mini, "a <b>", strategies={"<i>x": {}}, new_tokens=2)
    assert "<i>x" not in widget.view.value
    assert "a &lt;b&gt;" in widget.view.value
    assert "&lt;i&gt;x" in widget.view.value


def test_empty_and_long_prompts_are_refused_in_the_view(mini, comparer):
    comparer.prompt.value = ""
    assert "the text is empty" in comparer.view.value
    comparer.prompt.value = "a " * mini.model.config.n_positions
    assert "write one that has 1 to" in comparer.view.value


def test_a_text_may_end(mini):
    """A strategy that ends at once shows the end, and its numbers are about what was written."""
    end = mini.tokenizer.eos_token_id
    widget = StrategyComparer(mini, strategies={"x": {"eos_token_id": [end, *range(50, 8449)]}}, new_tokens=5)
    assert widget.texts()["x"][1]["distinct-2"] == 1
    assert len(mini.encode(widget.texts()["x"][0])[0]) < 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategies": {"a": {"topk": 3}}}, "'topk' is not a setting"),
        ({"presets": {"p": ["nobody"]}}, "no strategy 'nobody'"),
    ],
)
def test_mistakes_are_named(mini, arguments, words):
    with pytest.raises(ValueError, match=words):
        StrategyComparer(mini, **arguments)


def test_what_is_remembered_is_bounded(mini, comparer, monkeypatch):
    monkeypatch.setattr("gpt2lessons.widgets.strategy_comparer._REMEMBERED", 4)
    for seed in range(1, 5):
        comparer.seed.value = seed
    assert len(comparer._written) <= 5


def test_static_twin_holds_every_text(comparer):
    bundle = comparer._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["image/png"]
    assert bundle["text/plain"].count("log p per token") == 3
    figure = comparer.picture()
    drawn = " ".join(t.get_text() for t in figure.texts).replace("\n", " ")
    for name, (_, numbers) in comparer.texts().items():
        assert f"{name}:  log p per token {numbers['log p per token']:.2f}" in drawn
    plt.close(figure)
