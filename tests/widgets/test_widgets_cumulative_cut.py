"""CumulativeCut: its numbers are those of the filters, exact on a toy, and nothing typed reaches HTML raw."""

import re

import numpy as np
import pytest
import torch

from gpt2lessons.decoding import processors
from gpt2lessons.plots.style import numbers
from gpt2lessons.widgets import CumulativeCut, cumulative_cut

PROMPTS = ("In the house there was a", "Once upon")


@pytest.fixture
def view(mini):
    return CumulativeCut(mini, *PROMPTS)


def logits_of(lm, text):
    with torch.no_grad():
        return lm.model(lm.encode(text)).logits[0, -1].double()


@pytest.mark.parametrize(("k", "p"), [(50, 0.8), (1, 0.01), (1000, 0.99), (7, 0.4)])
def test_cuts_keep_what_the_filters_keep(mini, view, k, p):
    view.k.value, view.p.value = k, p
    for text in PROMPTS:
        logits, found = logits_of(mini, text), view.state()[text]
        kept = [f(logits[None], n)[0].isfinite() for f, n in ((processors.keep_top_k, k), (processors.keep_top_p, p))]
        for (many, mass), mask in zip((found["top_k"], found["top_p"]), kept, strict=True):
            assert many == mask.sum()
            assert mass == pytest.approx(logits.softmax(-1)[mask].sum().item(), abs=1e-6)


def test_numbers_of_a_distribution_computed_by_hand(mini, monkeypatch):
    probs = torch.tensor([0.0625, 0.5, 0.125, 0.25, 0.0625], dtype=torch.double)  # exact in binary
    monkeypatch.setattr(cumulative_cut, "logits_function", lambda lm: lambda ids: probs.log().expand(1, 1, 5))
    view = CumulativeCut(mini, "a", "", k=3, p=0.7)
    found = view.state()["a"]
    assert found["top_k"] == (3, pytest.approx(0.875))
    assert found["top_p"] == (2, pytest.approx(0.75))
    assert found["order"].tolist() == [1, 3, 2, 0, 4]
    np.testing.assert_allclose(numbers(found["sums"]), [0.5, 0.75, 0.875, 0.9375, 1])
    last, first = (mini.decode([i]) for i in (3, 2))
    assert f"{last}</td>" in view.view.value
    assert f"{first}</td>" in view.view.value


def test_table_shows_the_numbers_and_marks_stand_at_the_cuts(view):
    state = view.state()
    (many, mass), (needed, share) = state[PROMPTS[0]]["top_k"], state[PROMPTS[0]]["top_p"]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", view.view.value)
    assert cells[:4] == [f"{many:,}", f"{mass:.3f}", f"{needed:,}", f"{share:.3f}"]
    assert view.view.value.count("<rect") == view.view.value.count("<circle") == 2


def test_share_that_top_p_keeps_reaches_p_and_less_one_token_does_not(view):
    for p in (0.05, 0.5, 0.95):
        view.p.value = p
        for found in view.state().values():
            needed, share = found["top_p"]
            assert share >= p
            assert share - found["probs"][needed - 1] < p


def test_sliders_do_not_ask_the_model_again(mini, monkeypatch):
    calls = []
    real = cumulative_cut.logits_function
    monkeypatch.setattr(cumulative_cut, "logits_function", lambda lm: calls.append(1) or real(lm))
    view = CumulativeCut(mini, *PROMPTS)
    for k, p in ((10, 0.3), (100, 0.9), (1, 0.5)):
        view.k.value, view.p.value = k, p
    assert len(calls) == 2
    view.other.value = "Twice upon"
    assert len(calls) == 3


def test_memory_is_bounded(mini, monkeypatch):
    monkeypatch.setattr(cumulative_cut, "_REMEMBERED", 3)
    view = CumulativeCut(mini)
    for word in ("a", "b", "c", "d", "e"):
        view.prompt.value = word
    assert len(view._known) <= 3


@pytest.mark.parametrize("other", ["", PROMPTS[0]])
def test_second_prompt_may_be_empty_or_the_same(mini, other):
    view = CumulativeCut(mini, PROMPTS[0], other)
    assert list(view.state()) == [PROMPTS[0]]
    assert view.view.value.count("<circle") == 1
    assert len(view.summary().splitlines()) == 1


def test_impossible_prompts_become_a_sentence_and_settings_stay(view):
    view.k.value = 10
    view.prompt.value = view.other.value = ""
    assert 'role="alert"' in view.view.value
    assert "at least one character" in view.view.value
    view.prompt.value = "word " * 600
    assert "Shorten it" in view.view.value
    assert view.k.value == 10
    view.prompt.value = "Once"
    assert "alert" not in view.view.value


@pytest.mark.parametrize("bad", [{"k": 6}, {"k": 0}, {"p": 0}, {"p": 1.0}, {"p": float("nan")}])
def test_impossible_starts_are_refused(mini, bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must"):
        CumulativeCut(mini, **bad)


def test_what_is_typed_is_escaped(mini):
    view = CumulativeCut(mini, '<img src=x onerror="alert(1)">', "</svg><script>")
    for bad in ("<img", "<script", '"alert'):
        assert bad not in view.view.value
    assert "&lt;img" in view.view.value


def test_static_twin_has_the_curves_and_a_deterministic_sentence(view):
    bundles = [view._repr_mimebundle_() for _ in range(2)]
    assert bundles[0]["image/png"] == bundles[1]["image/png"]
    assert bundles[0]["text/plain"] == view.summary()
    many, mass = view.state()[PROMPTS[0]]["top_k"]
    assert view.summary().startswith(f"CumulativeCut: {PROMPTS[0]!r}: top-k 50 keeps {many} tokens, mass {mass:.3f};")
    ax = view.picture().axes[0]
    for line, found in zip(ax.lines, view.state().values(), strict=False):
        np.testing.assert_allclose(line.get_ydata(), numbers(found["sums"]), atol=1e-9)


def test_picture_survives_dollars_and_strange_letters(mini):
    CumulativeCut(mini, "It cost $5 and $6 \U0001f642", "").picture().canvas.draw()


def test_curve_of_any_vocabulary_has_few_points_and_both_ends():
    for size in (1, 2, 5, 30, 31, 8449, 50257):
        ranks = cumulative_cut._ranks(size)
        assert (ranks[0], ranks[-1]) == (1, size)
        assert len(ranks) < 200
