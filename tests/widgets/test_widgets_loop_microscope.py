"""The loop microscope: probabilities are the model's, the slider costs nothing, bad input becomes a sentence."""

import pytest
import torch

from gpt2lessons.widgets import LoopMicroscope, loop_microscope


def test_the_numbers_are_those_of_a_plain_forward_pass(mini):
    scope = LoopMicroscope(mini, "Once upon a time", " The door was open.", repetitions=5)
    tokens, log_probs = scope.state()
    start, once = mini.encode("Once upon a time"), mini.encode(" The door was open.")
    ids = torch.cat([start, once.repeat(1, 5)], 1)
    rows = mini.model(ids).logits.log_softmax(-1).detach()[0]
    for n in range(5):
        for j, token in enumerate(once[0]):
            place = start.shape[1] + n * once.shape[1] + j
            assert log_probs[n, j].item() == pytest.approx(rows[place - 1, token].item(), abs=1e-3)
    assert tokens == [mini.decode([i]) for i in once[0]]


def test_a_repeated_phrase_grows_more_probable(mini):
    _, log_probs = LoopMicroscope(mini, "Once upon a time", " The door was open.", repetitions=6).state()
    sums = log_probs.sum(1)
    assert sums[0] < sums[1] < sums[5]


def test_the_slider_shows_more_rows_without_asking_the_model_again(mini, monkeypatch):
    calls = []
    real = loop_microscope.token_log_probs
    monkeypatch.setattr(loop_microscope, "token_log_probs", lambda *a: calls.append(1) or real(*a))
    scope = LoopMicroscope(mini, repetitions=2)
    assert scope.view.value.count("<tr>") == 3
    for n in range(1, 13):
        scope.repetitions.value = n
        assert scope.view.value.count("<tr>") == n + 1
    assert len(calls) == 1
    scope.phrase.value = " Another phrase."
    assert len(calls) == 2


def test_a_phrase_that_does_not_fit_often_says_so(mini):
    scope = LoopMicroscope(mini, "Once", " word" * 100, repetitions=8)
    limit = mini.model.config.n_positions
    fits = (limit - 1) // mini.encode(" word" * 100).shape[1]
    assert len(scope.state()[1]) == fits < 8
    assert "do not fit" in scope.view.value
    scope.phrase.value = " word" * 600
    assert "Shorten them" in scope.view.value


@pytest.mark.parametrize(("prompt", "phrase"), [("", " a"), ("Once", "")])
def test_empty_text_becomes_a_sentence_and_the_widget_recovers(mini, prompt, phrase):
    scope = LoopMicroscope(mini)
    scope.prompt.value, scope.phrase.value = prompt, phrase
    assert "at least one character each" in scope.view.value
    scope.prompt.value, scope.phrase.value = "Once", " a"
    assert "<table" in scope.view.value


def test_what_is_typed_is_escaped(mini):
    scope = LoopMicroscope(mini, "<i>", " <script>alert(1)</script>")
    for bad in ("<i>", "<script", "</script"):
        assert bad not in scope.view.value


def test_the_twin_is_a_picture_with_a_deterministic_sentence(mini):
    data = [LoopMicroscope(mini)._repr_mimebundle_() for _ in range(2)]
    data = [d[0] if isinstance(d, tuple) else d for d in data]
    assert data[0]["image/png"] == data[1]["image/png"]
    assert data[0]["text/plain"].startswith("LoopMicroscope: ' The green door was locked.' after 'Once upon a time'")
