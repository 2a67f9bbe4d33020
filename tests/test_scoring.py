"""Scoring against hand-made models with exact answers, against transformers' loss, and against nonsense."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gpt2lessons as gl
from gpt2lessons import scoring

# P(next | now) over three tokens; rows of the table are the present token
TABLE = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.0, 0.5, 0.5]], dtype=torch.float64)
TEXTS = ["Once upon a time there was a little girl who lived in a house by the sea.", "The dog ran.", "I am"]


def bigram(input_ids):
    return TABLE.log()[input_ids]


def counter(input_ids):
    """A model that sees its window: token 1 has probability 1/(2 + number of tokens read), else token 0."""
    read = torch.arange(1, input_ids.shape[1] + 1, dtype=torch.float64).expand(input_ids.shape)
    one = 1 / (2 + read)
    return torch.stack([1 - one, one], dim=-1).log()


def hf_loss(model, ids, labels, **inputs):
    with torch.no_grad():
        return model(ids, labels=labels, **inputs).loss.item()


def test_bigram_model_by_hand():
    log_probs = scoring.token_log_probs(bigram, torch.tensor([[0, 0, 1, 1], [2, 1, 0, 2]]))
    expected = torch.tensor([[0.5, 0.25, 0.75], [0.5, 0.125, 0.25]], dtype=torch.float64).log()
    assert log_probs.shape == (2, 3)
    torch.testing.assert_close(log_probs, expected)


def test_beginning_token_predicts_the_first_token():
    log_probs = scoring.token_log_probs(bigram, [[1, 1]], add_bos=True, bos_token_id=0)
    torch.testing.assert_close(log_probs.exp(), torch.tensor([[0.25, 0.75]], dtype=torch.float64))


def test_surprisal_in_bits_and_nats():
    ids = [[0, 0, 1]]
    assert scoring.surprisal(bigram, ids).tolist() == [pytest.approx([1, 2])]
    assert scoring.surprisal(bigram, ids, unit="nats").tolist() == [pytest.approx([math.log(2), math.log(4)])]
    with pytest.raises(ValueError, match="'bits' or 'nats', not 'bytes'"):
        scoring.surprisal(bigram, ids, unit="bytes")


def test_perplexity_is_exp_of_the_mean_over_all_tokens_not_the_mean_of_perplexities():
    ids = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    per_row = scoring.perplexity(bigram, ids, attention_mask=mask, per_row=True)
    assert per_row.tolist() == pytest.approx([math.sqrt(2 * 4), 2])
    assert scoring.perplexity(bigram, ids, attention_mask=mask) == pytest.approx((2 * 4 * 2 * 2 * 2) ** (1 / 5))


def test_impossible_token_gives_infinity_not_nan():
    assert scoring.token_log_probs(bigram, [[2, 0]]).item() == -math.inf
    assert scoring.perplexity(bigram, [[2, 0]]) == math.inf
    assert scoring.perplexity(bigram, [[2, 0, 0], [0, 0, 0]], per_row=True).tolist() == pytest.approx([math.inf, 2])
    # the impossible token is in the prompt, which is not scored
    assert scoring.perplexity(bigram, [[2, 0, 0]], prompt_length=2) == pytest.approx(2)


def test_perplexity_too_large_for_a_float_is_infinity():
    def certain(input_ids):
        return torch.tensor([0.0, -1e5], dtype=torch.float64).expand(*input_ids.shape, 2)

    assert scoring.perplexity(certain, [[0, 1]]) == math.inf


@pytest.mark.parametrize("add_bos", [False, True])
def test_prompt_is_read_but_not_scored(add_bos):
    ids, extra = [[0, 0, 1, 1]], {"add_bos": add_bos, "bos_token_id": 0}
    assert scoring.perplexity(bigram, ids, prompt_length=2, **extra) == pytest.approx((1 / (0.25 * 0.75)) ** 0.5)
    assert scoring.perplexity(bigram, ids, prompt_length=3, **extra) == pytest.approx(1 / 0.75)
    one_each = scoring.perplexity(bigram, ids * 2, prompt_length=torch.tensor([2, 3]), per_row=True, **extra)
    assert one_each.tolist() == pytest.approx([(1 / (0.25 * 0.75)) ** 0.5, 1 / 0.75])
    # of a prompt of one token nothing could be scored anyway, unless it is predicted from the beginning token
    change = scoring.perplexity(bigram, ids, prompt_length=0, **extra)
    assert (change == scoring.perplexity(bigram, ids, prompt_length=1, **extra)) is not add_bos


def test_window_moves_by_stride_and_scores_each_token_once():
    ids = torch.ones(1, 8, dtype=torch.long)
    # window of 4 moving by 2: tokens 1, 2, 3 read 1, 2, 3 tokens; every later one reads 2 or 3
    log_probs = scoring.token_log_probs(counter, ids, stride=2, context=4)
    assert (1 / log_probs.exp() - 2)[0].tolist() == pytest.approx([1, 2, 3, 2, 3, 2, 3])
    log_probs = scoring.token_log_probs(counter, ids, stride=1, context=4)
    assert (1 / log_probs.exp() - 2)[0].tolist() == pytest.approx([1, 2, 3, 3, 3, 3, 3])
    # stride = context: neighbours share one token, so that none goes unscored
    log_probs = scoring.token_log_probs(counter, ids, stride=4, context=4)
    assert (1 / log_probs.exp() - 2)[0].tolist() == pytest.approx([1, 2, 3, 1, 2, 3, 1])


def test_equal_to_transformers_loss(mini):
    ids = mini.encode(TEXTS[0])
    loss = hf_loss(mini.model, ids, ids)
    assert math.log(scoring.perplexity(mini, ids)) == pytest.approx(loss, abs=1e-5)
    assert math.log(scoring.perplexity(mini.model, ids)) == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_equals_transformers_with_labels_minus_100_and_each_text_alone(mini, side):
    batch = mini.tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    labels = ids.masked_fill(mask == 0, -100)
    # a token right after left padding has no real predecessor; transformers would score it from the padding
    labels[mask.cumsum(1) == 1] = -100
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    loss = hf_loss(mini.model, ids, labels, attention_mask=mask, position_ids=positions)
    assert math.log(scoring.perplexity(mini.model, ids, attention_mask=mask)) == pytest.approx(loss, abs=1e-5)
    unmasked = hf_loss(mini.model, ids, ids, attention_mask=mask, position_ids=positions)
    assert abs(unmasked - loss) > 0.1, "labels on padding must make a difference, or this test shows nothing"
    alone = [scoring.perplexity(mini.model, mini.encode(text)) for text in TEXTS]
    per_row = scoring.perplexity(mini.model, ids, attention_mask=mask, per_row=True)
    assert per_row.tolist() == pytest.approx(alone, rel=1e-4)
    for text, row, real in zip(TEXTS, scoring.token_log_probs(mini.model, ids, attention_mask=mask), mask, strict=True):
        expected = scoring.token_log_probs(mini.model, mini.encode(text))[0]
        torch.testing.assert_close(row[(real[1:] * real[:-1]).bool()], expected, atol=1e-4, rtol=1e-4)
        assert (row[(real[1:] * real[:-1]) == 0] == 0).all()


@pytest.mark.parametrize("stride", [7, 16, 31])
def test_strided_equals_the_documented_method(mini, stride):
    ids, context = mini.encode(" ".join(TEXTS[:1] * 6)), 32
    total = count = previous = 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + context, ids.shape[1])
        labels = ids[:, begin:end].clone()
        labels[:, : max(previous - begin, 0)] = -100
        scored = (labels[:, 1:] != -100).sum().item()
        total += hf_loss(mini.model, ids[:, begin:end], labels) * scored
        count, previous = count + scored, end
        if end == ids.shape[1]:
            break
    assert count == ids.shape[1] - 1
    assert math.log(scoring.perplexity(mini.model, ids, stride=stride, context=context)) == pytest.approx(
        total / count, abs=1e-5
    )


def test_text_longer_than_the_context_is_read_with_a_stride(mini):
    limit = mini.model.config.n_positions
    ids = mini.encode(TEXTS[0]).repeat(1, 60)[:, : limit + 50]
    with pytest.raises(ValueError, match=rf"{limit + 50} tokens .* context of {limit}; give stride"):
        scoring.perplexity(mini.model, ids)
    assert 1 < scoring.perplexity(mini.model, ids, stride=limit // 2) < mini.model.config.vocab_size
    with pytest.raises(ValueError, match="beginning token counted"):
        scoring.perplexity(mini.model, ids[:, :limit], add_bos=True)


@pytest.mark.parametrize("text", ["naïve 🙂 café", TEXTS[0]])
def test_bits_per_byte(mini, text):
    ids = mini.encode(text)
    begun = torch.cat([torch.tensor([[mini.model.config.bos_token_id]]), ids], dim=1)
    bits = hf_loss(mini.model, begun, begun) * ids.shape[1] / math.log(2)
    assert scoring.bits_per_byte(mini, text) == pytest.approx(bits / len(text.encode()), rel=1e-4)
    first = len(mini.tokenizer.decode(ids[0, :1]).encode())
    bits = hf_loss(mini.model, ids, ids) * (ids.shape[1] - 1) / math.log(2)
    expected = bits / (len(text.encode()) - first)
    assert scoring.bits_per_byte(mini, text, add_bos=False) == pytest.approx(expected, rel=1e-4)


def test_a_model_in_training_mode_is_scored_without_dropout_and_left_as_it_was(mini):
    model = copy.deepcopy(mini.model)
    model.transformer.drop.p = 0.5
    model.train()
    ids = mini.encode(TEXTS[0])
    assert scoring.perplexity(model, ids) == pytest.approx(scoring.perplexity(mini.model, ids), rel=1e-6)
    assert model.training


def test_rows_in_groups_give_what_they_give_together(monkeypatch):
    ids = torch.randint(3, (5, 6), generator=torch.Generator().manual_seed(0))
    together = scoring.token_log_probs(bigram, ids)
    monkeypatch.setattr(scoring, "_TOKENS_AT_ONCE", 12)
    torch.testing.assert_close(together, scoring.token_log_probs(bigram, ids), rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_padding_position_never_matters(data):
    texts = data.draw(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=6), min_size=1, max_size=4))
    width = max(map(len, texts))
    ids, mask = torch.ones(len(texts), width, dtype=torch.long), torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        start = data.draw(st.sampled_from([0, width - len(text)]))
        ids[row, start : start + len(text)] = torch.tensor(text)
        mask[row, start : start + len(text)] = 1
    per_row = scoring.perplexity(bigram, ids, attention_mask=mask, per_row=True)
    alone = [scoring.perplexity(bigram, [text]) for text in texts]
    assert per_row.tolist() == pytest.approx(alone)
    assert not per_row.isnan().any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_ids": []}, "no token to score: the text is empty"),
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, "no token to score"),
        ({"input_ids": [[1]]}, "row 0 has one token, and nothing comes before it"),
        ({"input_ids": [[1, 1], [1, 1]], "attention_mask": [[1, 1], [0, 1]]}, "row 1 has one token"),
        ({"input_ids": [[1, 1], [1, 1]], "attention_mask": [[1, 1], [0, 0]]}, "row 1 has no token"),
        ({"input_ids": [1, 1]}, r"whole numbers \(B, T\), not torch.int64 \(2,\)"),
        ({"input_ids": [[1.0, 1.0]]}, "whole numbers"),
        ({"input_ids": [[1, 1]], "attention_mask": [1, 1]}, "must have the shape of input_ids"),
        ({"input_ids": [[1, 1, 1]], "attention_mask": [[1, 0, 1]]}, "has a hole"),
        ({"input_ids": [[1, 1]], "add_bos": True}, "give bos_token_id"),
        ({"input_ids": [[1, 1, 1]], "context": 2}, "3 tokens .* context of 2; give stride"),
        ({"input_ids": [[1, 1, 1]], "context": 1}, "context is 2 to"),
        ({"input_ids": [[1, 1, 1]], "context": 2, "stride": 3}, "stride is 1 to 2"),
        ({"input_ids": [[1, 1, 1]], "stride": 0}, "stride is 1 to 3"),
        ({"input_ids": [[1, 1, 1]], "prompt_length": 3}, "prompt_length of 3 leaves none of its 3 tokens"),
        ({"input_ids": [[1, 1, 1]], "prompt_length": -1}, "a count of tokens, .* not -1"),
        ({"input_ids": [[1, 1, 1]], "prompt_length": [1, 2]}, "one for each of the 1 rows"),
    ],
)
def test_bad_input_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        scoring.perplexity(bigram, **arguments)


def test_bad_models_are_told():
    with pytest.raises(TypeError, match="not str"):
        scoring.perplexity("gpt2", [[1, 1]])
    with pytest.raises(ValueError, match=r"must return logits \(B, T, V\), not \(1, 3\)"):
        scoring.perplexity(lambda ids: torch.zeros(1, 3), [[1, 1]])


def test_one_token_is_scored_from_the_beginning_token():
    assert scoring.perplexity(bigram, [[1]], add_bos=True, bos_token_id=1) == pytest.approx(4 / 3)


def test_a_text_is_scored_as_its_ids(mini):
    text, ids = TEXTS[0], mini.encode(TEXTS[0])
    assert scoring.perplexity(mini, text) == scoring.perplexity(mini, ids)
    assert torch.equal(
        scoring.token_log_probs(mini, text, add_bos=True), scoring.token_log_probs(mini, ids, add_bos=True)
    )
    assert torch.equal(scoring.surprisal(mini, text), scoring.surprisal(mini, ids))
    assert scoring.perplexity(mini, text, prompt_length=4) == scoring.perplexity(mini, ids, prompt_length=4)
    toy = gl.toy.LOOPS
    assert scoring.perplexity(toy, "I am sure") == pytest.approx((1 / (0.9 * 0.5)) ** 0.5)


def test_what_is_no_text_for_this_model_is_told(mini):
    with pytest.raises(TypeError, match=r"a text needs a LanguageModel, which has the tokenizer, not GPT2LMHeadModel"):
        scoring.perplexity(mini.model, "a text")
    with pytest.raises(TypeError, match="needs a LanguageModel, which has the tokenizer, not str"):
        scoring.perplexity("gpt2", "a text")
    with pytest.raises(TypeError, match=r'is a list of texts, .*metrics.load\("perplexity"\)'):
        scoring.perplexity(mini, ["a text", "another"])
    with pytest.raises(ValueError, match="no token to score: the text is empty"):
        scoring.perplexity(mini, "")
    with pytest.raises(ValueError, match="row 0 has one token"):
        scoring.perplexity(mini, "a")


def test_single_and_double_precision_say_the_same(mini):
    found = {}
    for dtype in (torch.float32, torch.float64):
        model = copy.deepcopy(mini.model).to(dtype)
        found[dtype] = scoring.token_log_probs(model, mini.encode(TEXTS[0]))
        assert found[dtype].dtype == dtype
    torch.testing.assert_close(found[torch.float32].double(), found[torch.float64], atol=1e-4, rtol=1e-4)
