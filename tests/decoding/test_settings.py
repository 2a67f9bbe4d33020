"""The table of settings: one declaration serves every loop; the newer settings equal the library's."""

import inspect
import itertools
import math
import warnings

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from hypothesis import settings as how
from support.fuzz import TIMES
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import (
    EtaLogitsWarper,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TopHLogitsWarper,
)

import gpt2lessons as gl
from gpt2lessons.decoding import processors
from gpt2lessons.decoding.processors import SETTINGS
from gpt2lessons.decoding.speculative import PromptLookup

IDS = torch.tensor([[1, 2, 3, 2]])
# a value that does something on most rows
TYPICAL_VALUES = {
    "repetition_penalty": 1.3,
    "frequency_penalty": 0.4,
    "presence_penalty": 0.7,
    "no_repeat_ngram_size": 1,
    "temperature": 0.7,
    "top_h": 0.4,
    "top_k": 3,
    "top_p": 0.6,
    "min_p": 0.2,
    "typical_p": 0.5,
    "epsilon": 0.05,
    "eta": 0.05,
}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def rows(seed, n=4, size=30, spread=3.0):
    return torch.randn(n, size, generator=seeded(seed), dtype=torch.float64) * spread


def toy(seed=0, size=9):
    """A function ids -> logits (B, T, V) in which the last token decides."""
    table = rows(seed, size, size)
    return lambda ids: table[ids]


# ------------------------------------------------------------------------------------------------------- the table


def test_the_order_is_the_documented_one():
    assert list(SETTINGS) == list(TYPICAL_VALUES)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_a_keyword_of_generate_with_its_neutral_value(name):
    assert inspect.signature(gl.generate).parameters[name].default == SETTINGS[name].neutral
    in_speculation = name in inspect.signature(gl.speculative.speculate).parameters
    assert in_speculation == SETTINGS[name].sampling


@pytest.mark.parametrize("name", SETTINGS)
def test_the_neutral_value_changes_nothing_and_another_does(name):
    logits, each = rows(1), SETTINGS[name]
    ids = torch.randint(30, (4, 6), generator=seeded(2))
    assert torch.equal(each.apply(logits, ids, each.neutral), logits)
    changed = each.apply(logits, ids, TYPICAL_VALUES[name])
    assert not torch.equal(changed, logits)
    kind = torch.long if isinstance(TYPICAL_VALUES[name], int) else torch.float64
    column = torch.tensor([each.neutral, TYPICAL_VALUES[name]] * 2, dtype=kind)
    mixed = each.apply(logits, ids, column)
    torch.testing.assert_close(mixed[::2], logits[::2], rtol=0, atol=0)
    torch.testing.assert_close(mixed[1::2], changed[1::2])


@pytest.mark.parametrize("name", SETTINGS)
def test_generate_tuning_and_speculation_read_the_same_table(name):
    each = SETTINGS[name]
    found = gl.generate(
        toy(), IDS, max_new_tokens=2, do_sample=True, generator=seeded(0), trace=True, **{name: TYPICAL_VALUES[name]}
    )
    assert list(found.trace[0].stages) == ["model", name]
    assert gl.tuning.OFF[name] == each.neutral
    assert gl.tuning.describe({name: TYPICAL_VALUES[name]}) == f"{each.short} {TYPICAL_VALUES[name]:g}"
    if each.sampling:
        with pytest.raises(ValueError, match=f"{name} was set, but greedy"):
            gl.speculative.speculate(toy(), toy(), IDS, max_new_tokens=2, **{name: TYPICAL_VALUES[name]})


def test_top_k_0_is_off_everywhere():
    found = gl.speculative.speculate(toy(), toy(), IDS, max_new_tokens=3, top_k=0)
    assert torch.equal(found.sequences, gl.generate(toy(), IDS, max_new_tokens=3, top_k=0).sequences)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("topk", "Did you mean top_k"),
        ("max_length", "say max_new_tokens"),
        ("max_time", "must not depend on how fast a machine is"),
        ("seed", "manual_seed"),
        ("num_beams", "beam_search"),
        ("eta_cutoff", "called eta"),
        ("unheard_of", "Settings: repetition_penalty"),
    ],
)
def test_an_unknown_setting_gets_advice(name, words):
    with pytest.raises(TypeError, match=words):
        gl.generate(toy(), IDS, max_new_tokens=1, **{name: 3})


