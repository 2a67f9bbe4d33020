"""Beam search: hypotheses and scores equal transformers', toys agree with enumeration, the tree redraws the search."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz import TIMES
from transformers import GPT2Config as TransformersConfig
from transformers import GPT2LMHeadModel

from gpt2lessons import toy
from gpt2lessons.decoding.beam import beam_search
from gpt2lessons.gpt2 import GPT2

EOS = 3


def tiny(seed, vocab_size=23):
    """A tiny random GPT-2 of transformers, sharp enough to have clear favourites."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": vocab_size, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = TransformersConfig(**sizes, initializer_range=0.35, bos_token_id=EOS, eos_token_id=EOS)
    model = GPT2LMHeadModel(config).eval()
    model.generation_config.pad_token_id = EOS
    return model


def theirs(model, ids, *, eos_token_id=None, num_return_sequences, **arguments):
    """What transformers returns: a list of (new ids without filling, score)."""
    with torch.no_grad():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            eos_token_id=eos_token_id,
            num_return_sequences=num_return_sequences,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
            **arguments,
        )
    lengths = (out.beam_indices >= 0).sum(1)
    rows = out.sequences[:, ids.shape[1] :]
    return [
        (row[:n].tolist(), score)
        for row, n, score in zip(rows, lengths.tolist(), out.sequences_scores.tolist(), strict=True)
    ]


def assert_equal_to_transformers(model, ids, **arguments):
    expected = theirs(model, ids, **arguments)
    found = beam_search(GPT2.from_transformers(model), ids, **arguments).hypotheses
    assert [h.new_ids.tolist() for h in found] == [row for row, _ in expected]
    assert [h.score for h in found] == pytest.approx([score for _, score in expected], rel=1e-5, abs=1e-5)
    return found


MODES = [True, False, "never"]


@pytest.mark.parametrize("early_stopping", MODES)
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
def test_equal_to_transformers_with_an_end_token(early_stopping, length_penalty):
    ended = 0
    for seed in range(12):
        model, ids = tiny(seed), torch.tensor([[5, 1 + seed % 3, 7, seed]])
        third = beam_search(model, ids, num_beams=1, max_new_tokens=3).sequences[0, -1].item()
        found = assert_equal_to_transformers(
            model,
            ids,
            num_beams=2 + seed % 4,
            num_return_sequences=2 + seed % 4,
            max_new_tokens=9,
            eos_token_id=third,  # an end that the model likes
            early_stopping=early_stopping,
            length_penalty=length_penalty,
        )
        ended += sum(len(h.new_ids) < 9 for h in found)
    if (early_stopping, length_penalty) != ("never", 2.0):  # that patience, and the longest texts always win
        assert ended > 5  # or the modes would not have been tried


@pytest.mark.parametrize("ngram_size", [1, 2, 3])
def test_equal_to_transformers_with_a_ban(ngram_size):
    for seed in range(8):
        ids = torch.tensor([[5, 6, 5, 6, seed]])
        assert_equal_to_transformers(
            tiny(seed),
            ids,
            num_beams=4,
            num_return_sequences=3,
            max_new_tokens=10,
            no_repeat_ngram_size=ngram_size,
        )


def test_equal_to_transformers_with_a_repetition_penalty_and_two_end_tokens():
    for seed in range(6):
        found = assert_equal_to_transformers(
            tiny(seed),
            torch.tensor([[5, 6, seed]]),
            num_beams=3,
            num_return_sequences=3,
            max_new_tokens=8,
            repetition_penalty=1.3,
            eos_token_id=[EOS, 7],
            early_stopping=True,
        )
        assert all(h.score <= h.log_prob / len(h.new_ids) + 1e-5 for h in found)  # penalised sums are lower


def test_one_beam_is_greedy():
    for seed in range(5):
        model, ids = tiny(seed), torch.tensor([[2, 4, 6]])
        greedy = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, eos_token_id=None)
        assert torch.equal(beam_search(model, ids, num_beams=1, max_new_tokens=8).sequences, greedy)


def test_the_mini_agrees_with_transformers(mini):
    ids = mini.encode("I am a large language model")
    arguments = {"num_beams": 5, "num_return_sequences": 5, "no_repeat_ngram_size": 2, "max_new_tokens": 20}
    expected = theirs(mini.model, ids, eos_token_id=mini.tokenizer.eos_token_id, early_stopping=True, **arguments)
    found = beam_search(mini, ids, eos_token_id=mini.tokenizer.eos_token_id, early_stopping=True, **arguments)
    assert [h.new_ids.tolist() for h in found.hypotheses] == [row for row, _ in expected]
    assert [h.score for h in found.hypotheses] == pytest.approx([s for _, s in expected], abs=1e-4)


