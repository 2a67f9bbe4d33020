"""The decoding loop: exact on toy models, equal to transformers token for token, honest about seeds."""

import gc
import itertools
import math
import weakref

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import gpt2lessons as gl
from gpt2lessons import toy
from gpt2lessons.decoding.generation import generate, generate_text
from gpt2lessons.decoding.stepper import Stepper
from gpt2lessons.gpt2 import GPT2
from gpt2lessons.scoring import token_log_probs


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def tiny(seed, *, size=60, positions=64):
    """A random GPT-2 whose logits are spread widely enough for clear decisions, in evaluation mode."""
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=size, n_positions=positions, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    config.bos_token_id = config.eos_token_id = None
    return GPT2LMHeadModel(config).eval()


def theirs(model, ids, new, **settings):
    mask = settings.pop("attention_mask", torch.ones_like(ids))
    return model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=new,
        use_cache=True,
        pad_token_id=settings.pop("pad_token_id", 0),
        **settings,
    )


# ------------------------------------------------------------------------------------- greedy, against transformers

RULES = [
    {},
    {"no_repeat_ngram_size": 2},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3},
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_greedy_equals_transformers_on_many_random_models(rules):
    for seed in range(10):
        model = tiny(seed)
        ids = torch.randint(60, (6, 1 + seed), generator=seeded(seed))
        expected = theirs(model, ids, 20, do_sample=False, **rules)
        assert torch.equal(
            generate(GPT2.from_transformers(model), ids, max_new_tokens=20, **rules).sequences, expected
        ), seed


def test_every_kind_of_model_writes_the_same_with_and_without_cache():
    model = tiny(3)
    ids = torch.randint(60, (4, 5), generator=seeded(0))
    expected = theirs(model, ids, 25, do_sample=False)
    for kind in (GPT2.from_transformers(model), model, lambda x: model(x).logits, lambda x: model(x)):
        for use_cache in (True, False):
            assert torch.equal(generate(kind, ids, max_new_tokens=25, use_cache=use_cache).sequences, expected)


def padded(prompts, pad=0):
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


@pytest.mark.parametrize("seed", range(3))
def test_a_left_padded_batch_equals_transformers_and_each_row_alone(seed):
    model, rng = tiny(seed), seeded(seed)
    prompts = [torch.randint(60, (n,), generator=rng).tolist() for n in (1, 7, 4, 2)]
    ids, mask = padded(prompts, pad=11)
    ours = GPT2.from_transformers(model)
    got = generate(ours, ids, attention_mask=mask, max_new_tokens=20)
    assert torch.equal(got.sequences, theirs(model, ids, 20, attention_mask=mask, do_sample=False, pad_token_id=11))
    for kind in (ours, model, lambda x: model(x).logits):
        for rules in RULES[:1] + RULES[3:]:
            got = generate(kind, ids, attention_mask=mask, max_new_tokens=20, **rules)
            for row, prompt in enumerate(prompts):
                solo = generate(ours, torch.tensor([prompt]), max_new_tokens=20, **rules)
                assert torch.equal(got.new_tokens[row], solo.new_tokens[0])
                assert torch.allclose(got.log_probs[row], solo.log_probs[0], atol=1e-4)


def test_a_padded_row_obeys_the_rules_as_transformers_does_alone():
    model = tiny(1)
    prompts = [[5, 9], [3, 7, 5, 9, 1, 2, 30]]
    ids, mask = padded(prompts, pad=5)
    got = generate(GPT2.from_transformers(model), ids, attention_mask=mask, max_new_tokens=25, **RULES[3])
    for row, prompt in enumerate(prompts):
        solo = theirs(model, torch.tensor([prompt]), 25, do_sample=False, **RULES[3])
        assert torch.equal(got.new_tokens[row], solo[0, len(prompt) :])


