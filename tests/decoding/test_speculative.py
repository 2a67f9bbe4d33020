"""Speculation writes with the target's law, whatever the draft: proved by walking through every branch of the code."""

import itertools

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import gpt2lessons as gl
from gpt2lessons import toy
from gpt2lessons.decoding import drafts, speculative
from gpt2lessons.gpt2 import GPT2, GPT2Config


class Branch(Exception):
    """Chance asked for a choice that the script does not have yet."""


def law_by_enumeration(monkeypatch, model, assistant, prompt, new, **settings):
    """Return {new ids: probability} of the real `speculate`, running it once for every way in which chance can fall."""
    found, open_ = {}, [((), 1.0)]
    while open_:
        script, prob = open_.pop()
        left = iter(script)

        def choose(weights, left=left):
            choice = next(left, None)
            if choice is None:
                raise Branch((weights / weights.sum()).tolist())
            return choice

        monkeypatch.setattr(speculative, "_chooser", lambda generator, choose=choose: choose)
        try:
            run = gl.speculative.speculate(model, assistant, prompt, max_new_tokens=new, do_sample=True, **settings)
        except Branch as branch:
            open_ += [((*script, i), prob * w) for i, w in enumerate(branch.args[0]) if w]
            continue
        key = tuple(run.new_tokens[0].tolist())
        found[key] = found.get(key, 0) + prob
    return found


def exact(function):
    """A toy whose logits are float64, so that the law can be compared to the last digits."""
    return lambda ids: torch.tensor(
        [[[float(p) for p in function._at(tuple(row[: t + 1]))] for t in range(len(row))] for row in ids.tolist()],
        dtype=torch.float64,
    ).log()


TARGET, DRAFT = toy.random_toy(1, vocab_size=4), toy.random_toy(2, vocab_size=4)
ZEROS = toy.ToyModel(TARGET.words, {"": {"w0": 0.5, "w3": 0.5}}, name="never w1, w2")


def expected_law(model, new, **settings):
    return {c.ids: float(c.prob) for c in model.continuations("w0", new, **settings)}


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("draft", [DRAFT, ZEROS, TARGET], ids=lambda m: m.name)
def test_the_output_has_the_targets_law(monkeypatch, n, draft):
    prompt = TARGET.encode("w0")
    law = law_by_enumeration(monkeypatch, exact(TARGET), exact(draft), prompt, 3, num_assistant_tokens=n)
    assert law == pytest.approx(expected_law(TARGET, 3), abs=1e-12)


def test_the_law_holds_when_the_target_has_zeros_the_draft_has_not(monkeypatch):
    law = law_by_enumeration(monkeypatch, exact(ZEROS), exact(DRAFT), TARGET.encode("w0"), 3, num_assistant_tokens=2)
    assert law == pytest.approx(expected_law(ZEROS, 3), abs=1e-12)