def test_any_kind_of_model_gives_the_same():
    model, ids = tiny(3), torch.tensor([[2, 9, 6]])
    ours = GPT2.from_transformers(model)
    models = [model, ours, lambda x: ours(x), lambda x: model(x).logits]
    arguments = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 6, "eos_token_id": EOS}
    found = [beam_search(m, ids, **arguments) for m in models] + [beam_search(ours, ids, use_cache=False, **arguments)]
    for other in found[1:]:
        assert [h.new_ids.tolist() for h in other.hypotheses] == [h.new_ids.tolist() for h in found[0].hypotheses]
        assert [h.score for h in other.hypotheses] == pytest.approx([h.score for h in found[0].hypotheses], abs=1e-5)


def test_a_batch_with_left_padding_equals_each_prompt_by_itself():
    model = GPT2.from_transformers(tiny(4))
    prompts = [torch.tensor([[5, 6, 7, 8]]), torch.tensor([[9, 2]])]
    batch = torch.tensor([[5, 6, 7, 8], [0, 0, 9, 2]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    arguments = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 5, "no_repeat_ngram_size": 1}
    both = beam_search(model, batch, attention_mask=mask, **arguments)
    solo = [beam_search(model, p, **arguments) for p in prompts]
    assert [h.ids.tolist() for h in both.hypotheses] == [h.ids.tolist() for s in solo for h in s.hypotheses]
    assert [h.row for h in both.hypotheses] == [0, 0, 1, 1]
    assert [t.prompt_ids for t in both.trees] == [(5, 6, 7, 8), (9, 2)]
    assert both.sequences.shape == (4, 9)
    assert both.sequences[2:, 7:].eq(-1).all()


def test_log_prob_is_the_models_own():
    model, ids = tiny(2), torch.tensor([[5, 6, 5, 6]])
    arguments = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 7, "no_repeat_ngram_size": 2}
    for h in beam_search(model, ids, repetition_penalty=1.2, **arguments).hypotheses:
        with torch.no_grad():
            log_probs = model(h.ids[None, :-1]).logits[0, 3:].log_softmax(-1)
        assert h.log_prob == pytest.approx(log_probs.gather(1, h.new_ids[:, None]).sum().item(), abs=1e-4)
        assert torch.equal(h.ids, torch.cat([ids[0], h.new_ids]))


# toys: against enumeration


@pytest.mark.parametrize("eos", [False, True])
def test_a_beam_as_wide_as_the_tree_finds_the_best(eos):
    for seed in range(6):
        model = toy.random_toy(seed, vocab_size=4, context=2, eos=eos)
        ids = model.encode("w0 w1")
        arguments = {"length_penalty": 0.0, "early_stopping": "never", "eos_token_id": model.eos_token_id}
        for length in (1, 2, 3, 4):
            found = beam_search(model, ids, num_beams=4 ** (length - 1), max_new_tokens=length, **arguments)
            best = model.best_sequence("w0 w1", length)
            assert found.hypotheses[0].log_prob == pytest.approx(best.log_prob, abs=1e-5)


def test_the_named_toys():
    model, ids = toy.GREEDY_LOSES, toy.GREEDY_LOSES.encode("the")
    assert model.decode(beam_search(model, ids, num_beams=2, max_new_tokens=2).hypotheses[0].new_ids) == "storm broke"
    model, ids = toy.BEAM_LOSES, toy.BEAM_LOSES.encode("the")
    log_probs = [beam_search(model, ids, num_beams=n, max_new_tokens=3).hypotheses[0].log_prob for n in (1, 2, 3)]
    assert log_probs[0] == pytest.approx(model.greedy("the", 3).log_prob)
    assert log_probs[2] == pytest.approx(log_probs[0])
    assert log_probs[1] < log_probs[0] - 0.01


