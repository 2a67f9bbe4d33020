"""Random searches for a difference from transformers: processors on rows of all kinds, beam search in all settings.

`GPT2LESSONS_FUZZ=10` makes them ten times as long.
"""

import math
import random

import pytest
import torch
import transformers.generation.logits_process as theirs
from support.fuzz import TIMES
from transformers import GPT2Config, GPT2LMHeadModel

from gpt2lessons.decoding import processors
from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.gpt2 import GPT2

SIZES = [1, 2, 3, 4, 7, 57, 99, 100, 101, 255, 256, 257, 1000, 8449, 50257]
HEIGHTS = [0, 0, -100, 30, -10_000]  # the real GPT-2's logits lie near -100
SHARES = [1e-6, 0.01, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.9, 0.95, 0.99, 0.999]


def share(draw):
    return draw.choice([draw.choice(SHARES), draw.uniform(1e-4, 0.9999)])


# name → (our function, transformers' class, a draw of a setting that both accept)
FILTERS = {
    "temperature": (processors.apply_temperature, theirs.TemperatureLogitsWarper, lambda d: d.uniform(0.05, 10)),
    "top_h": (processors.keep_top_h, theirs.TopHLogitsWarper, share),
    "top_k": (processors.keep_top_k, theirs.TopKLogitsWarper, lambda d: int(math.exp(d.uniform(0, 11)))),
    "top_p": (processors.keep_top_p, theirs.TopPLogitsWarper, share),
    "min_p": (processors.keep_min_p, theirs.MinPLogitsWarper, share),
    "typical_p": (processors.keep_typical, theirs.TypicalLogitsWarper, share),
    "epsilon": (processors.keep_epsilon, theirs.EpsilonLogitsWarper, share),
    "eta": (processors.keep_eta, theirs.EtaLogitsWarper, share),
}