@pytest.mark.parametrize("settings", [{"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.7, "temperature": 1.5}])
def test_the_law_holds_with_settings(monkeypatch, settings):
    prompt = TARGET.encode("w0")
    law = law_by_enumeration(monkeypatch, exact(TARGET), exact(DRAFT), prompt, 3, num_assistant_tokens=2, **settings)
    assert law == pytest.approx(expected_law(TARGET, 3, **settings), abs=1e-9)


def test_the_law_holds_for_proposals_looked_up_in_the_text(monkeypatch):
    prompt, lookup = TARGET.encode("w1 w2 w3 w0 w1 w2"), speculative.PromptLookup(2)
    law = law_by_enumeration(monkeypatch, exact(TARGET), lookup, prompt, 3, num_assistant_tokens=3)
    assert law == pytest.approx({c.ids: float(c.prob) for c in TARGET.continuations("w2", 3)}, abs=1e-12)


def test_the_law_of_texts_that_may_end(monkeypatch):
    model = toy.random_toy(1, vocab_size=4, eos=True)
    prompt, end = model.encode("w0"), model.eos_token_id
    law = law_by_enumeration(
        monkeypatch, exact(model), exact(DRAFT), prompt, 3, num_assistant_tokens=2, eos_token_id=end
    )
    assert law == pytest.approx(expected_law(model, 3), abs=1e-12)


def test_a_wrong_rule_would_be_found(monkeypatch):
    """Three rules that people write by mistake change the law by far more than the tolerance above."""
    prompt, right = TARGET.encode("w0"), expected_law(TARGET, 2)
    wrong = {
        "draws again from p": lambda ids, p, q, choose: _judge(ids, p, q, choose, residual=lambda p, q: p),
        "compares with p alone": lambda ids, p, q, choose: _judge(ids, p, q, choose, chance=lambda p, q: p),
        "accepts everything": lambda ids, p, q, choose: _judge(ids, p, q, choose, chance=lambda p, q: 1.0),
    }
    for name, rule in wrong.items():
        monkeypatch.setattr(speculative, "judge", rule)
        law = law_by_enumeration(monkeypatch, exact(TARGET), exact(DRAFT), prompt, 2, num_assistant_tokens=1)
        assert max(abs(law.get(key, 0) - p) for key, p in right.items()) > 0.01, name


def _judge(ids, p, q, choose, residual=speculative.residual, chance=lambda p, q: min(1.0, p / q)):
    for i, token in enumerate(ids):
        c = float(chance(float(p[i, token]), float(q[i, token])))
        if choose(torch.tensor([c, 1 - c])) == 1:
            return i, choose(residual(p[i], q[i]))
    return len(ids), choose(p[len(ids)])


def test_drawn_texts_fall_as_the_target_says():
    """Chi-square of 2,000 pairs of tokens: its 99.9 % point for 15 degrees of freedom is 37.7."""
    generator, runs = torch.Generator().manual_seed(0), 2000
    counts = {}
    for _ in range(runs):
        run = speculative.speculate(
            exact(TARGET), exact(DRAFT), TARGET.encode("w0"), max_new_tokens=2, do_sample=True, generator=generator
        )
        key = tuple(run.new_tokens[0].tolist())
        counts[key] = counts.get(key, 0) + 1
    law = expected_law(TARGET, 2)

    def chi_square(law):
        return sum((counts.get(key, 0) - runs * p) ** 2 / (runs * p) for key, p in law.items())

    assert chi_square(law) < 37.7
    assert chi_square(expected_law(DRAFT, 2)) > 100


def test_accepted_tokens_are_as_many_as_the_formula_says():
    """Two rows that do not depend on the text: alpha is the same at each step."""
    p, q = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    alpha = 0.1 + 0.2 + 0.2 + 0.1
    assert speculative.overlap(p, q) == pytest.approx(alpha)
    target, draft = (lambda ids, row=row: row.log().expand(1, ids.shape[1], 4) for row in (p, q))
    run = speculative.speculate(
        target,
        draft,
        torch.tensor([[0]]),
        max_new_tokens=1000,
        num_assistant_tokens=3,
        do_sample=True,
        generator=torch.Generator().manual_seed(0),
    )
    spread = 0.054  # a round's standard deviation is 1.15 tokens, that of the mean of 460 rounds 0.054
    assert run.tokens_per_call == pytest.approx(speculative.expected_tokens(alpha, 3), abs=2 * spread)
    assert abs(speculative.expected_tokens(alpha, 3) - speculative.expected_tokens(alpha, 2)) > 0.2


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 12))
def test_expected_tokens_equals_the_closed_form_and_the_sum_over_outcomes(alpha, n):
    closed = (1 - alpha ** (n + 1)) / (1 - alpha)
    outcomes = sum((k + 1) * alpha**k * (1 - alpha) for k in range(n)) + (n + 1) * alpha**n
    assert speculative.expected_tokens(alpha, n) == pytest.approx(closed, rel=1e-6)
    assert outcomes == pytest.approx(closed, rel=1e-6)


def test_expected_tokens_at_the_ends():
    assert [speculative.expected_tokens(a, 4) for a in (0, 1)] == [1, 5]


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 2))
def test_one_guess_pays_exactly_if_it_is_right_more_often_than_it_costs(alpha, cost):
    if abs(alpha - cost) > 1e-9:
        assert (speculative.expected_speedup(alpha, 1, cost) > 1) == (alpha > cost)


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_residual_and_overlap_make_the_target_whole_again(seed):
    rng = torch.Generator().manual_seed(seed)
    p, q = torch.rand(2, 6, generator=rng, dtype=torch.float64).pow(3).add(1e-9).unbind()
    p, q = p / p.sum(), q / q.sum()
    alpha, left = speculative.overlap(p, q), speculative.residual(p, q)
    assert alpha == pytest.approx(1 - 0.5 * float((p - q).abs().sum()), abs=1e-12)  # 1 - total variation distance
    assert left.sum() == pytest.approx(1)
    torch.testing.assert_close(torch.minimum(p, q) + (1 - alpha) * left, p, rtol=0, atol=1e-12)