def test_early_stopping_true_false_and_never_differ():
    model, ids = toy.EARLY_STOP, toy.EARLY_STOP.encode("so")
    arguments = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 5, "eos_token_id": model.eos_token_id}
    found = {mode: beam_search(model, ids, early_stopping=mode, **arguments) for mode in MODES}
    texts = {mode: [model.decode(h.new_ids) for h in found[mode].hypotheses] for mode in MODES}
    assert texts[True] == ["go .", "."]
    assert texts[False] == ["go on .", "go ."]
    assert texts["never"] == ["go on .", "now go on ."]
    best = [found[mode].hypotheses[0].score for mode in MODES]
    assert best[0] == pytest.approx(math.log(0.18) / 2)
    assert best[1] == best[2] == pytest.approx(math.log(0.399) / 3)
    assert [found[m].tree.rows for m in MODES] == [3, 5, 7]  # what patience costs
    assert found[True].tree.stopped == "early_stopping=True, and 2 are finished"


@settings(max_examples=40 * TIMES, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4), st.sampled_from(MODES), st.sampled_from([0, 1, 2]))
def test_what_holds_for_every_search(seed, num_beams, length, early_stopping, penalty):
    model = toy.random_toy(seed, vocab_size=5, eos=True)
    result = beam_search(
        model,
        model.encode("w0"),
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=length,
        length_penalty=penalty,
        early_stopping=early_stopping,
        eos_token_id=model.eos_token_id,
    )
    every = {c.ids: c for c in model.continuations("w0", length)}
    scores = [h.score for h in result.hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] <= model.best_sequence("w0", length, length_penalty=penalty).score(penalty) + 1e-5
    assert len({tuple(h.new_ids.tolist()) for h in result.hypotheses}) == len(scores)  # all different
    for h in result.hypotheses:  # possible, ended where they should, with the exact probability
        exact = every[tuple(h.new_ids.tolist())]
        assert h.log_prob == pytest.approx(exact.log_prob, abs=1e-4)
        assert h.score == pytest.approx(exact.score(penalty), abs=1e-4)
    for step in range(1, result.tree.num_steps + 1):
        assert len(result.tree.at(step, "kept")) <= num_beams


def test_the_tree_redraws_the_search():
    model, ids = toy.BEAM_LOSES, toy.BEAM_LOSES.encode("the")
    tree = beam_search(model, ids, num_beams=2, max_new_tokens=3).tree
    seen = {tuple(model.words[i] for i in n.new_ids()): n for n in tree.nodes}
    # every continuation of what is kept is there, with its exact probability, and nothing else
    assert set(seen) == {
        c.words
        for length in (1, 2, 3)
        for c in model.continuations("the", length)
        if all(seen[c.words[:n]].state == "kept" for n in range(1, length))
    }
    for words, node in seen.items():
        assert node.total == pytest.approx(model.continuation("the", " ".join(words)).log_prob, abs=1e-5)
    assert [n.state for n in tree.at(1)] == ["kept", "kept"]
    assert [n.state for n in tree.at(2)] == ["kept", "kept", "pruned", "pruned", "pruned"]
    assert seen["fox", "ran"].reason == "number 3: 2 better ones go on"
    assert [n.state for n in tree.at(3)].count("finished") == 2
    assert "number 3 at the length limit" in tree.at(3)[2].reason
    assert tree.children(None) == tree.at(1)
    assert tree.children(seen["owl", "flew"]) == [n for n in tree.at(3) if n.parent is seen["owl", "flew"]]
    assert [n.number for n in tree.nodes] == list(range(len(tree.nodes)))
    assert tree.stopped == "the length limit is reached"


def test_the_tree_of_a_large_vocabulary_keeps_what_was_considered():
    tree = beam_search(tiny(1, 300), torch.tensor([[1, 2]]), num_beams=3, max_new_tokens=4).tree
    assert [len(tree.at(step)) for step in (1, 2, 3, 4)] == [6] * 4
    assert tree.rows == 1 + 3 * 3  # cost: one row for the prompt, then one per beam and step


def test_the_tree_names_what_the_ban_removed():
    model = toy.LOOPS
    tree = beam_search(
        model, model.encode("I am sure that I am"), num_beams=1, max_new_tokens=3, no_repeat_ngram_size=2
    ).tree
    banned = tree.at(1, "banned")
    assert [model.words[n.token] for n in banned] == ["sure"]
    assert banned[0].log_prob == pytest.approx(math.log(0.5), abs=1e-5)
    assert "repeat an n-gram" in banned[0].reason
    assert [model.words[n.token] for n in tree.at(1, "kept")] == ["not"]


