"""The token explorer: controls move the view, text is escaped, bad input becomes a sentence, the twin is a picture."""

import base64

import pytest

from gpt2lessons.bpe import BPE
from gpt2lessons.widgets import TokenExplorer


def test_the_view_shows_ids_bytes_and_merges_of_the_picked_token():
    widget = TokenExplorer("I am a large language model", token=5)
    for number in (40, 716, 257, 1588, 3303, 2746):
        assert f"<sub>{number}</sub>" in widget.view.value
    assert "bytes <code>20 6c 61 6e 67 75 61 67 65</code>" in widget.view.value
    ranks = [step.rank for step in BPE.gpt2().explain(" language")]
    assert all(f'padding:0 .7em">{rank:,}</td>' in widget.view.value for rank in ranks)


def test_the_slider_and_the_text_move_the_view_and_the_slider_fits_the_text():
    widget = TokenExplorer("one two three")
    assert (widget.token.min, widget.token.max) == (1, 3)
    widget.token.value = 3
    assert "picked: <b>␣three</b>" in widget.view.value
    widget.text.value = "one"
    assert (widget.token.value, widget.token.max) == (1, 1)
    assert "picked: <b>one</b>" in widget.view.value
    widget.text.value = "one two three four"
    assert widget.token.max == 4


def test_the_vocabulary_changes_the_tokens():
    widget = TokenExplorer(" tokenization", vocabulary="gpt2", token=2)
    full = [i for i, _ in widget.tokens()]
    widget.vocabulary.value = widget.vocabulary.options[1]
    assert [i for i, _ in widget.tokens()] == BPE.mini().encode(" tokenization") != full
    assert widget.token.max == len(BPE.mini().encode(" tokenization"))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b</span>"])
def test_what_is_typed_is_escaped(text):
    widget = TokenExplorer(text)
    for token in range(1, widget.token.max + 1):
        widget.token.value = token
        for bad in ("<script", "<img", "alert(1)>", "a&b"):
            assert bad not in widget.view.value
        assert widget.view.value.count("<span") == widget.view.value.count("</span>") == widget.token.max


def test_tokens_are_those_of_the_whole_text_special_token_included():
    text = "It's 🙂<|endoftext|><|endoftext|> naïve\n\n  x"
    widget = TokenExplorer(text)
    assert [i for i, _ in widget.tokens()] == BPE.gpt2().encode(text)
    widget.token.value = 1 + [i for i, _ in widget.tokens()].index(50256)
    assert "the special token" in widget.view.value


def test_bytes_of_half_a_character_and_control_characters_can_be_seen():
    widget = TokenExplorer("𓀀\x00", token=1)
    assert r"\xf0" in widget.view.value
    assert "\x00" not in widget.view.value
    assert r"\u0000" in widget.view.value


def test_a_lone_surrogate_is_a_sentence_and_the_text_stays():
    widget = TokenExplorer("fine")
    widget.text.value = "not \ud83d fine"
    assert "lone surrogate" in widget.view.value
    assert 'role="alert"' in widget.view.value
    assert widget.text.value == "not \ud83d fine"
    widget.text.value = "fine again"
    assert "␣again" in widget.view.value


def test_empty_and_long_texts():
    widget = TokenExplorer("")
    assert "no tokens" in widget.view.value
    assert widget.picture() is not None
    widget.text.value = "word " * 3000
    assert "more tokens are not drawn" in widget.view.value
    widget.token.value = 3000
    assert "token 3000:" in widget.view.value
    widget.text.value = "x" * 5000
    assert "too long to list its merges" in widget.view.value


def test_an_unknown_vocabulary_is_refused():
    with pytest.raises(ValueError, match="'gpt2' or 'mini', not 'gpt3'"):
        TokenExplorer(vocabulary="gpt3")


def test_the_static_twin_is_a_picture_and_a_line():
    widget = TokenExplorer("I am a large language model", token=5)
    bundle = widget._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == widget.summary() == repr(widget)
    assert "40 716 257 1588 3303 2746" in widget.summary()