def test_residual_of_equal_laws_is_the_law_itself():
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    q = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    assert speculative.residual(p, q).tolist() == [[0.5, 0.5], [1, 0]]


PROMPTS = (
    "Once upon a time there was a king. The king had a daughter. One day the king",
    "I am a large language model",
)


@pytest.fixture(scope="module", params=["lookup", "lookup 1", "one block", "fitted", "itself"])
def draft(request, mini):
    texts = torch.cat([mini.encode(t) for t in gl.metrics.reference_texts()[:8]], 1)[:, :1000].view(5, 200)
    return {
        "lookup": lambda: speculative.PromptLookup(),
        "lookup 1": lambda: speculative.PromptLookup(1),
        "one block": lambda: speculative.early_exit(mini, 1),
        "fitted": lambda: speculative.early_exit(mini, 2, texts),
        "itself": lambda: mini,
    }[request.param]()


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("n", [1, 4])
def test_greedy_speculation_is_greedy_search(mini, draft, prompt, n):
    ids = mini.encode(prompt)
    plain = gl.generate(mini, ids, max_new_tokens=50)
    run = speculative.speculate(mini, draft, ids, max_new_tokens=50, num_assistant_tokens=n)
    assert run.sequences.equal(plain.sequences)
    assert run.model_calls == len(run.rounds) <= 50
    assert sum(r.accepted + 1 for r in run.rounds) == 50
    if draft is mini:
        assert run.model_calls == -(-50 // (n + 1))


def test_cache_and_no_cache_write_the_same_sampled_text(mini):
    ids, small = mini.encode(PROMPTS[0]), speculative.early_exit(mini, 3)
    texts = [
        speculative.speculate(
            mini, small, ids, max_new_tokens=16, do_sample=True, top_p=0.9,
            generator=torch.Generator().manual_seed(3), use_cache=cached,
        )
        for cached in (True, False)
    ]  # fmt: skip
    assert texts[0].sequences.equal(texts[1].sequences)
    assert texts[0].model_calls == texts[1].model_calls
    assert 0 < sum(r.accepted for r in texts[0].rounds) < sum(len(r.proposed) for r in texts[0].rounds)


def test_an_end_token_ends_the_text_wherever_it_stands_in_a_round(mini):
    ids = mini.encode(PROMPTS[0])
    plain = gl.generate(mini, ids, max_new_tokens=40).new_tokens[0].tolist()
    for end in list(dict.fromkeys(plain))[:10]:
        run = speculative.speculate(
            mini, mini, ids, max_new_tokens=40, num_assistant_tokens=5, eos_token_id=end
        ).new_tokens[0].tolist()  # fmt: skip
        assert run == plain[: plain.index(end) + 1]


def count_calls(model, **settings):
    calls = []
    hook = model.register_forward_pre_hook(lambda *given: calls.append(1), with_kwargs=True)
    try:
        ids = model.generate(do_sample=False, pad_token_id=0, **settings)
    finally:
        hook.remove()
    return ids, len(calls)


@pytest.fixture(scope="module")
def pair():
    """A small random transformers model and the same without its last block: something to guess and to refuse."""
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=128, n_embd=32, n_layer=3, n_head=4, initializer_range=0.3
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    small = transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**config.to_dict(), "n_layer": 2})).eval()
    small.load_state_dict({k: v for k, v in model.state_dict().items() if ".h.2." not in k})
    for m in (model, small):
        m.generation_config.eos_token_id = m.config.eos_token_id = None
    return model, small


