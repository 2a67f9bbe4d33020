"""The training watcher: each step shows its own model's numbers, the prompt is safe, refusals are sentences."""

import math

import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.widgets import TrainingWatcher

LINES = {"uniform": math.log(257), "floor": 0.2}


@pytest.fixture(scope="module")
def bpe():
    return gl.BPE.train("a", 0)


@pytest.fixture(scope="module")
def copies(bpe):
    """Three models that differ: after 0, 3 and 5 steps, so to speak; the last knows nothing but the letter x."""
    found = {}
    for step in (5, 0, 3):
        torch.manual_seed(step)
        found[step] = gl.GPT2(gl.GPT2Config(vocab_size=len(bpe), n_positions=24, n_embd=16, n_layer=1, n_head=2))
    x = bpe.encode("x")[0]
    last = found[5]
    with torch.no_grad():
        last.ln_f.weight.zero_()
        last.ln_f.bias.copy_(torch.nn.functional.normalize(last.wte.weight[x], dim=0) * 4000)
    return {step: model.requires_grad_(False).eval() for step, model in found.items()}


@pytest.fixture
def watcher(bpe, copies):
    return TrainingWatcher(copies, [5.6, 5.0, 4.0, 3.0, 2.0], bpe, "the <b> h", lines=LINES, new_tokens=6)


def test_the_slider_goes_through_the_copies_in_order_and_starts_at_the_end(watcher):
    assert [value for _, value in watcher.step._options_full] == [0, 3, 5]
    assert watcher.step.value == 5
    assert "after step 5 of 5: loss 2.00" in watcher.view.value
    watcher.step.value = 3
    assert "after step 3 of 5: loss 3.00" in watcher.view.value  # measured before the fourth step
    watcher.step.value = 0
    assert "before the first step: loss 5.60" in watcher.view.value


def test_the_table_holds_the_probabilities_of_that_step(watcher, copies, bpe):
    for step, model in copies.items():
        watcher.step.value = step
        probs = model(torch.tensor([bpe.encode("the <b> h")]))[0, -1].softmax(-1)
        assert f"{probs.max():.3f}" in watcher.view.value
        top, _ = watcher.state()
        assert [p for _, p in top] == pytest.approx(probs.topk(6).values.tolist(), rel=1e-4)


def test_the_sample_is_written_by_the_model_of_that_step(watcher):
    assert watcher.state()[1] == "xxxxxx"
    watcher.step.value = 0
    assert watcher.state()[1] != "xxxxxx"
    assert watcher.state() == watcher.state()  # one seed: moving back and forth shows the same text


def test_a_typed_prompt_is_used_and_escaped(watcher):
    assert "<b>" not in watcher.view.value.split("it writes:</b>")[1]
    assert "the &lt;b&gt; h" in watcher.view.value
    before = watcher.view.value
    watcher.prompt.value = "a king"
    assert watcher.view.value != before
    assert "a king" in watcher.view.value


def test_what_the_model_writes_is_escaped_and_control_characters_become_signs(watcher):
    # an untrained model of bytes writes anything, also half of a character and a null byte
    watcher.step.value = 0
    shown = watcher.view.value
    assert not any(ord(c) < 32 for c in shown)
    assert shown.count("<span") == shown.count("</span>")


def test_lines_and_present_step_are_in_the_drawing(watcher):
    shown = watcher.view.value
    assert "uniform 5.55" in shown
    assert "floor 0.20" in shown
    assert "currentColor" in shown
    places = {}
    for step in (0, 5):
        watcher.step.value = step
        places[step] = float(watcher.view.value.split('<circle cx="')[1].split('"')[0])
    assert places[0] < places[5]


def test_a_prompt_that_does_not_fit_gets_a_sentence_and_stays(watcher):
    watcher.prompt.value = "x" * 24
    assert "24 tokens, but this model reads 24" in watcher.view.value
    assert watcher.prompt.value == "x" * 24
    watcher.prompt.value = ""
    assert "Type a prompt" in watcher.view.value
    watcher.prompt.value = "x" * 23  # one token has room
    assert len(watcher.state()[1]) == 1


def test_a_language_model_can_take_the_place_of_the_bpe(mini):
    found = TrainingWatcher({1: mini.scratch}, [3.0], mini, "Once upon a", new_tokens=3)
    top, _ = found.state()
    assert top[0][0] == mini.decode([mini.scratch(mini.encode("Once upon a"))[0, -1].argmax()])


@pytest.mark.parametrize(
    ("step", "losses", "words"),
    [(None, [1.0], "nothing to watch"), (1, [], "nothing to watch"), (7, [1.0, 2.0], "copy of step 7")],
)
def test_a_recording_that_does_not_fit_is_refused(copies, bpe, step, losses, words):
    with pytest.raises(ValueError, match=words):
        TrainingWatcher({} if step is None else {step: copies[0]}, losses, bpe, "a")


def test_the_twin_is_a_picture_with_a_deterministic_sentence(watcher):
    bundle = watcher._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/plain"] == "TrainingWatcher: 5 steps, 3 copies, prompt 'the <b> h'"
    assert data["image/png"]
