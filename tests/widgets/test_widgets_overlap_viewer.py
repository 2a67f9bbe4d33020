"""The overlap viewer: marks and numbers are those of the libraries, typed text stays text."""

import base64
from collections import Counter

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from gpt2lessons.widgets import OverlapViewer
from gpt2lessons.widgets.overlap_viewer import shared_ngrams

CANDIDATE, REFERENCE = "The boat came home at dusk.", "The small boat came home at dusk."


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_scores_and_marks_are_those_of_the_libraries(n):
    widget = OverlapViewer(CANDIDATE, REFERENCE, n=n)
    score = rouge_scorer.RougeScorer([f"rouge{n}", "rougeL"]).score(REFERENCE, CANDIDATE)
    for s in score.values():
        assert f"precision {s.precision:.4f}, recall {s.recall:.4f}, F1 {s.fmeasure:.4f}" in widget.view.value
    bleu = sacrebleu.corpus_bleu([CANDIDATE], [[REFERENCE]])
    assert f"score {bleu.score:.2f} of 100" in widget.view.value
    spans = widget.measure()["spans"]
    assert sum(spans[0]) / len(spans[0]) == pytest.approx(score[f"rouge{n}"].precision)
    assert sum(spans[1]) / len(spans[1]) == pytest.approx(score[f"rouge{n}"].recall)
    assert widget.view.value.count("✓") == 2 * sum(spans[0])


def test_shared_ngrams_by_hand():
    assert shared_ngrams(["a", "a", "b"], ["a", "c", "b"], 1) == [[True, False, True], [True, False, True]]
    assert shared_ngrams(["a", "b", "c"], ["b", "c", "a", "b"], 2) == [[True, True], [True, False, True]]


texts = st.lists(st.sampled_from("abc"), min_size=1, max_size=7)


@given(texts, texts, st.integers(1, 3))
def test_as_many_ngrams_are_marked_on_either_side_as_the_multisets_share(candidate, reference, n):
    spans = shared_ngrams(candidate, reference, n)
    grams = [Counter(zip(*(t[i:] for i in range(n)), strict=False)) for t in (candidate, reference)]
    assert sum(spans[0]) == sum(spans[1]) == (grams[0] & grams[1]).total()


def test_controls_move_the_view():
    widget = OverlapViewer("the dogs walked", "a dog walks")
    assert "0 of the candidate's 3 1-grams" in widget.view.value
    widget.stemmer.value = True
    assert "2 of the candidate's 3 1-grams" in widget.view.value
    widget.n.value = 2
    assert "1 of the candidate's 2 2-grams" in widget.view.value
    widget.candidate.value = "dogs walked"
    assert "1 of the candidate's 1 2-grams" in widget.view.value


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "&lt; x </b>"])
def test_what_is_typed_is_escaped(text):
    view = OverlapViewer(text, text).view.value
    for bad in ("<script", "<img", "</b> x", "x </b>"):
        assert bad not in view


def test_too_few_words_become_a_sentence():
    widget = OverlapViewer(CANDIDATE, REFERENCE, n=3)
    widget.candidate.value = "home again"
    assert "the candidate has 2 words, too few for 3-grams" in widget.view.value
    assert widget.candidate.value == "home again"
    widget.reference.value = "..."
    widget.n.value = 1
    assert "the reference has 0 words" in widget.view.value


def test_the_twin_is_a_picture_with_one_line_of_text():
    widget = OverlapViewer(CANDIDATE, REFERENCE)
    bundle = widget._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"].startswith("OverlapViewer: 6 shared 1-grams, rouge1 F1 0.9231")


def test_the_box_is_answered_even_where_stems_are_the_words():
    widget = OverlapViewer("a boat", "a boat")
    before = widget.view.value
    widget.stemmer.value = True
    assert "1-grams of words" in before
    assert "1-grams of stems" in widget.view.value