@pytest.mark.parametrize("seed", range(3))
def test_texts_equal_transformers_assisted_generation(pair, seed):
    model, small = pair
    ids = torch.randint(40, (1, 6), generator=torch.Generator().manual_seed(seed))
    small.generation_config.num_assistant_tokens = 3
    small.generation_config.num_assistant_tokens_schedule = "constant"
    small.generation_config.assistant_confidence_threshold = 0
    theirs, _ = count_calls(
        model, inputs=ids, attention_mask=torch.ones_like(ids), max_new_tokens=30, assistant_model=small
    )
    ours = GPT2.from_transformers(model)
    run = speculative.speculate(ours, speculative.early_exit(ours, 2), ids, max_new_tokens=30, num_assistant_tokens=3)
    assert run.sequences.equal(theirs)
    # calls are not compared: after a refusal transformers 5.23 leaves a stale row in its draft's cache, and guesses on
    text, length = theirs[0].tolist(), ids.shape[1]
    for r in run.rounds:
        seen = text[:length]
        for guess in r.proposed:
            assert guess == small(torch.tensor([seen])).logits[0, -1].argmax()
            seen = [*seen, guess]
        length += r.accepted + 1
    assert sum(r.accepted for r in run.rounds) > 0


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_texts_and_calls_equal_transformers_prompt_lookup(mini, prompt, size):
    ids = mini.encode(prompt)
    theirs, calls = count_calls(
        mini.model, inputs=ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, eos_token_id=None,
        prompt_lookup_num_tokens=4, max_matching_ngram_size=size,
    )  # fmt: skip
    run = speculative.speculate(mini, speculative.PromptLookup(size), ids, max_new_tokens=40)
    assert run.sequences.equal(theirs)
    assert (run.model_calls, run.assistant_calls) == (calls, 0)


@pytest.mark.parametrize(
    ("ids", "n", "found"),
    [
        ([1, 2, 3, 9, 1, 2], 3, [3, 9, 1]),
        ([1, 2, 3, 9, 1, 2], 9, [3, 9, 1, 2]),
        ([5, 2, 7, 1, 2, 8, 1, 2], 1, [8]),  # two ids are better than one, although "2" stood before
        ([5, 2, 7, 3, 2], 2, [7, 3]),  # only the last id is known
        ([4, 4, 4], 2, [4]),
        ([1, 2, 3], 2, []),
        ([1], 2, []),
        ([1, 2, 1, 2], 0, []),
    ],
)
def test_lookup_finds_what_followed_before(ids, n, found):
    assert speculative.PromptLookup(2).find(ids, n) == found


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 6))
def test_what_lookup_finds_stands_in_the_text_behind_the_same_ids(ids, size, n):
    found = speculative.PromptLookup(size).find(ids, n)
    pairs = itertools.product(range(1, size + 1), range(len(ids)))
    places = [(s, i) for s, i in pairs if i + s < len(ids) and ids[i : i + s] == ids[-s:]]
    assert bool(found) == (bool(places) and n > 0)
    if found:
        longest = max(s for s, _ in places)
        assert found in [ids[i + s : i + s + n] for s, i in places if s == longest]


def test_an_early_exit_shares_the_models_weights_and_is_its_first_blocks(mini):
    network = mini.scratch
    small, record, ids = speculative.early_exit(mini, 2), {}, mini.encode("Once upon a time")
    own = {p.data_ptr() for p in network.parameters()}
    assert {p.data_ptr() for p in small.parameters()} <= own
    with torch.no_grad():
        network(ids, record=record)
        by_hand = network.ln_f(record["h.1.out"]) @ network.wte.weight.T
        torch.testing.assert_close(small(ids), by_hand, rtol=1e-5, atol=1e-4)
    whole = speculative.early_exit(mini, network.config.n_layer)
    assert whole(ids).equal(network(ids))


