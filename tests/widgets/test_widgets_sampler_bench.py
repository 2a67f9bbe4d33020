"""The sampler bench: it shows what the processors give, in the order of the stages, and nothing reaches HTML raw."""

import re

import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.decoding import processors
from gpt2lessons.widgets import SamplerBench

ALL = ["temperature", "top_k", "top_p", "min_p", "typical_p"]


@pytest.fixture
def bench(mini):
    return SamplerBench(mini, "Once upon a time", new_tokens=6)


def logits_of(lm, text):
    with torch.no_grad():
        return lm.model(lm.encode(text)).logits[:, -1]


def after(bench):
    return bench.steps()[-1][1]


def test_everything_is_off_at_first(mini, bench):
    assert bench.active() == []
    torch.testing.assert_close(after(bench), logits_of(mini, "Once upon a time"))
    assert "no stage active: 8,449 of 8,449 tokens, mass 1.000" in bench.summary()


@pytest.mark.parametrize(
    ("name", "value", "process"),
    [
        ("temperature", 0.7, processors.apply_temperature),
        ("top_k", 50, processors.keep_top_k),
        ("top_p", 0.8, processors.keep_top_p),
        ("min_p", 0.05, processors.keep_min_p),
        ("typical_p", 0.6, processors.keep_typical),
    ],
)
def test_each_slider_is_its_processor(mini, bench, name, value, process):
    bench.controls[name].value = value
    torch.testing.assert_close(after(bench), process(logits_of(mini, "Once upon a time"), value))
    assert f"{ALL.index(name) + 1}. {name} {value:g}" in bench.view.value
    assert bench.view.value.count("off</th>") == 4


def test_stages_run_in_the_order_shown(mini, bench):
    bench.controls["temperature"].value, bench.controls["top_p"].value = 2.0, 0.8
    logits = logits_of(mini, "Once upon a time")
    first = processors.keep_top_p(processors.apply_temperature(logits, 2.0), 0.8)
    torch.testing.assert_close(after(bench), first)
    bench.move("temperature", 1)
    bench.move("temperature", 1)
    assert bench.order[:3] == ["top_k", "top_p", "temperature"]
    last = processors.apply_temperature(processors.keep_top_p(logits, 0.8), 2.0)
    torch.testing.assert_close(after(bench), last)
    assert first.isfinite().sum() > last.isfinite().sum()


def test_buttons_move_stages_and_stop_at_the_ends(bench):
    bench.later["temperature"].click()
    assert bench.order == ["top_k", "temperature", "top_p", "min_p", "typical_p"]
    bench.earlier["temperature"].click()
    bench.earlier["temperature"].click()
    assert bench.order == ALL
    assert bench.earlier["temperature"].disabled
    assert bench.later["typical_p"].disabled
    assert [bench.controls[n].description for n in bench.order] == [f"{i + 1}. {n}" for i, n in enumerate(ALL)]
    assert [bench._rows[n].layout.order for n in bench.order] == list("01234")


def test_buttons_can_be_told_apart_without_seeing_them(bench):
    tips = [b.tooltip for kept in (bench.earlier, bench.later) for b in kept.values()]
    assert len(set(tips)) == 10


def test_table_shows_the_numbers(bench):
    bench.controls["top_k"].value = 50
    logits = bench.steps()[0][1]
    mass = logits.softmax(-1)[0].topk(50).values.sum()
    assert re.search(rf"2\. top_k 50</th><td>50</td><td>{mass:.3f}</td>", bench.view.value)


def test_removed_tokens_name_the_stage_that_removed_them(bench):
    bench.controls["top_k"].value, bench.controls["min_p"].value = 4, 0.9
    assert "✗ top_k" in bench.view.value
    assert "✗ min_p" in bench.view.value


def test_greedy_is_the_limit(mini, bench):
    bench.controls["top_k"].value = 1
    greedy = gl.generate(mini, mini.encode("Once upon a time"), max_new_tokens=6)
    assert bench.text() == mini.decode(greedy.new_tokens[0])


