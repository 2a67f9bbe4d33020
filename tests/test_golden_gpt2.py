"""What the real GPT-2 is known to write and to predict, from tests/golden/gpt2.json (with the source of each figure).

Marked `gpt2`: skipped where the weights are not on the machine. The tests without the mark need no weights.
"""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.decoding.processors import ban_repeated_ngrams, keep_top_k, keep_top_p

GOLDEN = json.loads((Path(__file__).parent / "golden" / "gpt2.json").read_text("utf8"))
TEXTS = {entry["name"]: entry for entry in GOLDEN["texts"]}
GREEDY = [name for name, entry in TEXTS.items() if "num_beams" not in entry["settings"]]
BEAMS = [name for name in TEXTS if name not in GREEDY]


@pytest.fixture(scope="module")
def gpt2():
    try:
        lm = gl.load("gpt2")
    except ConnectionError:
        pytest.skip("the real GPT-2 is not on this machine: gl.load('gpt2') with a network fetches it")
    assert lm.model.num_parameters() == 124_439_808
    return lm


def expected_ids(lm, entry):
    if "ids" in entry:
        return torch.tensor([entry["ids"]])
    return lm.encode(entry["prompt"] + entry["text"])


def difference(got, expected, logits):
    """Say where two texts part, and how near the two best tokens were there."""
    where = next(i for i in range(len(expected)) if got[i] != expected[i])
    first, second = logits[where - 1].topk(2).values.tolist()
    return f"position {where}: {got[where]} for {expected[where]}; the best two were {first - second:.2g} apart"


@pytest.mark.gpt2
@pytest.mark.parametrize("name", GREEDY)
def test_greedy_texts(gpt2, name):
    entry = TEXTS[name]
    expected = expected_ids(gpt2, entry)
    ids = gpt2.encode(entry["prompt"])
    assert torch.equal(expected[:, : ids.shape[1]], ids)
    new = expected.shape[1] - ids.shape[1]
    ours = gl.generate(gpt2, ids, max_new_tokens=new, **entry["settings"]).sequences
    for got in (ours, theirs(gpt2, ids, new, entry["settings"])):
        got, want = got[0].tolist(), expected[0].tolist()
        assert got == want, difference(got, want, gpt2.scratch(expected)[0])


def theirs(lm, ids, new, settings):
    return lm.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, **settings
    )  # fmt: skip


@pytest.mark.gpt2
@pytest.mark.parametrize("name", BEAMS)
def test_beam_texts(gpt2, name):
    entry = TEXTS[name]
    ids = gpt2.encode(entry["prompt"])
    new = len(entry["ids"]) - ids.shape[1]
    found = gl.beam_search(gpt2, ids, max_new_tokens=new, eos_token_id=50256, **entry["settings"]).hypotheses
    other = theirs(gpt2, ids, new, entry["settings"])
    for rank, row in enumerate([entry["ids"], entry.get("second")]):
        if row is not None:
            assert other[rank].tolist() == row
            assert found[rank].ids.tolist() == row


@pytest.mark.gpt2
def test_a_left_padded_batch_writes_what_each_text_writes_alone(gpt2):
    batch = gpt2.tokenizer(GOLDEN["left_padded"]["prompts"], return_tensors="pt", padding=True)
    g = gl.generate(gpt2, batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=13)
    for row, mask, expected in zip(g.sequences, batch.attention_mask, GOLDEN["left_padded"]["ids"], strict=True):
        got = row[len(mask) - int(mask.sum()) :].tolist()
        assert got[: len(expected)] == expected


@pytest.mark.gpt2
@pytest.mark.parametrize("item", GOLDEN["next_token"]["items"], ids=lambda i: i["prompt"])
def test_next_token_distributions(gpt2, item):
    assert gpt2.encode(item["prompt"]).tolist() == [item["ids"]]
    g = gl.generate(gpt2, torch.tensor([item["ids"]]), max_new_tokens=1, trace=True)
    step, logits = g.trace[0], g.trace[0].stages["model"]
    ids, probs = step.top(10)
    tolerance = GOLDEN["next_token"]["tolerance_logits"]
    assert ids[0].tolist() == item["top10_ids"]
    assert logits[0, ids[0]].tolist() == pytest.approx(item["top10_logits"], abs=tolerance)
    assert probs[0].tolist() == pytest.approx(item["top10_probs"], rel=0.02)
    assert step.entropy.item() == pytest.approx(item["entropy_nats"], abs=tolerance)
    for p, size in item["nucleus_size"].items():
        assert keep_top_p(logits, float(p)).isfinite().sum().item() == pytest.approx(size, rel=0.01, abs=1)
    mass = logits.softmax(-1)[keep_top_k(logits, 50).isfinite()].sum().item()
    assert mass == pytest.approx(item["mass_of_top50"], abs=0.001)


@pytest.mark.gpt2
def test_where_john_and_mary_went(gpt2):
    probs = gpt2.scratch(gpt2.encode(GOLDEN["church"]["prompt"]))[0, -1].softmax(-1)
    for word, p in GOLDEN["church"]["probs"].items():
        assert probs[gpt2.encode(word)[0, 0]].item() == pytest.approx(p, abs=1e-4)


@pytest.mark.gpt2
def test_loss_and_perplexity(gpt2):
    loss = math.log(gl.perplexity(gpt2, torch.tensor([GOLDEN["loss"]["ids"]])))
    assert loss == pytest.approx(GOLDEN["loss"]["mean_nll"], abs=2e-4)
    assert gpt2.encode(GOLDEN["perplexity"]["text"]).tolist() == [GOLDEN["perplexity"]["ids"]]
    ppl = gl.perplexity(gpt2, torch.tensor([GOLDEN["perplexity"]["ids"]]))
    assert ppl == pytest.approx(GOLDEN["perplexity"]["ppl"], rel=1e-3)


# ------------------------------------------------------------------------------------------------- without the weights


def test_the_bigram_ban_along_the_known_text():
    golden = GOLDEN["ban"]
    ids = torch.tensor([TEXTS[golden["of"]]["ids"]])
    banned = {}
    for n in range(ids.shape[1] - golden["steps"], ids.shape[1]):
        gone = ban_repeated_ngrams(torch.zeros(1, 50257), ids[:, :n], golden["ngram_size"]).isinf().nonzero()[:, 1]
        if len(gone):
            banned[str(n)] = gone.tolist()
    assert banned == golden["banned"]
    assert len(banned) == golden["steps_with_a_ban"]


@pytest.mark.parametrize("name", [n for n, e in TEXTS.items() if "no_repeat_ngram_size" in e["settings"]])
def test_no_bigram_occurs_twice_in_the_known_texts(name):
    for row in (TEXTS[name]["ids"], TEXTS[name].get("second", [])):
        pairs = list(itertools.pairwise(row))
        assert len(pairs) == len(set(pairs))
