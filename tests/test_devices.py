"""Beam search does not depend on the default device: here that holds no numbers, while model and ids have their own.

So what is made without a place of its own (and would fail beside a model on a graphics card) fails here too.
"""

import pytest
import torch

import gpt2lessons as gl


def beams(lm, ids):
    found = gl.beam_search(lm, ids, num_beams=4, max_new_tokens=6, no_repeat_ngram_size=2, num_return_sequences=4)
    return torch.stack([hypothesis.ids for hypothesis in found.hypotheses])


def diverse(lm, ids):
    settings = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}
    return gl.beam_search(lm, ids, max_new_tokens=6, **settings).hypotheses[0].ids


@pytest.mark.parametrize("use", [beams, diverse])
def test_the_default_device_does_not_matter(mini, use):
    ids = mini.encode("Once upon a time there was a king, and the king said")
    wanted = use(mini, ids)
    with torch.device("meta"):
        found = use(mini, ids)
    assert torch.equal(found, wanted)