def test_text_follows_the_law_of_the_settings(mini):
    """Over many seeds the first token is distributed as the table says (chi-square, 5 classes, p > 0.001)."""
    bench = SamplerBench(mini, "Once upon a time", new_tokens=1, settings={"temperature": 0.7, "top_k": 5})
    probs = after(bench)[0].softmax(-1)
    ids, counts = probs.topk(5).indices, torch.zeros(5)
    logits = after(bench)[0].log_softmax(-1)
    for seed in range(600):
        counts[(ids == (logits + bench._noise(seed)[0]).argmax()).nonzero()[0, 0]] += 1
    expected = 600 * probs[ids]
    assert ((counts - expected) ** 2 / expected).sum() < 18.47
    wrong = 600 * after(SamplerBench(mini, "Once upon a time", settings={"top_k": 5}))[0].softmax(-1)[ids]
    assert ((counts - wrong) ** 2 / wrong).sum() > 18.47


def test_same_seed_same_text_and_other_seed_other_text(mini, bench):
    again = SamplerBench(mini, "Once upon a time", new_tokens=6)
    assert again.text() == bench.text()
    first = bench.text()
    bench.seed.value = 1
    assert bench.text() != first
    bench.seed.value = 0
    assert bench.text() == first


def test_what_is_remembered_changes_nothing(mini, bench):
    """Texts met on the way through other settings equal those of a fresh bench."""
    for temperature in (0.3, 1.7, 0.8, 1.0):
        bench.controls["temperature"].value = temperature
    bench.prompt.value = "In the house there was a"
    bench.controls["temperature"].value = 0.8
    fresh = SamplerBench(mini, "In the house there was a", new_tokens=6, settings={"temperature": 0.8})
    assert bench.text() == fresh.text()
    torch.testing.assert_close(after(bench), after(fresh))


def test_memory_is_bounded(bench, monkeypatch):
    monkeypatch.setattr("gpt2lessons.widgets.sampler_bench._REMEMBERED", 10)
    for seed in range(1, 8):
        bench.seed.value = seed
    assert len(bench._known) <= 10


def test_stages_can_be_chosen(mini):
    bench = SamplerBench(mini, stages=["top_k", "temperature"], settings={"top_k": 10}, new_tokens=2)
    assert bench.active() == [("top_k", 10)]
    assert set(bench.controls) == {"top_k", "temperature"}


@pytest.mark.parametrize("arguments", [{"stages": ["topk"]}, {"stages": []}, {"settings": {"beam": 3}}])
def test_unknown_stages_are_named(mini, arguments):
    with pytest.raises(ValueError, match="temperature, top_k, top_p, min_p, typical_p"):
        SamplerBench(mini, **arguments)


def test_prompt_is_escaped(bench):
    bench.prompt.value = '<img src=x onerror="alert(1)">'
    assert "<img" not in bench.view.value
    assert "&lt;img" in bench.view.value


def test_tokens_are_escaped(mini, bench):
    """Whatever the model writes: here it can only write `<`."""
    less = mini.tokenizer.encode("<")[0]
    bench._walk = lambda ids: torch.full((1, mini.model.config.vocab_size), -50.0).index_fill(
        1, torch.tensor([less]), 50.0
    )
    bench.refresh()
    assert "<<" not in bench.view.value
    assert "&lt;&lt;" in bench.view.value
    assert "<b><" not in bench.view.value


@pytest.mark.parametrize(("prompt", "sentence"), [("", "empty"), ("word " * 600, "write one that has 1 to 506")])
def test_impossible_prompts_get_a_sentence_and_keep_the_settings(bench, prompt, sentence):
    bench.controls["top_k"].value = 50
    bench.prompt.value = prompt
    assert 'role="alert"' in bench.view.value
    assert sentence in bench.view.value
    assert bench.controls["top_k"].value == 50
    bench.prompt.value = "Once upon a time"
    assert "alert" not in bench.view.value


def test_static_twin(bench):
    bench.controls["top_k"].value = 5
    bundle = bench._repr_mimebundle_()
    assert bundle["image/png"]
    assert bundle["text/plain"] == bench.summary()
    assert "top_k 5: 5 of 8,449 tokens" in bench.summary()
    ax = bench.picture().axes[0]
    assert [t.get_text() for t in ax.texts].count("removed") == 7


def test_picture_survives_dollars_and_strange_letters(bench):
    bench.prompt.value = "It cost $5 and $6 \U0001f642"
    bench.picture().canvas.draw()


def test_text_ends_at_the_end_token(mini, bench):
    eos = mini.tokenizer.eos_token_id
    bench._walk = lambda ids: torch.zeros(1, mini.model.config.vocab_size).index_fill(1, torch.tensor([eos]), 90.0)
    assert bench.text() == mini.tokenizer.eos_token