def test_an_end_that_is_not_among_the_best_does_not_count():
    probs = {"a": 0.4, "b": 0.35, ".": 0.25}
    model = toy.ToyModel(["a", "b", "c", "."], {"": probs}, eos=".", name="late end")
    arguments = {"max_new_tokens": 2, "eos_token_id": model.eos_token_id}
    tree = beam_search(model, model.encode("a"), num_beams=2, **arguments).tree
    assert tree.at(1)[2].reason == "it ends here, but only as number 3: just the 2 best may finish"
    assert beam_search(model, model.encode("a"), num_beams=3, **arguments).tree.at(1)[2].state == "finished"


def test_diverse_groups_differ_and_one_group_is_plain():
    model, ids = toy.PEAKED_AND_FLAT, toy.PEAKED_AND_FLAT.encode("once upon a")
    arguments = {"num_beams": 3, "max_new_tokens": 1, "num_return_sequences": 3}
    plain = beam_search(model, ids, **arguments)
    no_penalty = beam_search(model, ids, num_beam_groups=3, **arguments)
    diverse = beam_search(model, ids, num_beam_groups=3, diversity_penalty=1.0, **arguments)
    words = [[model.decode(h.new_ids) for h in r.hypotheses] for r in (plain, no_penalty, diverse)]
    assert words == [["cat", "dog", "fox"], ["cat"] * 3, ["cat", "dog", "fox"]]
    # the penalty decides what is kept and is not part of the score
    assert [h.score for h in diverse.hypotheses] == pytest.approx([math.log(p) for p in (0.19, 0.18, 0.17)], abs=1e-5)


def test_diverse_groups_by_brute_force():
    """Each group, in turn, is greedy on log p - penalty x (earlier groups that took the token at this step)."""
    for seed, penalty in itertools.product(range(4), [0.0, 0.3, 2.0]):
        model = toy.random_toy(seed, vocab_size=6)
        result = beam_search(
            model,
            model.encode("w0"),
            num_beams=3,
            num_return_sequences=3,
            num_beam_groups=3,
            diversity_penalty=penalty,
            max_new_tokens=4,
        )
        texts = [[], [], []]
        for _ in range(4):
            taken = []
            for text in texts:
                probs = model.next_probs([0, *text])
                rank = [math.log(probs[w]) - penalty * taken.count(i) for i, w in enumerate(model.words)]
                taken.append(rank.index(max(rank)))
                text.append(taken[-1])
        assert sorted(tuple(h.new_ids.tolist()) for h in result.hypotheses) == sorted(map(tuple, texts))


IDS = torch.tensor([[1, 2]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_beams": 0}, "num_beams=0 is not allowed: it is a whole number of at least 1"),
        ({"num_beams": 2.0}, "num_beams=2.0 is not allowed"),
        ({"num_return_sequences": 4}, "num_return_sequences=4, but 3 beams find at most 3 texts"),
        ({"num_return_sequences": 0}, "num_return_sequences=0 is not allowed"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 is not allowed"),
        ({"max_new_tokens": 31}, "make 33, but this model reads at most 32"),
        ({"early_stopping": "always"}, "early_stopping='always' is not allowed: it is True, False or \"never\""),
        ({"early_stopping": 1}, "early_stopping=1 is not allowed"),
        ({"length_penalty": math.nan}, "length_penalty=nan is not allowed: it is a finite number"),
        ({"length_penalty": "1"}, "length_penalty='1' is not allowed: it is a finite number"),
        ({"diversity_penalty": -1.0}, "reward sameness"),
        ({"num_beam_groups": 2}, "3 beams cannot be shared out evenly among num_beam_groups=2"),
        ({"eos_token_id": -1}, "eos_token_id=-1 would never end a text: this model's ids are 0 to"),
        ({"no_repeat_ngram_size": -1}, "ngram_size"),
        ({"input_ids": torch.tensor([1, 2])}, r"should be \(B, T\)"),
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, r"should be \(B, T\)"),
        ({"attention_mask": torch.ones(1, 3)}, "attention_mask is"),
        ({"attention_mask": torch.zeros(1, 2)}, "padding on the right"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"model": tiny(0), "input_ids": IDS, "num_beams": 3, "max_new_tokens": 4} | changes
    with pytest.raises(ValueError, match=message):
        beam_search(**arguments)


def test_ids_of_another_type():
    with pytest.raises(TypeError, match=r"is str, but should be a LongTensor"):
        beam_search(tiny(0), "a text", num_beams=2, max_new_tokens=3)
    with pytest.raises(TypeError, match=r"is dtype torch\.float32"):
        beam_search(tiny(0), torch.ones(1, 2), num_beams=2, max_new_tokens=3)
