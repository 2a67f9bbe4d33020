"""The next-token bench: controls move the view, the arithmetic is softmax's, text is escaped, the model runs rarely."""

import time

import pytest
import torch

from gpt2lessons.widgets import NextTokenBench, next_token_bench


@pytest.fixture
def bench(mini):
    return NextTokenBench(mini, "Once upon a time")


def test_probabilities_are_the_softmax_of_the_divided_logits(bench, mini):
    logits = mini.model(mini.encode("Once upon a time")).logits[0, -1].detach()
    for temperature in (0.5, 1.0, 2.5):
        bench.temperature.value = temperature
        state = bench.state()
        assert torch.allclose(state["logits"], logits, atol=1e-3)
        assert torch.allclose(state["probs"], (logits / temperature).softmax(-1), atol=1e-4)
        best = state["order"][0]
        assert f">{state['scaled'][best]:.2f}</td>" in bench.view.value
        assert f"{state['probs'][best]:.3f}" in bench.view.value


def test_u_falls_on_the_token_whose_stretch_it_hits(bench):
    probs = bench.state()["probs"][bench.state()["order"]].double()
    ends = probs.cumsum(0)
    bench.u.value = 0
    assert bench.state()["place"] == 0
    for place in range(3):
        bench.u.value = round(float(ends[place] - probs[place] / 2), 3)
        assert bench.state()["place"] == place
    bench.u.value = 0.999
    assert bench.state()["place"] > 100
    assert bench.view.value.count("◀ drawn") == 1  # a rank that is not listed gets a row of its own


def test_a_low_temperature_moves_every_u_to_the_favourite(bench):
    bench.u.value = 0.9
    bench.temperature.value = 0.1
    assert bench.state()["place"] == 0


def test_evenly_spaced_us_share_out_the_distribution(bench):
    """1,000 evenly spaced values of u hit each token as often as its probability says, to one value at either end."""
    state = bench.state()
    ends = state["probs"][state["order"]].double().cumsum(0)
    places = [int((ends <= n / 1000 * ends[-1]).sum()) for n in range(1000)]
    for place in range(5):
        assert abs(places.count(place) - 1000 * state["probs"][state["order"][place]]) <= 1


def test_append_puts_the_drawn_token_behind_the_prompt(bench, mini):
    state = bench.state()
    drawn = mini.decode([int(state["order"][state["place"]])])
    bench.append.click()
    assert bench.prompt.value == "Once upon a time" + drawn
    assert drawn.strip() in bench.view.value


def test_a_new_u_is_between_0_and_1(bench):
    for _ in range(20):
        bench.draw.click()
        assert 0 <= bench.u.value < 1


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "a&b</b>"])
def test_what_is_typed_and_what_the_model_says_is_escaped(mini, text):
    bench = NextTokenBench(mini, text, u=0.999)
    for bad in ("<script", "<img", "a&b<"):
        assert bad not in bench.view.value


def test_an_empty_or_too_long_prompt_is_a_sentence_and_the_controls_stay(bench):
    bench.temperature.value = 0.7
    bench.prompt.value = ""
    assert "at least one character" in bench.view.value
    assert "at least one character" in repr(bench)
    data = bench._repr_mimebundle_()
    assert "image/png" in data, "a picture of the sentence"
    bench.append.click()
    assert bench.prompt.value == ""
    bench.prompt.value = "word " * 600
    assert "Shorten it" in bench.view.value
    bench.prompt.value = "The king"
    assert "drawn" in bench.view.value
    assert bench.temperature.value == 0.7


def test_the_model_reads_a_prompt_once_and_sliders_answer_at_once(mini, monkeypatch):
    calls = []
    real = next_token_bench.logits_function
    monkeypatch.setattr(next_token_bench, "logits_function", lambda lm: calls.append(1) or real(lm))
    bench = NextTokenBench(mini, "Once upon a time")
    for n in range(1, 20):
        bench.temperature.value = n / 10
        bench.u.value = n / 20
    assert len(calls) == 1
    bench.prompt.value = "The king"
    assert len(calls) == 2
    started = time.perf_counter()
    bench.render()
    assert time.perf_counter() - started < 5  # an accident, not a speed limit


def test_the_twin_is_a_picture_with_a_deterministic_sentence(mini):
    bundles = [NextTokenBench(mini, "Once upon a time", u=0.4)._repr_mimebundle_() for _ in range(2)]
    data = [b[0] if isinstance(b, tuple) else b for b in bundles]
    assert data[0]["image/png"] == data[1]["image/png"]
    assert data[0]["text/plain"] == data[1]["text/plain"]
    assert data[0]["text/plain"].startswith("NextTokenBench: 'Once upon a time' at temperature 1, random number 0.4")