def test_eos_ends_a_row_as_in_transformers():
    ended_early = 0
    for seed in range(8):
        model = tiny(seed, size=12)
        ids = torch.randint(12, (5, 3), generator=seeded(seed))
        for eos in (4, [4, 7]):
            pad = 4
            expected = theirs(
                model, ids, 30, do_sample=False, eos_token_id=eos, pad_token_id=pad, no_repeat_ngram_size=2
            )
            got = generate(
                GPT2.from_transformers(model), ids, max_new_tokens=30, eos_token_id=eos, no_repeat_ngram_size=2
            )
            assert torch.equal(got.sequences, expected)
            for row, n in zip(got.new_tokens.tolist(), got.lengths.tolist(), strict=True):
                ends = [i for i, t in enumerate(row) if t in ([eos] if eos == 4 else eos)]
                assert n == (ends[0] + 1 if ends else len(row))
                ended_early += n < len(row)
            assert (got.log_probs[torch.arange(got.log_probs.shape[1]) >= got.lengths[:, None]] == 0).all()
    assert ended_early > 20


def test_the_cache_goes_with_the_stepper(mini):
    gc.disable()  # nothing may wait for the collector: a batch's cache can be hundreds of megabytes
    try:
        steps = Stepper(mini, mini.encode("The king"), max_length=8)
        steps.read()
        cache = weakref.ref(steps._cache)
        assert cache() is not None
        del steps
        assert cache() is None
    finally:
        gc.enable()


def test_no_hidden_default():
    model = tiny(0, size=400)
    model.generation_config.top_k = 5
    model.generation_config.eos_token_id = 3
    step = generate(
        model, torch.tensor([[1]]), max_new_tokens=1, do_sample=True, generator=seeded(0), trace=True
    ).trace[0]
    assert list(step.stages) == ["model"]
    assert step.kept.tolist() == [400]


def test_half_precision_models_are_read_in_float32():
    g = generate(tiny(0).bfloat16(), torch.tensor([[1, 2]]), max_new_tokens=3, trace=True)
    assert g.trace[0].stages["model"].dtype == torch.float32


def test_a_model_in_training_mode_is_read_without_dropout_and_left_as_it_was():
    model = tiny(0)
    expected = generate(model, torch.tensor([[1, 2]]), max_new_tokens=10).sequences
    model.train()
    assert torch.equal(generate(model, torch.tensor([[1, 2]]), max_new_tokens=10).sequences, expected)
    assert model.training


# --------------------------------------------------------------------------------- the trace, against transformers

SAMPLERS = [
    {"temperature": 0.7},
    {"top_k": 7},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"typical_p": 0.6},
    {"epsilon": 0.03},
    {"temperature": 1.3, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.95},
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "temperature": 0.8, "top_k": 10, "top_p": 0.85},
]


@pytest.mark.parametrize("settings", SAMPLERS, ids=str)
def test_each_step_draws_from_what_transformers_draws_from(settings):
    model = tiny(2)
    ids = torch.randint(60, (3, 4), generator=seeded(1))
    renamed = {{"epsilon": "epsilon_cutoff"}.get(k, k): v for k, v in settings.items()}
    torch.manual_seed(0)
    run = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=15, do_sample=True, **{"top_k": 0, **renamed},
        use_cache=False, pad_token_id=0, output_scores=True, output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    for t in range(15):
        prefix = run.sequences[:, : 4 + t]
        step = generate(model, prefix, max_new_tokens=1, do_sample=True, use_cache=False, trace=True, **settings).trace[
            0
        ]
        # close, not equal: with its mask of ones the library may take another attention kernel
        torch.testing.assert_close(step.stages["model"], run.logits[t], rtol=1e-5, atol=1e-5)
        last = list(step.stages.values())[-1]
        assert torch.equal(last.isinf(), run.scores[t].isinf())
        torch.testing.assert_close(last, run.scores[t], rtol=1e-5, atol=1e-4)
        assert list(step.stages) == ["model", *(n for n in ORDER if n in settings)]
        assert torch.allclose(step.probs, run.scores[t].softmax(-1))


