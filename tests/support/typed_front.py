"""What a learner's editor must know about the public front: read by mypy (tests/test_types.py), never run."""

from collections.abc import Sequence
from typing import assert_type

import torch

import gpt2lessons as gl
from gpt2lessons.decoding.beam import BeamResult
from gpt2lessons.decoding.search_tree import Hypothesis, SearchTree
from gpt2lessons.decoding.trace import Generated, Step
from gpt2lessons.desk.progress import Progress

lm = gl.load("gpt2-mini")
assert_type(lm, gl.LanguageModel)
ids = lm.encode("Once upon a time")
assert_type(ids, torch.Tensor)
assert_type(lm.decode(ids[0]), str)
assert_type(lm.decode([1, 2, 3]), str)
assert_type(lm.scratch, gl.GPT2)
assert_type(lm.name, str)


def cooler(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """A processor as learners write it."""
    return logits / 0.7


written = gl.generate(lm, ids, max_new_tokens=20, do_sample=True, top_p=0.9, temperature=torch.ones(1), trace=True)
assert_type(written, Generated)
assert_type(written.sequences, torch.Tensor)
assert_type(written.trace, list[Step] | None)
assert_type(gl.generate(lambda ids: ids, ids, max_new_tokens=1, processors=[cooler], eos_token_id=[0, 1]), Generated)
assert_type(gl.generate(lm.model, ids, max_new_tokens=1, stop=[[13]], bad_words=[[5]], logit_bias={3: -1.0}), Generated)
assert_type(gl.generate_text(lm, "Once", seed=0, do_sample=True, stop="."), str | list[str])

found = gl.beam_search(lm, ids, num_beams=4, max_new_tokens=10, early_stopping="never")
assert_type(found, BeamResult)
assert_type(found.hypotheses, list[Hypothesis])
assert_type(found.hypotheses[0].ids, torch.Tensor)
assert_type(found.hypotheses[0].score, float)
assert_type(found.tree, SearchTree)

# what must be underlined in red: each of these lines has its ignore, and an ignore that is not needed is an error
gl.load(7)  # type: ignore[arg-type]
lm.encode(["a", "list"])  # type: ignore[arg-type]
gl.generate(lm, ids)  # type: ignore[call-arg]
gl.generate(lm, ids, max_new_tokens="many")  # type: ignore[arg-type]
gl.generate(7, ids, max_new_tokens=1)  # type: ignore[arg-type]
gl.beam_search(lm, ids, num_beams=4, max_new_tokens=10, early_stopping="soon")  # type: ignore[arg-type]
gl.beam_search(lm, ids, num_beams=4, max_new_tokens=10, beams=3)  # type: ignore[call-arg]


def every_text(result: Generated, lm: gl.LanguageModel) -> Sequence[str]:
    """The results can be used further."""
    return [lm.decode(row) for row in result.new_tokens]


assert_type(gl.progress(), Progress)
assert_type(gl.progress("03"), Progress)
