"""The beam tree widget: sliders move the view, hover texts say why, text is escaped, the twin is a picture."""

import base64

import pytest
import torch

from gpt2lessons import toy
from gpt2lessons.widgets import BeamTree


@pytest.fixture
def widget():
    return BeamTree(toy.BEAM_LOSES, "the", num_beams=2, most_beams=4, max_new_tokens=3)


def boxes(widget):
    return widget.view.value.count("<g>")


def test_the_step_slider_grows_the_tree(widget):
    counts = []
    for step in (0, 1, 2, 3):
        widget.step.value = step
        counts.append(boxes(widget))
    assert counts == [1, 3, 8, 14]  # the prompt; 2 words; 5 pairs; 6 triples
    assert "The search stopped: the length limit is reached." in widget.view.value
    widget.step.value = 0
    assert "said nothing yet; 2 beam(s)" in widget.view.value


def test_the_width_changes_what_is_kept_and_what_wins(widget):
    assert "'owl flew home'" in repr(widget)
    widget.num_beams.value = 3
    assert "'fox ran home'" in repr(widget)
    assert "fox ran: kept. number 3: one of the 3 best that do not end here" in widget.view.value
    widget.num_beams.value = 1
    assert "'fox ran home'" in repr(widget)


def test_what_was_dropped_can_be_hidden(widget):
    assert "○ ran" in widget.view.value
    widget.dropped.value = False
    assert "○" not in widget.view.value
    assert boxes(widget) == 1 + 2 + 2 + 2


def test_each_candidate_says_why(widget):
    hints = [part.split("</title>")[0] for part in widget.view.value.split("<title>")[1:]]
    nodes = widget.result().tree.nodes
    assert hints[0] == "the prompt: the"
    assert hints[1:] == [f"{toy.BEAM_LOSES.decode(n.new_ids())}: {n.state}. {n.reason}" for n in nodes]
    assert 'stroke-width="3"' in widget.view.value


def test_a_search_is_run_once_per_width(widget):
    first = widget.result()
    widget.num_beams.value = 3
    widget.num_beams.value = 2
    assert widget.result() is first


def test_settings_reach_the_search():
    model = toy.EARLY_STOP
    eager = BeamTree(model, "so", max_new_tokens=5, eos_token_id=model.eos_token_id, early_stopping=True)
    assert "early_stopping=True, and 2 are finished" in eager.view.value
    assert "'go .'" in repr(eager)
    patient = BeamTree(model, "so", max_new_tokens=5, eos_token_id=model.eos_token_id)
    assert "'go on .'" in repr(patient)


def test_text_is_escaped():
    class Nasty:
        def __call__(self, ids):
            return torch.zeros(*ids.shape, 4) + torch.arange(4.0)

        def encode(self, text):
            return torch.tensor([[0]])

        def decode(self, ids):
            return "".join("<script>&\"'"[: 8 + int(i)] for i in ids)

    widget = BeamTree(Nasty(), "<b>bold</b>", max_new_tokens=2)
    assert "<script>" not in widget.view.value
    assert "<b>bold" not in widget.view.value
    assert "&lt;script&gt;" in widget.view.value


def test_bad_settings_become_a_sentence():
    broken = BeamTree(toy.BEAM_LOSES, "the", early_stopping="soon")
    assert 'role="alert"' in broken.view.value
    assert "is not allowed: it is True, False" in broken.view.value


def test_the_twin_is_a_picture_and_a_line(widget):
    data = widget._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "BeamTree after 'the': 2 beams, step 3: 'owl flew home' (sum -2.39 nats)"
    widget.step.value = 2
    assert repr(widget).endswith("step 2: 'owl flew' (sum -1.47 nats)")
    widget.step.value = 0
    assert repr(widget).endswith("nothing yet")


def test_on_gpt2(mini):
    widget = BeamTree(mini, "Once upon a time", num_beams=3, max_new_tokens=3)
    assert boxes(widget) == 1 + 3 * 6
    assert "␣" in widget.view.value
