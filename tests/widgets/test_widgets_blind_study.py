"""The blind study: the order hides the authors, answers are kept, results and agreement are counted rightly."""

import base64

import pytest

from gpt2lessons.metrics import cohen_kappa, fleiss_kappa, wilson_interval
from gpt2lessons.widgets import BlindStudy

TEXTS = {"human": ["h one", "h two", "h three"], "greedy": ["g one", "g two", "g three"], "pure": ["p one"]}


def answer_all(widget, answers):
    for i, answer in enumerate(answers, 1):
        widget.position.value = i
        widget.choice.value = answer


def test_the_order_is_seeded_and_texts_stay_with_their_authors():
    first, again, other = BlindStudy(TEXTS, seed=1), BlindStudy(TEXTS, seed=1), BlindStudy(TEXTS, seed=2)
    assert first.order == again.order
    assert first.shown == again.shown != other.shown
    assert sorted(zip(first.order, first.shown, strict=True)) == sorted((a, t) for a in TEXTS for t in TEXTS[a])


def test_authors_are_hidden_until_revealed():
    widget = BlindStudy(TEXTS)
    assert widget.shown[0] in widget.view.value
    assert "written by" not in widget.view.value
    widget.reveal.value = True
    assert f"written by <b>{widget.order[0]}</b>; you said: no answer" in widget.view.value


def test_answers_are_kept_when_turning_pages():
    widget = BlindStudy(TEXTS)
    widget.choice.value = "pure"
    widget.position.value = 2
    assert widget.choice.value is None
    widget.choice.value = "human"
    widget.position.value = 1
    assert widget.choice.value == "pure"
    assert widget.answers[:3] == ["pure", "human", None]
    assert "2 of 7 answered" in widget.view.value
    widget.choice.value = None
    assert widget.answers[0] is None


def test_results_count_by_author():
    widget = BlindStudy(TEXTS)
    answer_all(widget, ["human"] * 7)
    rows = {author: rest for author, *rest in widget.results()}
    assert rows["human"] == [3, 3, wilson_interval(3, 3)]
    assert rows["greedy"] == [0, 3, wilson_interval(0, 3)]
    assert rows["all"] == [3, 7, wilson_interval(3, 7)]
    widget.reveal.value = True
    assert "<td>3 of 7</td>" in widget.view.value
    assert "guessing would be right in 0.33" in widget.view.value


def test_several_judges_and_their_agreement():
    widget = BlindStudy(TEXTS)
    swapped = ["human" if a == "greedy" else a for a in widget.order]
    widget.record("Ada", widget.order)
    widget.record("Ben", swapped)
    assert widget.agreement() == pytest.approx(fleiss_kappa(list(zip(widget.order, swapped, strict=True))))
    assert [row[1:3] for row in widget.results() if row[0] == "all"] == [(7 + 4, 14)]
    assert [row[1:3] for row in widget.results(["Ben"]) if row[0] == "greedy"] == [(0, 3)]
    # for two judges Fleiss' and Cohen's kappa differ only in how they count chance
    assert widget.agreement() < cohen_kappa(widget.order, swapped) < 1
    widget.record("Cy", [None] * 6 + [widget.order[6]])
    with pytest.raises(ValueError, match="kappa is undefined"):
        widget.agreement()  # one text that all judged, one answer: nothing to compare with chance


def test_bad_answers_are_told():
    widget = BlindStudy(TEXTS)
    with pytest.raises(ValueError, match="7 texts need as many answers, not 1"):
        widget.record("Ada", ["human"])
    with pytest.raises(ValueError, match="Ada: unknown author 'beam'; there are: human, greedy, pure"):
        widget.record("Ada", ["beam"] * 7)
    with pytest.raises(ValueError, match="at least two judges"):
        widget.agreement()
    for texts in ({"human": ["a"]}, {"human": ["a"], "greedy": []}):
        with pytest.raises(ValueError, match="at least two authors"):
            BlindStudy(texts)


def test_what_a_model_wrote_is_escaped():
    bad = "<script>alert(1)</script><b>x"
    widget = BlindStudy({"<i>a</i>": [bad], "b": [bad]}, context=bad)
    widget.reveal.value = False
    views = [widget.view.value]
    widget.reveal.value = True
    widget.record("<u>", list(widget.order))
    views.append(widget.view.value)
    for view in views:
        assert "<script" not in view
        assert "<i>a" not in view
        assert "<b>x" not in view


def test_the_twin_is_a_picture_before_and_after_answers():
    widget = BlindStudy(TEXTS)
    before = widget._repr_mimebundle_()
    assert base64.b64decode(before["image/png"]).startswith(b"\x89PNG")
    assert before["text/plain"] == "BlindStudy: 7 texts by human, greedy, pure; 0 answers"
    assert any("Who wrote it" in text.get_text() for text in widget.picture().texts)
    widget.record("Ada", widget.order)
    ax = widget.picture().axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["human", "greedy", "pure", "all"]
