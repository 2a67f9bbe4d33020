"""The speculation viewer: its rounds are those of `speculate`, its numbers the models', its text escaped."""

import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.decoding.speculative import PromptLookup, early_exit, speculate
from gpt2lessons.widgets import SpeculationViewer


@pytest.fixture
def viewer(mini):
    drafts = {"first blocks": early_exit(mini, mini.scratch.config.n_layer - 1), "lookup": PromptLookup()}
    return SpeculationViewer(mini, drafts, "Once upon a time", new=16)


def test_greedy_text_is_the_models_own_whatever_draft_and_length(mini, viewer):
    plain = gl.generate(mini, mini.encode("Once upon a time"), max_new_tokens=16).sequences
    for name in viewer.drafts:
        viewer.draft.value = name
        for n in (1, 8):
            viewer.guesses.value = n
            assert viewer.result().sequences.equal(plain)


def test_the_table_shows_the_picked_rounds_probabilities_and_fates(viewer):
    viewer.temperature.value = 1.0
    rounds = viewer.result().rounds
    assert viewer.round.max == len(rounds)
    for place, chosen in enumerate(rounds, 1):
        viewer.round.value = place
        table = viewer.view.value.split("<table")[1]
        assert table.count("✓ accepted") == chosen.accepted
        assert table.count("✗ refused") == (chosen.accepted < len(chosen.proposed))
        assert table.count("+ added by the target") == 1
        for p, q in zip(chosen.p, chosen.q, strict=True):
            assert f">{p:.3f}<" in table
            assert f">{q:.3f}<" in table
    assert any(chosen.accepted < len(chosen.proposed) for chosen in rounds)


def test_chances_are_given_for_what_was_looked_at(viewer):
    viewer.temperature.value = 1.0
    chosen = next(r for r in viewer.result().rounds if r.accepted < len(r.proposed))
    viewer.round.value = viewer.result().rounds.index(chosen) + 1
    p, q = chosen.p[chosen.accepted], chosen.q[chosen.accepted]
    refused = next(row for row in viewer.view.value.split("<table")[1].split("<tr>") if "✗ refused" in row)
    assert f">{min(1, p / q):.3f}<" in refused


def test_settings_are_passed_on(mini, viewer):
    viewer.temperature.value, viewer.guesses.value = 0.7, 2
    expected = speculate(
        mini, viewer.drafts["first blocks"], mini.encode("Once upon a time"), max_new_tokens=16,
        num_assistant_tokens=2, do_sample=True, temperature=0.7, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert viewer.result().sequences.equal(expected.sequences)
    assert f"in {expected.model_calls} readings" in viewer.view.value


def test_fewer_rounds_keep_the_round_slider_in_range(mini):
    viewer = SpeculationViewer(mini, {"itself": mini}, new=12, num_assistant_tokens=1)
    viewer.round.value = viewer.round.max
    viewer.guesses.value = 8
    assert viewer.round.max == len(viewer.result().rounds) == 2
    assert viewer.round.value <= 2
    assert viewer.view.value.count("outline:3px") == 1


def test_bad_prompts_are_answered_in_the_view(viewer):
    viewer.prompt.value = ""
    assert "Type a prompt" in viewer.view.value
    viewer.prompt.value = "word " * 2000
    assert "reads at most" in viewer.view.value
    viewer.prompt.value = "Once"
    assert "<table" in viewer.view.value


def test_text_is_escaped(viewer):
    viewer.draft.value = "lookup"
    viewer.prompt.value = "<b>one & two</b> <b>one & two</b> <b>"
    assert "<b>one" not in viewer.view.value
    assert "&lt;b&gt;one &amp; two" in viewer.view.value


def test_it_needs_a_draft(mini):
    with pytest.raises(ValueError, match="drafts is empty"):
        SpeculationViewer(mini, {})


def test_the_twin_is_a_picture_with_a_deterministic_sentence(viewer):
    data = viewer._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert data["image/png"]
    calls = viewer.result().model_calls
    expected = f"SpeculationViewer: first blocks, 4 guesses, greedy: 16 tokens in {calls} readings by the target"
    assert data["text/plain"].startswith(expected)