def rows(draw, size):
    """Logits (B, V): ties, tokens with -inf, rows in which all are equal, from flat to peaked, at any height."""
    rng = torch.Generator().manual_seed(draw.randrange(2**40))
    many = max(1, min(64, 20_000 // size))
    x = torch.randn(many, size, generator=rng) * 10 ** draw.uniform(-2, 1.3)
    kind = torch.randint(6, (many, 1), generator=rng)
    x = torch.where(kind == 0, x.round(), x)
    gone = torch.rand(many, size, generator=rng) < torch.rand(many, 1, generator=rng)
    gone[torch.arange(many), torch.randint(size, (many,), generator=rng)] = False
    x = x.masked_fill(gone & (kind > 3), -torch.inf)
    x = torch.where(kind == 2, x[:, :1], x)
    x = x + draw.choice(HEIGHTS)
    return x.double() if draw.random() < 0.3 else x


def decided(name, logits, value):
    """Where (B, V) eta and top_h decide by more than rounding: the library sums the entropy in another order."""
    probs = logits.double().softmax(-1)
    entropy = torch.special.entr(probs)
    if name == "eta":
        threshold = (value**0.5 * (-entropy.sum(-1, keepdim=True)).exp()).clamp(max=value)
        return (probs / threshold - 1).abs() > 1e-4
    if name == "top_h":
        top, ids = logits.topk(min(100, logits.shape[1]))
        terms = torch.special.entr(top.double().softmax(-1))
        total = terms.sum(-1, keepdim=True)
        clear = (terms.cumsum(-1) - value * total).abs() > 1e-4 * total + 1e-6
        return torch.ones_like(logits, dtype=torch.bool).scatter(1, ids, clear)
    return torch.ones_like(logits, dtype=torch.bool)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_transformers(name):
    ours, their_class, choose = FILTERS[name]
    draw = random.Random(name)
    cut, unsure, sizes = 0, 0, [*SIZES, *draw.choices(SIZES, k=60 * TIMES - len(SIZES))]
    for size in sizes:
        logits, value = rows(draw, size), choose(draw)
        found, expected = ours(logits, value), their_class(value)(None, logits.clone())
        if name in ("eta", "top_h"):  # far from 0 the library's entropy loses its digits
            highest = logits.amax(-1, keepdim=True)
            cut_off = their_class(value)(None, logits - highest) == -torch.inf
            expected = logits.masked_fill(cut_off, -torch.inf)
        sure = decided(name, logits, value)
        assert torch.equal(found[sure], expected[sure]), (size, value, logits.dtype)
        cut, unsure = cut + int((found != logits).any()), unsure + int((~sure).sum()) / sure.numel()
    assert cut > len(sizes) / 4, "or this would show little"
    assert unsure < len(sizes) / 5


def test_what_looks_at_the_text_is_transformers():
    draw, empty = random.Random(1), 0
    for _ in range(150 * TIMES):
        size = draw.choice(SIZES)
        logits = rows(draw, size)
        length = draw.choice([1, 2, 5, 30])
        rng = torch.Generator().manual_seed(draw.randrange(2**40))
        ids = torch.randint(min(size, draw.choice([2, 6, 10**6])), (len(logits), length), generator=rng)
        known = list(range(min(size, 8)))
        words = [draw.choices(known, k=draw.choice([1, 1, 2, 3])) for _ in range(draw.randint(1, 4))]
        bias = {token: draw.uniform(-5, 5) for token in draw.sample(known, k=draw.randint(1, len(known)))}
        penalty, n = draw.uniform(0.3, 4), draw.choice([1, 1, 2, 3, 4])
        pairs = {
            f"repetition {penalty}": (
                processors.penalize_repetition(logits, ids, penalty),
                theirs.RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone()),
            ),
            f"ban {n}": (
                processors.ban_repeated_ngrams(logits, ids, n),
                theirs.NoRepeatNGramLogitsProcessor(n)(ids, logits.clone()),
            ),
            f"words {words}": (
                processors.ban_words(logits, ids, words),
                theirs.NoBadWordsLogitsProcessor(words)(ids, logits.clone()),
            ),
            f"bias {bias}": (
                processors.add_bias(logits, bias),
                theirs.SequenceBiasLogitsProcessor({(t,): v for t, v in bias.items()})(ids, logits.clone()),
            ),
        }
        for what, (found, expected) in pairs.items():
            left = expected.amax(-1) > -torch.inf  # our one difference: a row is never left empty
            if what.startswith("bias"):  # the library's are kept in float32
                torch.testing.assert_close(found[left], expected[left], rtol=1e-6, atol=1e-6)
                expected[left] = found[left]
            assert torch.equal(found[left], expected[left]), (what, size)
            assert torch.equal(found[~left], logits[~left]), (what, size)
            empty += int((~left).sum())
    assert empty > 0


def tiny(draw):
    """A tiny random GPT-2 of transformers', from unsure to sure."""
    torch.manual_seed(draw.randrange(2**40))
    sizes = {"vocab_size": draw.choice([5, 11, 40, 300]), "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = GPT2Config(**sizes, initializer_range=draw.choice([0.1, 0.35, 0.8]), bos_token_id=1, eos_token_id=1)
    model = GPT2LMHeadModel(config).eval().double()  # two orders of one sum do not change places in float64
    model.generation_config.pad_token_id = 0
    return model


def library(model, ids, mask, settings):
    """What transformers finds: a list of (new ids, score)."""
    more = {"do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    with torch.no_grad():
        out = model.generate(ids, attention_mask=mask, **settings, **more)
    steps = (out.beam_indices >= 0).sum(1).tolist()
    rows = out.sequences[:, ids.shape[1] :]
    return [(row[:n].tolist(), s) for row, n, s in zip(rows, steps, out.sequences_scores.tolist(), strict=True)]


def test_every_beam_search_is_transformers():
    draw, seen = random.Random(2), set()
    for number in range(60 * TIMES):
        model = tiny(draw)
        size = model.config.vocab_size
        beams, new = draw.randint(2, 5), draw.randint(1, 12)
        ends = draw.choice([None, draw.randrange(size), draw.sample(range(size), k=draw.randint(1, 3))])
        settings = {
            "num_beams": beams,
            "num_return_sequences": draw.randint(1, beams),
            "max_new_tokens": new,
            "eos_token_id": ends,
            "length_penalty": draw.choice([-1.5, 0.0, 0.3, 1.0, 2.0]),
            "early_stopping": draw.choice([True, False, "never"]),
            "repetition_penalty": draw.choice([1.0, 1.0, 1.3, 0.7]),
            # with five words the ban leaves nothing at last, and then the library gives impossible texts
            "no_repeat_ngram_size": draw.choice([0, 0, 2, 3]) if size > 5 else 0,
        }
        longest = draw.randint(1, 7)
        lengths = [longest, *(draw.randint(1, longest) for _ in range(draw.randint(0, 2)))]
        ids = torch.tensor([[0] * (longest - n) + draw.choices(range(size), k=n) for n in lengths])
        mask = torch.tensor([[0] * (longest - n) + [1] * n for n in lengths])
        # the library's rules for repetition take padding for text; then each prompt by itself is what is right
        alone = settings["repetition_penalty"] != 1 or settings["no_repeat_ngram_size"]
        batches = [(i[None, longest - n :], m[None, longest - n :]) for i, m, n in zip(ids, mask, lengths, strict=True)]
        expected, scores = [], []
        for some, present in batches if alone else [(ids, mask)]:
            texts = library(model, some, present, settings)
            expected += [text for text, _ in texts]
            scores += [score for _, score in texts]
        ours = draw.choice([GPT2.from_transformers(model), model])
        found = beam_search(ours, ids, attention_mask=mask, **settings, use_cache=draw.random() < 0.7).hypotheses
        assert [h.new_ids.tolist() for h in found] == expected, (number, settings, lengths)
        assert [h.score for h in found] == pytest.approx(scores, rel=1e-5, abs=1e-5)
        seen |= {(settings["early_stopping"], len(h.new_ids) < new) for h in found}
        seen.add(len(lengths) > 1 and min(lengths) < longest)
    assert seen == {(mode, early) for mode in (True, False, "never") for early in (True, False)} | {True, False}