def test_a_new_sampler_is_one_function_with_its_line(monkeypatch):
    from gpt2lessons.decoding.settings import setting

    monkeypatch.setattr("gpt2lessons.decoding.settings.SETTINGS", dict(SETTINGS))
    keep = setting("top_n_sigma", allowed="a number above 0", valid=lambda n: n > 0, neutral=math.inf)

    @keep
    def keep_top_n_sigma(logits, n):
        return logits.masked_fill(logits < logits.amax(-1, keepdim=True) - n * logits.std(-1, keepdim=True), -torch.inf)

    found = gl.generate(toy(), IDS, max_new_tokens=2, do_sample=True, top_n_sigma=0.5, trace=True)
    assert list(found.trace[0].stages) == ["model", "top_n_sigma"]
    with pytest.raises(ValueError, match="top_n_sigma=-1 is not allowed: top_n_sigma is a number above 0"):
        gl.generate(toy(), IDS, max_new_tokens=2, do_sample=True, top_n_sigma=-1)


# ------------------------------------------------------------------------------------- a constant in the logits


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "repetition_penalty"])
@how(max_examples=25 * TIMES, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shift=st.sampled_from([-10_000.0, -100.0, 37.5, 1e6]),
    size=st.sampled_from([1, 2, 9, 57, 400]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_no_setting_but_the_repetition_penalty_depends_on_a_constant(name, seed, shift, size, dtype):
    """The real GPT-2's logits lie near -100; float32 keeps three digits after the point of what lies at -10,000."""
    steps = 16 if shift == 1e6 else 512  # so that adding the constant loses no digit, in float32 neither
    logits = rows(seed, 3, size).mul(steps).round().div(steps).to(dtype)
    assert torch.equal((logits + shift).double() - shift, logits.double())
    ids = torch.randint(size, (3, 5), generator=seeded(seed))
    value = TYPICAL_VALUES[name]
    plain, moved = (SETTINGS[name].apply(x, ids, value) for x in (logits, logits + shift))
    assert torch.equal(moved.isinf(), plain.isinf())
    if SETTINGS[name].sampling and name != "temperature":
        assert torch.equal(moved, (plain + shift))  # what is kept is as it was
    else:  # what is divided or moved is rounded where it lies: a unit in the last place of the largest
        unit = torch.finfo(dtype).eps * (logits.abs().max() + abs(shift)).item() / 0.7
        torch.testing.assert_close(moved.softmax(-1), plain.softmax(-1), rtol=4 * unit, atol=1e-12)


def test_a_nucleus_in_float32_far_below_zero():
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log() - 10000
    two = logits.double().softmax(-1)[0, :2].sum().item()  # of what float32 left of the logits
    assert 0.8999 < two < 0.9001 - 1e-5
    assert int(processors.keep_top_p(logits, 0.9001).isfinite().sum()) == 3
    assert int(processors.keep_top_p(logits, two - 1e-5).isfinite().sum()) == 2


def test_the_repetition_penalty_depends_on_a_constant_by_design():
    logits = torch.tensor([[1.0, 0.5]])
    seen = torch.tensor([[0]])
    near = processors.penalize_repetition(logits, seen, 1.5).softmax(-1)
    far = processors.penalize_repetition(logits - 100, seen, 1.5).softmax(-1)
    assert near[0, 0] > 0.5
    assert far[0, 0] < 1e-20


# --------------------------------------------------------------------------------- new settings against the library


@pytest.mark.parametrize("value", [0.02, 0.1, 0.4])
def test_eta_equals_transformers(value):
    for seed in range(40):
        logits = rows(seed, 3, 1 + seed * 5, spread=1 + seed % 4).float()
        assert torch.equal(processors.keep_eta(logits, value), EtaLogitsWarper(value)(None, logits)), seed


@pytest.mark.parametrize("value", [0.1, 0.4, 0.9])
def test_top_h_equals_transformers(value):
    for seed in range(40):
        logits = rows(seed, 3, 1 + seed * 5, spread=1 + seed % 4)
        assert torch.equal(processors.keep_top_h(logits, value), TopHLogitsWarper(value)(None, logits)), seed


def test_frequency_and_presence_penalties_by_hand():
    logits, ids = torch.zeros(1, 4), torch.tensor([[1, 2, 1, -1]])  # -1 is padding
    assert processors.penalize_frequency(logits, ids, 0.5).tolist() == [[0, -1.0, -0.5, 0]]
    assert processors.penalize_presence(logits, ids, 0.5).tolist() == [[0, -0.5, -0.5, 0]]


def test_banned_words_equal_transformers():
    words = [[3], [5, 6], [7, 8, 9]]
    theirs = NoBadWordsLogitsProcessor(words, eos_token_id=None)
    for seed in range(40):
        ids = torch.randint(5, 10, (3, 1 + seed % 5), generator=seeded(seed))
        logits = rows(seed, 3, 12).float()
        assert torch.equal(processors.ban_words(logits, ids, words), theirs(ids, logits)), seed


def test_a_bias_equals_transformers():
    bias = {2: 1.5, 7: -0.25}
    theirs = SequenceBiasLogitsProcessor({(token,): value for token, value in bias.items()})
    logits = rows(3, 3, 12).float()
    torch.testing.assert_close(processors.add_bias(logits, bias), theirs(IDS.repeat(3, 1), logits))


def test_min_new_tokens_equals_transformers():
    model, end = toy(4), 2
    theirs = MinNewTokensLengthLogitsProcessor(IDS.shape[1], 5, end, device="cpu")
    ids = IDS.clone()
    for _ in range(8):
        token = theirs(ids, model(ids)[:, -1].float()).argmax(-1)
        ids = torch.cat([ids, token[:, None]], 1)
        if token == end:
            break
    found = gl.generate(model, IDS, max_new_tokens=8, min_new_tokens=5, eos_token_id=end)
    assert found.sequences[0, : ids.shape[1]].tolist() == ids[0].tolist()


def test_a_row_is_never_left_empty():
    logits = torch.zeros(1, 3)
    assert torch.equal(processors.ban_words(logits, IDS[:, :1] - 1, [[0], [1], [2]]), logits)
    assert torch.equal(processors.add_bias(logits, {0: -math.inf, 1: -math.inf, 2: -math.inf}), logits)


def test_penalties_can_leave_the_prompt_out():
    table = torch.zeros(6, 6, dtype=torch.float64)
    table[:, 1], table[:, 2] = 0.3, 0.2
    found = gl.generate(lambda ids: table[ids], torch.tensor([[1]]), max_new_tokens=2, presence_penalty=0.25)
    assert found.new_tokens.tolist() == [[2, 1]]  # 1 stands in the prompt; then 1 and 2 have both been seen
    fair = gl.generate(
        lambda ids: table[ids], torch.tensor([[1]]), max_new_tokens=2, presence_penalty=0.25, penalize_prompt=False
    )
    assert fair.new_tokens.tolist() == [[1, 2]]


# ----------------------------------------------------------------------------------------------- own processors


def cool_down(logits, ids):
    return logits / (1 + 1 / ids.shape[1])


def test_own_processors_run_last_are_traced_and_equal_transformers(mini):
    class Theirs(LogitsProcessor):
        def __call__(self, ids, logits):
            return cool_down(logits, ids)

    ids = mini.encode("Once upon a time")
    found = gl.generate(mini, ids, max_new_tokens=12, processors=[cool_down], trace=True)
    expected = mini.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=12,
        do_sample=False,
        logits_processor=LogitsProcessorList([Theirs()]),
    )
    assert torch.equal(found.sequences, expected)
    assert list(found.trace[0].stages) == ["model", "cool_down"]
    both = gl.generate(
        mini, ids, max_new_tokens=1, do_sample=True, top_k=5, processors=[cool_down, cool_down], trace=True
    )
    assert list(both.trace[0].stages) == ["model", "top_k", "cool_down", "cool_down 2"]


def test_an_own_processor_may_not_change_what_it_was_given():
    def spoils(logits, ids):
        logits.zero_()
        return logits

    found = gl.generate(toy(), IDS, max_new_tokens=1, processors=[spoils], trace=True)
    assert found.trace[0].stages["model"].abs().sum() > 0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda logits, ids: None, "returned NoneType.*Does it end with return"),
        (lambda logits, ids: logits[:, :2], r"returned \(1, 2\), but should return logits \(1, 9\)"),
        (lambda logits, ids: logits - torch.inf, "without a distribution"),
        (lambda logits, ids: logits * torch.nan, "without a distribution"),
    ],
)
def test_a_bad_processor_is_named(function, words):
    function.__name__ = "mine"
    with pytest.raises(ValueError, match=f"mine .*{words}"):
        gl.generate(toy(), IDS, max_new_tokens=1, processors=[function])


