"""The trace viewer: ranks and probabilities are those of the trace, removed tokens are called so, text is escaped."""

import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.widgets import TraceViewer


@pytest.fixture(scope="module")
def banned(mini):
    ids = mini.encode("I am a large language model")
    return gl.generate(mini, ids, max_new_tokens=30, no_repeat_ngram_size=2, trace=True)


def test_the_picked_token_is_shown_with_its_alternatives(mini, banned):
    viewer = TraceViewer(mini, banned)
    for n in (1, 13, 30):
        viewer.position.value = n
        step = banned.trace[n - 1]
        assert f"token {n}: entropy {step.entropy[0]:.2f} nats" in viewer.view.value
        _, probs = step.top(8)
        assert all(f"{p:.3f}" in viewer.view.value for p in probs[0])
        assert viewer.view.value.count("◀ chosen") == 1


def test_a_token_that_a_ban_took_away_is_called_removed(mini, banned):
    first = next(i for i, step in enumerate(banned.trace) if step.rank.item() > 1)
    viewer = TraceViewer(mini, banned)
    viewer.position.value = first + 1
    assert "removed" in viewer.view.value
    viewer.position.value = 1
    assert "removed" not in viewer.view.value


def test_a_choice_beyond_the_list_gets_a_row(mini):
    ids = mini.encode("Once upon a time")
    walk = gl.generate(
        mini, ids, max_new_tokens=20, do_sample=True, temperature=3.0, generator=torch.manual_seed(0), trace=True
    )
    far = next(i for i, step in enumerate(walk.trace) if step.rank.item() > 8)
    viewer = TraceViewer(mini, walk)
    viewer.position.value = far + 1
    assert f"{walk.trace[far].rank.item():,}</td>" in viewer.view.value
    assert viewer.view.value.count("◀ chosen") == 1


def test_colour_is_never_alone(mini, banned):
    viewer = TraceViewer(mini, banned)
    assert "most probable" in viewer.view.value
    assert f"rank {banned.trace[0].rank.item()}," in viewer.view.value
    viewer.by.value = "probability"
    assert "border-bottom" in viewer.view.value
    assert "thicker the line" in viewer.view.value


def test_one_row_of_several_is_shown_up_to_its_end(mini):
    ids = mini.encode("Once upon a time")
    comma = mini.encode(",")[0, 0].item()
    g = gl.generate(
        mini,
        ids,
        max_new_tokens=30,
        do_sample=True,
        num_return_sequences=3,
        generator=torch.manual_seed(0),
        eos_token_id=comma,
        trace=True,
    )
    for row in range(3):
        viewer = TraceViewer(mini, g, row=row)
        assert viewer.position.max == g.lengths[row]
        ids_of_row = [step["id"] for step in viewer.steps]
        assert ids_of_row == g.new_tokens[row, : g.lengths[row]].tolist()


def test_model_text_is_escaped(mini):
    ids = mini.encode("<b>one & two</b>")
    g = gl.generate(mini, torch.cat([ids, ids], 1), max_new_tokens=12, repetition_penalty=0.5, trace=True)
    viewer = TraceViewer(mini, g)
    assert "<b>one" not in viewer.view.value
    assert "&lt;b&gt;one &amp; two" in viewer.view.value
    shown = viewer.view.value
    assert shown.count("<span") == shown.count("</span>")


def test_what_cannot_be_shown_is_refused_with_a_sentence(mini, banned):
    with pytest.raises(ValueError, match="trace=True"):
        TraceViewer(mini, gl.generate(mini, mini.encode("The"), max_new_tokens=2))
    with pytest.raises(ValueError, match="row must be from 0 to 0, not 1"):
        TraceViewer(mini, banned, row=1)


def test_the_twin_is_a_picture_with_a_deterministic_sentence(mini, banned):
    bundle = TraceViewer(mini, banned)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    first = sum(step.rank.item() == 1 for step in banned.trace)
    expected = f"TraceViewer: 30 tokens after 'I am a large language model', {first} of them the most probable one"
    assert data["text/plain"] == expected
    assert data["image/png"]