def test_a_fitted_exit_solves_the_least_squares_problem():
    torch.manual_seed(0)
    network = (
        GPT2(GPT2Config(vocab_size=50, n_positions=64, n_embd=16, n_layer=3, n_head=2)).requires_grad_(False).eval()
    )
    ids, record = torch.randint(50, (8, 60)), {}
    network(ids, record=record)
    layer = drafts._fit(network, 1, ids)
    early, late = record["h.0.out"].flatten(0, 1), record["h.2.out"].flatten(0, 1)
    best = torch.linalg.lstsq(torch.cat([early, torch.ones(len(early), 1)], 1), late).solution
    torch.testing.assert_close(layer(early), early @ best[:-1] + best[-1], rtol=0, atol=0.02 * float(late.std()))
    assert (layer(early) - late).pow(2).mean() < 0.9 * (early - late).pow(2).mean()


def test_a_fitted_exit_is_accepted_more_often(mini):
    texts = [mini.encode(t) for t in gl.metrics.reference_texts()]
    train = torch.cat(texts[:8], 1)
    train = train[:, : train.shape[1] // 200 * 200].view(-1, 200)
    with torch.no_grad():
        p = mini.scratch(texts[-1])[0].softmax(-1)
        alphas = [
            speculative.overlap(p, speculative.early_exit(mini, 1, fit)(texts[-1])[0].softmax(-1)).mean()
            for fit in (None, train)
        ]
    assert alphas[1] > alphas[0] + 0.1


def test_zero_proposals_are_plain_decoding(mini):
    ids = mini.encode("Once upon a time")
    run = speculative.speculate(mini, mini, ids, max_new_tokens=5, num_assistant_tokens=0)
    assert (run.model_calls, run.assistant_calls, run.tokens_per_call) == (5, 0, 1)


BAD = {
    "two texts": ({"input_ids": torch.tensor([[1], [2]])}, ValueError, "continues one"),
    "text": ({"input_ids": "Once"}, TypeError, "LongTensor"),
    "half a proposal": ({"num_assistant_tokens": 1.5}, ValueError, "whole number of at least 0"),
    "minus one": ({"num_assistant_tokens": -1}, ValueError, "at least 0"),
    "temperature without sampling": ({"temperature": 0.5}, ValueError, "Add do_sample=True"),
    "temperature 0": ({"temperature": 0.0, "do_sample": True}, ValueError, "temperature=0.0 is not allowed"),
    "top_k -1": ({"top_k": -1, "do_sample": True}, ValueError, "top_k=-1"),
    "seed as generator": ({"generator": 0}, TypeError, "torch.Generator"),
    "no tokens": ({"max_new_tokens": 0}, ValueError, "at least 1"),
    "too long": ({"max_new_tokens": 10**6}, ValueError, "reads at most"),
    "another vocabulary": ({"assistant": toy.LOOPS}, ValueError, "do not mean the same"),
    "no model": ({"assistant": 3}, TypeError, "a model is"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_sentence(mini, name):
    change, error, words = BAD[name]
    call = {"model": mini, "assistant": mini, "input_ids": torch.tensor([[1, 2]]), "max_new_tokens": 3} | change
    with pytest.raises(error, match=words):
        speculative.speculate(**call)


def test_bad_drafts_and_numbers_get_a_sentence(mini):
    for call, words in [
        (lambda: speculative.PromptLookup(0), "at least 1"),
        (lambda: speculative.early_exit(mini, 99), "1 to "),
        (lambda: speculative.expected_tokens(1.2, 3), "from 0 to 1"),
        (lambda: speculative.expected_speedup(0.5, 3, -1), "0 or more"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="our GPT2"):
        speculative.early_exit(toy.LOOPS, 1)
