"""The attention explorer: its controls move the view, its numbers are the model's, its text is escaped."""

import re

import pytest
import torch

from gpt2lessons.widgets.attention_explorer import LONGEST, AttentionExplorer


@pytest.fixture
def explorer(mini):
    return AttentionExplorer(mini, "Once upon a time", layer=1, head=2)


def test_it_shows_where_the_picked_token_looks(mini, explorer):
    record = {}
    mini.scratch(mini.encode("Once upon a time"), record=record)
    expected = record["h.1.attn.pattern"][0, 2]
    assert torch.allclose(torch.tensor(explorer.patterns()[1][1, 2]), expected.float())
    assert explorer.token.value == explorer.token.max == 4, "the last token is picked at first"
    assert f"with weight {expected[3].max():.2f}" in explorer.view.value
    for weight in expected[3]:
        assert f"<small>{weight:.2f}</small>" in explorer.view.value


@pytest.mark.parametrize(("control", "value"), [("layer", 4), ("head", 0), ("token", 2), ("text", "The king said")])
def test_every_control_redraws(explorer, control, value):
    before = explorer.view.value
    getattr(explorer, control).value = value
    assert explorer.view.value != before
    assert f"Layer {explorer.layer.value}, head {explorer.head.value}" in explorer.view.value


def test_a_token_does_not_look_ahead(explorer):
    explorer.token.value = 2
    assert explorer.view.value.count("comes later: hidden by the mask") == 2
    assert len(re.findall("<td title", explorer.view.value)) == 4 * 5 / 2, "the half above the diagonal is not drawn"


def test_the_first_token_looks_at_itself(explorer):
    explorer.token.value = 1
    assert "looks most at itself, with weight 1.00" in explorer.view.value


def test_the_grid_has_a_square_for_every_head(mini, explorer):
    squares = re.findall(r'title="layer (\d+), head (\d+): ', explorer.view.value)
    config = mini.model.config
    assert len(set(squares)) == len(squares) == config.n_layer * config.n_head
    assert explorer.view.value.count("data:image/png;base64,") == 1


def test_a_shorter_text_moves_the_token_into_reach(explorer):
    explorer.text.value = "Once"
    assert (explorer.token.max, explorer.token.value) == (1, 1)


def test_a_long_text_is_cut_and_says_so(explorer):
    explorer.text.value = "word " * 100
    assert explorer.token.max == LONGEST
    assert f"at most the first {LONGEST} tokens" in explorer.view.value


def test_an_empty_text_is_a_sentence_and_nothing_is_lost(explorer):
    explorer.text.value = ""
    assert "the text is empty" in explorer.view.value
    assert explorer.layer.value == 1
    assert explorer.summary() == "AttentionExplorer: no text"
    explorer.text.value = "Once upon"
    assert "looks most at" in explorer.view.value


def test_text_is_escaped(explorer):
    explorer.text.value = "<script>alert('x')</script> \"&$"
    assert "<script" not in explorer.view.value
    assert not re.search(r"title=\"[^\"]*<", explorer.view.value)


def test_static_twin(explorer):
    data = explorer._repr_mimebundle_()
    assert data["image/png"]
    assert data["text/plain"] == explorer.summary()
    assert re.fullmatch(
        r"AttentionExplorer, layer 1, head 2: ' time' looks most at '.*' \(\d\.\d\d\)", explorer.summary()
    )
    axes = explorer.picture().axes
    assert [ax.get_title(loc="left") for ax in axes] == ["all heads", "layer 1, head 2"]


def test_static_twin_of_an_empty_text(explorer):
    explorer.text.value = ""
    assert explorer._repr_mimebundle_()["text/plain"] == "AttentionExplorer: no text"


@pytest.mark.parametrize(("name", "value"), [("layer", 6), ("layer", -1), ("head", 8)])
def test_impossible_layer_or_head(mini, name, value):
    with pytest.raises(ValueError, match=f"{name} should be 0 to . for gpt2-mini, not {value}"):
        AttentionExplorer(mini, **{name: value})


def test_each_token_unfolds_its_own_view(explorer):
    pattern = explorer.patterns()[1][1, 2]
    views = re.findall(r"<span class=gl-own>(.*?)</span></span>", explorer.view.value)
    assert len(views) == 4
    for row, view in zip(pattern, views, strict=True):
        weights = re.findall(r"<small>(\d\.\d\d)</small>", view)
        assert weights == [f"{w:.2f}" for w in row[row > 0]]
    assert explorer.view.value.count('class="gl-token" tabindex="0"') == 4, "reachable by keyboard"
