"""The toy models: exact probabilities, enumeration, each named instance's property, samplers against transformers."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from transformers import (
    EpsilonLogitsWarper,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from gpt2lessons import toy
from gpt2lessons.toy import ToyModel, random_toy

NAMED = [toy.GREEDY_LOSES, toy.BEAM_LOSES, toy.LOOPS, toy.PEAKED_AND_FLAT, toy.TWO_WORDS, toy.EARLY_STOP]
COIN = ToyModel(["a", "b", "c", "."], {"": {"a": 0.5, "b": 0.25, ".": 0.25}}, eos=".", name="coin")


def beams_by_enumeration(model, prompt, length, num_beams):
    """Beam search on a model without eos, from the exact probabilities of all prefixes: the best that stays."""
    kept = {()}
    for n in range(1, length + 1):
        grown = [c for c in model.continuations(prompt, n) if c.words[:-1] in kept]
        kept = {c.words for c in grown[:num_beams]}
    return grown[0]


@pytest.mark.parametrize("model", NAMED, ids=lambda m: m.name)
def test_logits_are_the_log_of_the_table(model):
    ids = model.encode(" ".join(model.words))
    probs = model(ids).softmax(-1)
    assert probs.shape == (1, len(model.words), model.vocab_size)
    assert probs.dtype == torch.float64
    for t in range(ids.shape[1]):
        exact = model.next_probs(ids[0, : t + 1])
        expected = torch.tensor([float(exact.get(w, 0)) for w in model.words], dtype=probs.dtype)
        assert torch.allclose(probs[0, t], expected, atol=1e-12)


def test_batch_rows_do_not_mix():
    model = toy.TWO_WORDS
    both = torch.cat([model.encode("I am not"), model.encode("you are not")])
    assert torch.equal(model(both)[1], model(both[1:])[0])
    assert not torch.equal(model(both)[0, -1], model(both)[1, -1])  # the last two words count


def test_longest_context_wins():
    assert toy.TWO_WORDS.next_probs("I am not") == {"alone": Fraction(1, 5), "sure": Fraction(4, 5)}
    assert toy.TWO_WORDS.next_probs("you are not") == {"alone": Fraction(9, 10), "sure": Fraction(1, 10)}
    assert toy.TWO_WORDS.next_probs("sure not") == toy.TWO_WORDS.next_probs("")  # "not" alone has no row


def test_continuations_by_hand():
    found = {c.words: c.prob for c in COIN.continuations("a", 2)}
    quarter, eighth, sixteenth = Fraction(1, 4), Fraction(1, 8), Fraction(1, 16)
    assert found == {
        (".",): quarter,
        ("a", "a"): quarter,
        ("a", "b"): eighth,
        ("a", "."): eighth,
        ("b", "a"): eighth,
        ("b", "b"): sixteenth,
        ("b", "."): sixteenth,
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("eos", [False, True])
def test_continuations_sum_to_one_and_are_sorted(seed, eos):
    model = random_toy(seed, vocab_size=4, context=2, eos=eos)
    found = model.continuations("w0 w1", 4)
    assert sum(c.prob for c in found) == 1
    assert all(a.prob >= b.prob for a, b in itertools.pairwise(found))
    assert len({c.ids for c in found}) == len(found)
    for c in found[::7]:
        assert model.continuation("w0 w1", c.ids) == c
        logits = model(torch.cat([model.encode("w0 w1"), torch.tensor([c.ids])], 1))
        steps = logits.log_softmax(-1)[0, 1:-1].gather(1, torch.tensor(c.ids)[:, None])
        assert steps.sum().item() == pytest.approx(c.log_prob, abs=1e-5)


def test_eos_ends_a_text_and_nothing_comes_after_it():
    found = COIN.continuations("a", 4)
    assert all("." not in c.words[:-1] for c in found)
    assert {len(c.words) for c in found} == {1, 2, 3, 4}


def test_best_sequence_with_and_without_length_penalty():
    assert COIN.best_sequence("a", 3).words == (".",)  # 1/4, while "a a a" has 1/8
    assert COIN.best_sequence("a", 3, length_penalty=1.0).words == ("a", "a", "a")  # ln 1/8 / 3 > ln 1/4
    with_penalty = toy.EARLY_STOP.best_sequence("so", 3, length_penalty=1.0)
    assert with_penalty.score(1.0) == max(c.score(1.0) for c in toy.EARLY_STOP.continuations("so", 3))


def test_score_divides_by_a_power_of_the_length():
    c = COIN.continuation("a", "a b")
    assert c.log_prob == pytest.approx(math.log(1 / 8))
    assert c.score(0) == c.log_prob
    assert c.score(2) == pytest.approx(c.log_prob / 4)
    assert COIN.continuation("a", "c").log_prob == -math.inf


def test_greedy_loses_on_greedy_loses():
    greedy = toy.GREEDY_LOSES.greedy("the", 2)
    best = toy.GREEDY_LOSES.best_sequence("the", 2)
    assert (greedy.words, greedy.prob) == (("cat", "sat"), Fraction(20, 100))
    assert (best.words, best.prob) == (("storm", "broke"), Fraction(36, 100))
    assert beams_by_enumeration(toy.GREEDY_LOSES, "the", 2, 2) == best


def test_two_beams_lose_to_greedy_on_beam_loses():
    model = toy.BEAM_LOSES
    greedy = model.greedy("the", 3)
    assert beams_by_enumeration(model, "the", 3, 1) == greedy
    assert beams_by_enumeration(model, "the", 3, 2).prob < greedy.prob
    assert beams_by_enumeration(model, "the", 3, 3) == greedy == model.best_sequence("the", 3)
    assert [c.words for c in model.continuations("the", 2)][2] == greedy.words[:2]  # third of the pairs: pruned


def test_loops_loops():
    words = toy.LOOPS.greedy("I", 12).words
    assert words == ("am", "sure", "that", "I") * 3


def test_peaked_and_flat():
    peaked, flat = (toy.PEAKED_AND_FLAT.next_probs(p) for p in ("once", "once upon a"))
    assert len(peaked) == len(flat) == 6
    assert max(peaked.values()) > 0.9
    assert max(flat.values()) < 0.2
    sizes = [len(toy.PEAKED_AND_FLAT.next_probs(p, top_p=0.9)) for p in ("once", "once upon a")]
    assert sizes == [1, 6]
    assert [len(toy.PEAKED_AND_FLAT.next_probs(p, top_k=3)) for p in ("once", "once upon a")] == [3, 3]


def test_early_stop_has_a_better_text_that_is_longer():
    model = toy.EARLY_STOP
    short, late = model.continuation("so", "go ."), model.continuation("so", "go on .")
    assert late == model.best_sequence("so", 4)
    assert late.score() > short.score()


SETTINGS = [
    ({"temperature": 0.5}, TemperatureLogitsWarper(0.5)),
    ({"temperature": 2.0}, TemperatureLogitsWarper(2.0)),
    ({"top_k": 2}, TopKLogitsWarper(2)),
    ({"top_k": 50}, TopKLogitsWarper(50)),
    ({"top_p": 0.35}, TopPLogitsWarper(0.35)),
    ({"top_p": 0.77}, TopPLogitsWarper(0.77)),
    ({"min_p": 0.3}, MinPLogitsWarper(0.3)),
    ({"typical_p": 0.4}, TypicalLogitsWarper(0.4)),
    ({"epsilon": 0.11}, EpsilonLogitsWarper(0.11)),
]


@pytest.mark.parametrize(("setting", "warper"), SETTINGS, ids=lambda s: str(s) if isinstance(s, dict) else "")
def test_samplers_agree_with_transformers(setting, warper):
    for seed in range(30):
        model = random_toy(seed, vocab_size=4 + seed % 6)
        logits = model(model.encode("w1"))[:, -1].float()  # the library's precision
        expected = warper(None, logits).softmax(-1)[0]
        got = model.next_probs("w1", **setting)
        values = torch.tensor([float(got.get(w, 0)) for w in model.words], dtype=expected.dtype)
        assert torch.allclose(values, expected, atol=1e-6), seed


def test_sampler_order_is_temperature_top_k_top_p():
    probs = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}
    model = ToyModel(list("abcd"), {"": probs})
    assert list(model.next_probs("a", top_k=2, top_p=0.6)) == ["a"]  # 0.5 of 0.8 is 0.625, enough
    assert list(model.next_probs("a", top_p=0.6)) == ["a", "b"]
    assert list(model.next_probs("a", temperature=0.5, top_p=0.6)) == ["a"]  # 0.25 of 0.365


def test_fractions_stay_exact():
    third = ToyModel(list("abcd"), {"": {"a": "1/3", "b": "1/3", "c": "1/3"}})
    assert third.next_probs("a", top_p=0.5) == {"b": Fraction(1, 2), "c": Fraction(1, 2)}  # of equals the later first
    nucleus = ToyModel(list("abcd"), {"": {"a": 0.6, "b": 0.3, "c": 0.1}}).next_probs("a", top_p=0.9)
    assert nucleus == {"a": Fraction(2, 3), "b": Fraction(1, 3)}  # 0.6 + 0.3 is 0.9, exactly


def test_entropy_and_expected_surprisal():
    fair = ToyModel(list("abcd"), {"": dict.fromkeys("abcd", 0.25)})
    assert fair.entropy("a") == pytest.approx(math.log(4))
    assert fair.expected_surprisal("a", 3) == pytest.approx(math.log(4))
    assert COIN.entropy("a") == pytest.approx(1.5 * math.log(2))
    # drawing only "a" or "b", 2 to 1, costs ln 2 or ln 4 under the model itself
    assert COIN.expected_surprisal("a", top_p=0.75) == pytest.approx((2 * math.log(2) + math.log(4)) / 3, abs=1e-9)
    for seed in range(5):
        model = random_toy(seed)
        assert model.expected_surprisal("w0") == pytest.approx(model.entropy("w0"))


def test_random_toy_is_the_same_for_a_seed():
    a, b, other = random_toy(1), random_toy(1), random_toy(2)
    ids = a.encode("w0 w1 w2")
    assert torch.equal(a(ids), b(ids))
    assert not torch.equal(a(ids), other(ids))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ToyModel(["a", "b"], {"": {"a": 1}}), "4 to 9 words, not 2"),
        (lambda: ToyModel(list("abcdefghij"), {"": {"a": 1}}), "4 to 9 words, not 10"),
        (lambda: ToyModel(["a", "b", "c d", "e"], {"": {"a": 1}}), "contain no space"),
        (lambda: ToyModel(list("abca"), {"": {"a": 1}}), "differ from each other"),
        (lambda: ToyModel(list("abcd"), {"": {"a": 0.5, "b": 0.4}}), "sum to 1, not 0.9"),
        (lambda: ToyModel(list("abcd"), {"": {"a": 1.5, "b": -0.5}}), "must be probabilities"),
        (lambda: ToyModel(list("abcd"), {"a": {"a": 1}}), r"no row for a text that ends with \['b', 'c', 'd'\]"),
        (lambda: ToyModel(list("abcd"), {"": {"x": 1}}), "'x' is not one of the words"),
        (lambda: COIN.encode("a z"), "'z' is not one of the words"),
        (lambda: COIN.decode([4]), "ids must be from 0 to 3"),
        (lambda: COIN(torch.tensor([[7]])), "ids must be from 0 to 3"),
        (lambda: COIN(torch.tensor([1])), r"shape \(B, T\)"),
        (lambda: COIN.continuations("a", 0), "length must be at least 1"),
        (lambda: random_toy(0, vocab_size=9).continuations("w0", 9), "at most 600,000"),
        (lambda: COIN.next_probs("a", temperature=0), "use greedy"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