def test_processors_must_be_functions():
    with pytest.raises(TypeError, match="list of functions"):
        gl.generate(toy(), IDS, max_new_tokens=1, processors=cool_down)


# --------------------------------------------------------------------------------------------------- end tokens


@pytest.mark.parametrize("end", [8449, -1, [3, 10**6]])
def test_an_end_token_that_the_model_does_not_know_is_refused_in_every_loop(mini, end):
    ids = mini.encode("Once")
    with pytest.raises(ValueError, match="would never end a text: this model's ids are 0 to 8448"):
        gl.generate(mini, ids, max_new_tokens=1, eos_token_id=end)
    with pytest.raises(ValueError, match="would never end a text"):
        gl.beam_search(mini, ids, num_beams=2, max_new_tokens=1, eos_token_id=end)
    with pytest.raises(ValueError, match="would never end a text"):
        gl.speculative.speculate(mini, mini, ids, max_new_tokens=1, eos_token_id=end)


def test_an_end_token_past_the_logits_of_a_function_is_refused():
    for loop in (
        lambda: gl.generate(toy(), IDS, max_new_tokens=1, eos_token_id=9),
        lambda: gl.beam_search(toy(), IDS, num_beams=2, max_new_tokens=1, eos_token_id=[2, 9]),
        lambda: gl.speculative.speculate(toy(), toy(), IDS, max_new_tokens=2, eos_token_id=9),
        lambda: gl.speculative.speculate(toy(), PromptLookup(), IDS, max_new_tokens=2, eos_token_id=9),
    ):
        with pytest.raises(ValueError, match="eos_token_id=9 would never end a text: this model's ids are 0 to 8"):
            loop()


