"""The surprisal painter: the numbers are those of scoring, controls move the view, typed text stays text."""

import base64
import re

import pytest

from gpt2lessons import scoring
from gpt2lessons.widgets import SurprisalPainter

TEXT = "Once upon a time there was a king."


def spans(widget):
    return re.findall(r'<span title="([^"]*)" style="[^"]*white-space:pre">(.*?)</span><wbr>', widget.view.value)


def test_every_token_carries_its_bits_and_the_sums_are_those_of_scoring(mini):
    widget, ids = SurprisalPainter(mini, TEXT), mini.encode(TEXT)
    bits = scoring.surprisal(mini, ids)[0].tolist()
    titles = [title for title, _ in spans(widget)]
    assert titles[0] == "not predicted"
    assert [t.split(" bits")[0] for t in titles[1:]] == [f"{b:.2f}" for b in bits]
    assert f"perplexity {scoring.perplexity(mini, ids):,.1f}" in widget.view.value
    assert f"{scoring.bits_per_byte(mini, TEXT, add_bos=False):.2f} bits per byte" in widget.view.value
    assert "(not the first)" in widget.view.value


def test_the_first_token_is_predicted_on_demand(mini):
    widget, ids = SurprisalPainter(mini, TEXT), mini.encode(TEXT)
    widget.add_bos.value = True
    assert all("bits" in title for title, _ in spans(widget))
    assert f"perplexity {scoring.perplexity(mini, ids, add_bos=True):,.1f}" in widget.view.value
    assert f"{scoring.bits_per_byte(mini, TEXT):.2f} bits per byte" in widget.view.value


def test_numbers_can_be_hidden_and_text_changes_the_view(mini):
    widget = SurprisalPainter(mini, TEXT)
    assert "<sub" in widget.view.value
    widget.numbers.value = False
    assert "<sub" not in widget.view.value
    widget.text.value = "The dog ran home."
    assert spans(widget)[0][1] == mini.decode(mini.encode("The dog ran home.")[0, :1])


def test_the_most_surprising_token_is_named(mini):
    widget = SurprisalPainter(mini, "Once upon a time there was a zebra.")
    tokens, bits = widget.measure()
    worst = max(range(1, len(tokens)), key=lambda i: bits[i])
    assert f"most surprising: {tokens[worst].replace(' ', '␣')} (token {worst + 1}, {bits[worst]:.1f} bits)" in (
        widget.view.value
    )


@pytest.mark.parametrize("text", ["<script>alert(1)</script> x", '"><img src=x onerror=alert(1)>', "a&b</span> c"])
def test_what_is_typed_is_escaped(mini, text):
    view = SurprisalPainter(mini, text).view.value
    for bad in ("<script", "<img", "a&b", "</span></span> c"):
        assert bad not in view
    assert view.count("<span") == view.count("</span>")


def test_long_texts_are_read_through_a_window(mini):
    text = "the cat ran to the house. " * (mini.model.config.n_positions // 4)
    widget = SurprisalPainter(mini, text)
    assert f"{mini.encode(text).shape[1] - 1} tokens scored" in widget.view.value


@pytest.mark.parametrize("text", ["", "a"])
def test_too_short_a_text_becomes_a_sentence_and_nothing_is_lost(mini, text):
    widget = SurprisalPainter(mini, TEXT)
    widget.text.value = text
    assert 'role="alert"' in widget.view.value
    assert widget.text.value == text
    widget.text.value = TEXT
    assert "perplexity" in widget.view.value


def test_the_twin_is_a_picture_with_one_line_of_text(mini):
    widget = SurprisalPainter(mini, TEXT)
    bundle = widget._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(widget) == widget.summary()
    ids = mini.encode(TEXT)
    assert f"{ids.shape[1]} tokens, perplexity {scoring.perplexity(mini, ids):.4g}" in widget.summary()