ORDER = ["repetition_penalty", "no_repeat_ngram_size", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon"]


def test_a_step_tells_what_the_definitions_say():
    model = toy.PEAKED_AND_FLAT
    for word in range(model.vocab_size):
        ids = torch.tensor([[word]])
        g = generate(model, ids, max_new_tokens=1, do_sample=True, top_k=2, generator=seeded(1), trace=True)
        step, token = g.trace[0], int(g.new_tokens)
        p = [float(model.next_probs(model.words[word]).get(w, 0)) for w in model.words]
        assert step.entropy.item() == pytest.approx(-sum(q * math.log(q) for q in p if q), abs=1e-5)
        top = sorted(p, reverse=True)
        survivors = [q for q in p if q >= top[1] and q > 0]
        assert step.kept.item() == len(survivors)
        assert step.kept_mass.item() == pytest.approx(sum(survivors), abs=1e-6)
        assert step.rank.item() == 1 + sum(q > p[token] for q in p)
        assert step.log_prob.item() == pytest.approx(math.log(p[token]), abs=1e-5)
        assert step.probs[0, token].item() == pytest.approx(p[token] / sum(survivors), abs=1e-6)
        found, probs = step.top(3)
        assert probs[0].tolist() == pytest.approx(top[:3], abs=1e-6)
        assert [p[i] for i in found[0].tolist()] == pytest.approx(top[:3], abs=1e-6)
        assert step.token.tolist() == [token]
        assert step.active.tolist() == [True]


def test_log_probs_are_those_of_the_model_itself():
    model = tiny(4)
    ids = torch.randint(60, (3, 4), generator=seeded(1))
    g = generate(
        model, ids, max_new_tokens=12, do_sample=True, top_k=5, temperature=0.5, generator=seeded(0), trace=True
    )
    assert torch.allclose(g.log_probs, token_log_probs(model, g.sequences)[:, 3:], atol=1e-4)
    assert torch.allclose(g.log_probs, torch.stack([s.log_prob for s in g.trace], 1), atol=1e-6)


def test_a_trace_keeps_the_last_logits_only():
    for kind in (tiny(0), GPT2.from_transformers(tiny(0)), lambda ids: torch.randn(*ids.shape, 60)):
        g = generate(kind, torch.ones(2, 30, dtype=torch.long), max_new_tokens=3, use_cache=False, trace=True)
        assert all(s.stages["model"].untyped_storage().nbytes() == 2 * 60 * 4 for s in g.trace)


def test_the_trace_of_a_row_that_has_ended_says_so():
    model = toy.EARLY_STOP
    start, eos = model.encode(model.words[0]).repeat(40, 1), model.eos_token_id
    settings = {"do_sample": True, "generator": seeded(0), "eos_token_id": eos, "trace": True}
    g = generate(model, start, max_new_tokens=6, **settings)
    for t, step in enumerate(g.trace):
        assert torch.equal(step.active, g.lengths > t)
        assert (step.log_prob[~step.active] == 0).all()
        assert (step.token[~step.active] == model.eos_token_id).all()
    assert len(set(g.lengths.tolist())) > 1


# ----------------------------------------------------------------------------- what is drawn, against exact arithmetic


def chi_square(counts, expected):
    """Pearson's statistic in standard deviations above its mean: below 4 with probability > 0.999 for a true model."""
    assert all(expected[o] > 0 for o in counts), "something impossible was drawn"
    n = sum(counts.values())
    cells = [(counts.get(o, 0), n * float(p)) for o, p in expected.items() if p > 0]
    common = [(c, e) for c, e in cells if e >= 5]
    rest = [(c, e) for c, e in cells if e < 5]
    if rest:
        common.append((sum(c for c, _ in rest), sum(e for _, e in rest)))
    statistic = sum((c - e) ** 2 / e for c, e in common)
    freedom = len(common) - 1
    return (statistic - freedom) / math.sqrt(2 * freedom) if freedom else statistic


TOY_SAMPLERS = [{}, {"temperature": 0.6}, {"temperature": 2.0}, {"top_k": 2}, {"top_p": 0.7}, {"min_p": 0.3}]
TOY_SAMPLERS += [{"typical_p": 0.55}, {"epsilon": 0.12}, {"temperature": 1.5, "top_k": 3, "top_p": 0.8}]
DRAWS = 4000


def draw_toy(model, settings, seed, draws=DRAWS, length=3):
    start = model.encode(model.words[0])
    g = generate(
        model, start, max_new_tokens=length, do_sample=True, num_return_sequences=draws, generator=seeded(seed),
        eos_token_id=model.eos_token_id, **settings,
    )  # fmt: skip
    counts = {}
    for row, n in zip(g.new_tokens.tolist(), g.lengths.tolist(), strict=True):
        counts[tuple(row[:n])] = counts.get(tuple(row[:n]), 0) + 1
    return counts


@pytest.mark.parametrize("settings", TOY_SAMPLERS, ids=str)
def test_texts_are_drawn_with_their_exact_probabilities(settings):
    for model in (toy.PEAKED_AND_FLAT, toy.EARLY_STOP):
        expected = {c.ids: c.prob for c in model.continuations(model.words[0], 3, **settings)}
        assert chi_square(draw_toy(model, settings, seed=11), expected) < 4


def test_the_chi_square_would_notice_a_wrong_temperature():
    model = toy.PEAKED_AND_FLAT
    expected = {c.ids: c.prob for c in model.continuations(model.words[0], 3, temperature=1.1)}
    assert chi_square(draw_toy(model, {"temperature": 0.9}, seed=11), expected) > 8


def test_neighbouring_rows_steps_and_seeds_are_independent():
    flat = lambda ids: torch.zeros(*ids.shape, 4)  # noqa: E731
    start = torch.zeros(1, 1, dtype=torch.long)
    draw = lambda seed, rows, n: generate(  # noqa: E731
        flat, start, max_new_tokens=n, do_sample=True, num_return_sequences=rows, generator=seeded(seed)
    ).new_tokens.tolist()
    one = draw(0, 4001, 2)
    by_seed = [draw(seed, 1, 1)[0][0] for seed in range(1001)]
    for pairs in (
        [tuple(row) for row in one],  # neighbouring steps
        [(a[0], b[0]) for a, b in itertools.pairwise(one)],  # neighbouring rows
        list(itertools.pairwise(by_seed)),  # neighbouring seeds
    ):
        counts = {}
        for pair in pairs:
            counts[pair] = counts.get(pair, 0) + 1
        assert chi_square(counts, {(a, b): 1 / 16 for a in range(4) for b in range(4)}) < 4


# --------------------------------------------------------------------------------------------------------------- seeds


def test_same_seed_same_text_whatever_the_batch_size_or_length():
    model = GPT2.from_transformers(tiny(5))
    ids = torch.randint(60, (1, 4), generator=seeded(1))
    settings = {"do_sample": True, "top_p": 0.95}
    full = generate(model, ids, max_new_tokens=20, num_return_sequences=16, generator=seeded(7), **settings).new_tokens
    for rows in (1, 2, 5):
        few = generate(model, ids, max_new_tokens=20, num_return_sequences=rows, generator=seeded(7), **settings)
        assert torch.equal(few.new_tokens, full[:rows])
    batch = generate(model, ids.repeat(16, 1), max_new_tokens=20, generator=seeded(7), **settings)
    assert torch.equal(batch.new_tokens, full)
    short = generate(model, ids, max_new_tokens=6, num_return_sequences=3, generator=seeded(7), **settings)
    assert torch.equal(short.new_tokens, full[:3, :6])
    assert len({tuple(row) for row in full.tolist()}) == 16
    other = generate(model, ids, max_new_tokens=20, generator=seeded(8), **settings)
    assert not torch.equal(other.new_tokens, full[:1])


def test_a_generator_moves_on_by_the_same_amount_whatever_the_batch_size():
    model = toy.TWO_WORDS
    start = model.encode(model.words[0])
    states = []
    for rows, n in ((1, 1), (7, 3)):
        rng = seeded(3)
        generate(model, start, max_new_tokens=n, do_sample=True, num_return_sequences=rows, generator=rng)
        states.append(rng.get_state())
    assert torch.equal(*states)
    assert not torch.equal(states[0], seeded(3).get_state())


def test_without_a_generator_the_global_seed_decides():
    model = GPT2.from_transformers(tiny(5))
    texts = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        texts.append(generate(model, torch.tensor([[1]]), max_new_tokens=20, do_sample=True).sequences.tolist())
    assert texts[0] == texts[1] != texts[2]


def test_greedy_leaves_the_generator_alone():
    rng = seeded(3)
    generate(toy.LOOPS, toy.LOOPS.encode(toy.LOOPS.words[0]), max_new_tokens=3, generator=rng)
    assert torch.equal(rng.get_state(), seeded(3).get_state())


# --------------------------------------------------------------------------------------- settings per row and streaming


def test_a_setting_per_row_equals_a_run_of_its_own():
    model = GPT2.from_transformers(tiny(6))
    ids = torch.randint(60, (1, 4), generator=seeded(1))
    columns = {
        "temperature": [0.5, 1.0, 1.7],
        "top_k": [0, 3, 10],
        "top_p": [1.0, 0.9, 0.3],
        "repetition_penalty": [1.0, 1.3, 2.0],
        "no_repeat_ngram_size": [0, 2, 1],
    }
    together = {name: torch.tensor(values) for name, values in columns.items()}
    batch = generate(model, ids.repeat(3, 1), max_new_tokens=15, do_sample=True, generator=seeded(4), **together)
    for row in range(3):
        alone = {name: values[row] for name, values in columns.items()}
        solo = generate(model, ids.repeat(3, 1), max_new_tokens=15, do_sample=True, generator=seeded(4), **alone)
        assert torch.equal(solo.new_tokens[row], batch.new_tokens[row])


def test_a_setting_per_prompt_holds_for_all_its_samples():
    flat = lambda ids: torch.zeros(*ids.shape, 6) + torch.arange(6)  # noqa: E731
    g = generate(
        flat, torch.zeros(2, 1, dtype=torch.long), max_new_tokens=8, do_sample=True, num_return_sequences=5,
        top_k=torch.tensor([1, 6]), generator=seeded(0),
    )  # fmt: skip
    assert (g.new_tokens[:5] == 5).all()
    assert (g.new_tokens[5:] != 5).any()


def test_streaming_shows_each_token_once_in_order():
    model = GPT2.from_transformers(tiny(6))
    seen = []
    g = generate(
        model, torch.tensor([[1], [2]]), max_new_tokens=7, on_token=lambda step, t: seen.append((step, t.tolist()))
    )
    assert seen == [(i, column) for i, column in enumerate(g.new_tokens.T.tolist())]


def test_stop_by_sequences_and_by_function():
    model = GPT2.from_transformers(tiny(6))
    free = generate(model, torch.tensor([[1]]), max_new_tokens=20).new_tokens[0].tolist()
    end = free[3:5]
    first = next(i for i in range(1, 20) if free[i - 1 : i + 1] == end)
    for stop in ([end], [[99], end], lambda new: new[-2:] == end):
        g = generate(model, torch.tensor([[1]]), max_new_tokens=20, stop=stop)
        assert g.new_tokens[0].tolist() == free[: first + 1]
        assert g.lengths.tolist() == [first + 1]


def test_stop_ends_one_row_and_lets_the_others_go_on():
    count = lambda ids: torch.nn.functional.one_hot((ids + 1) % 8, 8).float() * 9  # noqa: E731
    g = generate(count, torch.tensor([[0], [4]]), max_new_tokens=5, stop=[[6]], eos_token_id=7)
    assert g.new_tokens.tolist() == [[1, 2, 3, 4, 5], [5, 6, 7, 7, 7]]
    assert g.lengths.tolist() == [5, 2]
    assert (g.log_probs[1, 2:] == 0).all()
    assert (g.log_probs[0] < 0).all()


# ------------------------------------------------------------------------------------------------ learner's helper


def test_generate_text_is_prompt_and_continuation(mini):
    greedy = generate(mini, mini.encode("Once upon a time"), max_new_tokens=12)
    assert generate_text(mini, "Once upon a time", max_new_tokens=12) == mini.decode(greedy.sequences)
    texts = generate_text(mini, "Once upon a time", max_new_tokens=12, do_sample=True, num_return_sequences=3, seed=0)
    assert len(set(texts)) == 3
    assert all(t.startswith("Once upon a time") for t in texts)
    assert generate_text(mini, "Once upon a time", max_new_tokens=12, do_sample=True, seed=0) == texts[0]
    assert gl.generate_text is generate_text


def test_generate_text_stops_after_a_string(mini):
    full = generate_text(mini, "Once upon a time", max_new_tokens=60, do_sample=True, top_k=20, seed=0)
    stop = full[40:43]
    cut = generate_text(mini, "Once upon a time", max_new_tokens=60, do_sample=True, top_k=20, seed=0, stop=stop)
    assert cut == full[: full.index(stop, len("Once upon a time")) + 3]


def test_generate_text_hides_the_end_of_text_token(mini):
    eos = mini.tokenizer.eos_token_id
    most = generate(mini, mini.encode("The end."), max_new_tokens=1).new_tokens.item()
    assert generate_text(mini, "The end.", max_new_tokens=5, eos_token_id=most) == "The end."
    assert eos not in mini.tokenizer.encode(generate_text(mini, "The end.", max_new_tokens=30))


# --------------------------------------------------------------------------------------------------------- bad input

IDS = torch.tensor([[1, 2, 3]])
NEW = {"max_new_tokens": 2}
BAD = [
    ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, ValueError, r"shape \(1, 0\).*at least one token"),
    ({"input_ids": torch.tensor([1, 2])}, ValueError, r"shape \(2,\).*ids\[None\]"),
    ({"input_ids": torch.tensor([[1.0, 2.0]])}, TypeError, r"dtype torch.float32.*LongTensor"),
    ({"input_ids": [[1, 2]]}, TypeError, r"input_ids is list.*LongTensor"),
    ({"input_ids": torch.tensor([[1, 60]])}, ValueError, r"run from 1 to 60, but this model's ids are 0 to 59"),
    ({"input_ids": torch.tensor([[-1, 2]])}, ValueError, r"run from -1 to 2"),
    ({"max_new_tokens": 0}, ValueError, r"max_new_tokens=0 is not allowed.*at least 1"),
    ({"max_new_tokens": -3}, ValueError, r"max_new_tokens=-3"),
    ({"max_new_tokens": 2.0}, ValueError, r"max_new_tokens=2.0"),
    ({"max_new_tokens": 62}, ValueError, r"3 tokens of prompt and max_new_tokens=62 make 65.*at most 64.*Ask for 61"),
    (
        {"temperature": 0.7},
        ValueError,
        r"temperature was set, but greedy search.*Add do_sample=True, or leave temperature",
    ),
    ({"top_k": 5, "top_p": 0.9}, ValueError, r"top_k was set.*leave top_k, top_p out"),
    ({"temperature": 0, "do_sample": True}, ValueError, r"temperature=0 is not allowed.*do_sample=False"),
    ({"temperature": None, "do_sample": True}, TypeError, r"temperature=None is not allowed"),
    ({"top_p": 1.5, "do_sample": True}, ValueError, r"top_p=1.5 is not allowed"),
    ({"top_k": -1, "do_sample": True}, ValueError, r"top_k=-1 is not allowed"),
    ({"top_k": torch.tensor([1, 2, 3]), "do_sample": True}, ValueError, r"top_k has shape \(3,\)"),
    ({"repetition_penalty": 0.0}, ValueError, r"penalty=0.0 is not allowed"),
    ({"no_repeat_ngram_size": -1}, ValueError, r"ngram_size=-1 is not allowed"),
    ({"num_return_sequences": 2}, ValueError, r"num_return_sequences=2 without do_sample=True.*beam_search"),
    ({"num_return_sequences": 0}, ValueError, r"num_return_sequences=0 is not allowed"),
    ({"eos_token_id": 1.5}, TypeError, r"eos_token_id=1.5 is not allowed"),
    ({"eos_token_id": "."}, TypeError, r"eos_token_id='\.' is not allowed"),
    ({"stop": "."}, TypeError, r"stop='\.' is not allowed.*generate_text"),
    ({"stop": [[]]}, TypeError, r"stop=\[\[\]\] is not allowed"),
    ({"generator": 0, "do_sample": True}, TypeError, r"generator is int.*manual_seed"),
    ({"attention_mask": torch.ones(1, 2)}, ValueError, r"attention_mask is \(1, 2\).*\(1, 3\)"),
    ({"attention_mask": torch.tensor([[1, 1, 0]])}, ValueError, r"padding on the right.*padding_side = 'left'"),
    ({"attention_mask": torch.tensor([[1, 0, 1]])}, ValueError, r"padding on the right of a text or inside"),
    ({"attention_mask": torch.tensor([[0, 2, 1]])}, ValueError, r"other values than 1"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=lambda v: str(v)[:40])
def test_bad_input_says_what_to_do_before_the_model_is_asked(change, error, message):
    model = GPT2.from_transformers(tiny(0))
    model.register_forward_hook(lambda *_: pytest.fail("the model was asked"))
    with pytest.raises(error, match=message):
        generate(model, **{"input_ids": IDS, **NEW, **change})


def test_the_last_position_can_be_filled_and_padding_needs_no_position():
    model = GPT2.from_transformers(tiny(0))
    assert generate(model, IDS, max_new_tokens=61).sequences.shape == (1, 64)
    ids, mask = padded([[1, 2, 3], [4] * 60])
    assert generate(model, ids, attention_mask=mask, max_new_tokens=4).sequences.shape == (2, 64)


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "nan"), (math.inf, "inf")])
@pytest.mark.parametrize("do_sample", [False, True])
def test_a_model_that_returns_nan_is_reported_with_step_and_row(value, shown, do_sample):
    def broken(ids):
        logits = torch.zeros(*ids.shape, 5)
        if ids.shape[1] == 4:
            logits[1, -1, 2] = value
        return logits

    with pytest.raises(ValueError, match=rf"at step 3 the model returned {shown} among the logits of row 1"):
        generate(broken, torch.ones(2, 1, dtype=torch.long), max_new_tokens=6, do_sample=do_sample)


def test_a_function_of_the_wrong_kind_is_reported():
    with pytest.raises(ValueError, match=r"must return logits \(B, T, V\), not \(1, 5\)"):
        generate(lambda ids: torch.zeros(1, 5), IDS, max_new_tokens=1)
    with pytest.raises(TypeError, match=r"not int"):
        generate(3, IDS, max_new_tokens=1)
    with pytest.raises(ValueError, match=r"input_ids contain 3, but the model's logits know ids up to 2"):
        generate(lambda ids: torch.zeros(*ids.shape, 3), IDS, max_new_tokens=1)


def test_generate_text_says_what_it_takes(mini):
    with pytest.raises(TypeError, match=r"prompt is a list, but should be one text"):
        generate_text(mini, ["a", "b"])
    with pytest.raises(TypeError, match=r"stop=3 is not allowed"):
        generate_text(mini, "a", stop=3)
    with pytest.raises(ValueError, match=r"no token to start from"):
        generate_text(mini, "")
    with pytest.raises(ValueError, match=r"temperature was set"):
        generate_text(mini, "a", temperature=0.7)