def test_an_argument_of_other_libraries_is_answered_by_its_name_here():
    """Also where something is missing, which Python would say first."""
    for loop in (
        lambda: gl.generate(toy(), IDS, max_length=9),
        lambda: gl.beam_search(toy(), IDS, num_beams=2, max_length=9),
        lambda: gl.speculative.speculate(toy(), toy(), IDS, max_length=9),
        lambda: gl.generate_text(gl.load("gpt2-mini"), "Once", max_length=9),
    ):
        with pytest.raises(TypeError, match=r"max_length is not a setting here.*say max_new_tokens"):
            loop()


def test_a_row_ended_by_stop_is_filled_with_the_models_end_token(mini):
    ids = torch.cat([mini.encode("Once upon a time"), mini.encode("The king of the")])
    first = gl.generate(mini, ids, max_new_tokens=6).new_tokens
    stop = [first[0, :2].tolist()]
    found = gl.generate(mini, ids, max_new_tokens=6, stop=stop)
    end = mini.tokenizer.eos_token_id
    assert end != 0
    assert found.new_tokens[0].tolist() == [*stop[0], *[end] * 4]


def test_a_padded_batch_without_a_mask_is_noticed(mini):
    pad = mini.model.config.pad_token_id
    padded = {
        "begin": torch.tensor([[pad, pad, 5, 6], [5, 6, 7, 8]]),
        "end": torch.tensor([[5, 6, pad, pad], [5, 6, 7, 8]]),
    }
    readers = [
        lambda ids: gl.generate(mini, ids, max_new_tokens=1),
        lambda ids: gl.generate(mini.model, ids, max_new_tokens=1),
        lambda ids: gl.beam_search(mini, ids, num_beams=2, max_new_tokens=1),
        lambda ids: gl.perplexity(mini, ids),
        lambda ids: gl.scoring.surprisal(mini, ids),
        lambda ids: gl.scoring.token_log_probs(mini, ids),
    ]
    for read, (place, ids) in itertools.product(readers, padded.items()):
        with pytest.warns(UserWarning, match=f"some rows {place} with padding.*attention_mask") as told:
            read(ids)
        assert [each.filename for each in told] == [__file__]  # the caller's line, so that each is told once


def test_what_is_not_padded_is_read_without_a_word(mini):
    """The padding token is also the one that begins and ends texts."""
    end = mini.model.config.pad_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gl.perplexity(mini, torch.tensor([[end, 5, 6], [end, 7, 8]]))
        gl.perplexity(mini, torch.tensor([[4, 5, end], [6, 7, 8]]))
        gl.perplexity(mini, torch.tensor([[end, end, 5, end, end]]))
        gl.perplexity(mini, torch.tensor([[end, 5], [6, 7]]), attention_mask=torch.tensor([[0, 1], [1, 1]]), add_bos=1)
        gl.generate(mini, torch.tensor([[end], [end]]), max_new_tokens=1)


def test_too_long_a_prompt_says_what_fits(mini):
    limit = mini.model.config.n_positions
    with pytest.raises(ValueError, match=rf"Cut the prompt: its last {limit - 1} tokens"):
        gl.generate(mini, torch.ones(1, limit + 3, dtype=torch.long), max_new_tokens=1)


def test_seeds_may_be_numpy_integers(mini):
    import numpy as np

    texts = [gl.generate_text(mini, "Once", max_new_tokens=4, do_sample=True, seed=seed) for seed in (3, np.int64(3))]
    assert texts[0] == texts[1]
    with pytest.raises(TypeError, match=r"seed=0\.5 is not allowed"):
        gl.generate_text(mini, "Once", seed=0.5)
