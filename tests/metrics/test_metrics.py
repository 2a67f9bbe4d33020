"""Metrics: equal to the libraries they come from, exact on texts small enough for paper, and clear about bad input."""

import copy
import dataclasses
import importlib.metadata
import math
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import evaluate
import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from support.fuzz import TIMES

import gpt2lessons as gl
from gpt2lessons import metrics, scoring, tuning
from gpt2lessons.metrics import base
from gpt2lessons.metrics.loops.loops import loop_at_end
from gpt2lessons.metrics.mauve import mauve as mauve_script

PREDICTIONS = ["The cat sat on the mat.", "A dog ran quickly through the park today", "It rained; nobody walked home"]
REFERENCES = ["The cat is sitting on the mat.", "The dogs were running in the park", "It was raining, so nobody walks"]
SENTENCE = (
    "The largest and most capable LLMs are generative pre-trained transformers (GPTs), based on a transformer "
    "architecture, which are largely used in generative chatbots such as ChatGPT, Gemini and Claude."
)
LIST_OF = {"rouge", "bleu"}
LONELY = sorted(set(metrics.NAMES) - LIST_OF - {"mauve"})


@pytest.fixture(scope="module")
def loaded():
    return {name: metrics.load(name) for name in metrics.NAMES}


def rouge_directly(types, stemmer):
    scorer = rouge_scorer.RougeScorer(types, use_stemmer=stemmer)
    scores = [scorer.score(r, p) for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    return {t: [s[t].fmeasure for s in scores] for t in types}


@pytest.mark.parametrize("stemmer", [False, True])
def test_rouge_is_rouge_score(loaded, stemmer):
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    expected = rouge_directly(types, stemmer)
    arguments = {"predictions": PREDICTIONS, "references": REFERENCES, "rouge_types": types, "use_stemmer": stemmer}
    assert loaded["rouge"].compute(**arguments, use_aggregator=False) == expected
    means = {t: float(np.mean(e)) for t, e in expected.items()}
    assert loaded["rouge"].compute(**arguments) == means
    assert means["rouge1"] != means["rouge2"]


def test_rouge_stemmer_and_measures_make_a_difference(loaded):
    one = {"predictions": ["the dogs walked"], "references": ["a dog walks home slowly"]}
    assert loaded["rouge"].compute(**one)["rouge1"] == 0
    assert loaded["rouge"].compute(**one, use_stemmer=True, measure="precision")["rouge1"] == pytest.approx(2 / 3)
    assert loaded["rouge"].compute(**one, use_stemmer=True, measure="recall")["rouge1"] == pytest.approx(2 / 5)


def test_of_several_references_rouge_takes_the_best(loaded):
    several = loaded["rouge"].compute(predictions=["a b c"], references=[["x y z", "a b d", "a"]])
    assert several["rouge1"] == pytest.approx(2 / 3)


def test_bleu_is_sacrebleu(loaded):
    expected = sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES])
    result = loaded["bleu"].compute(predictions=PREDICTIONS, references=[[r] for r in REFERENCES])
    assert result["score"] == expected.score
    assert result["precisions"] == expected.precisions
    assert (result["bp"], result["sys_len"], result["ref_len"]) == (expected.bp, expected.sys_len, expected.ref_len)
    assert loaded["bleu"].compute(predictions=PREDICTIONS, references=REFERENCES) == result


def test_bleu_with_two_references_and_options_is_sacrebleu(loaded):
    pairs = [[r, p.upper()] for r, p in zip(REFERENCES, PREDICTIONS, strict=True)]
    for options in ({}, {"lowercase": True}, {"tokenize": "char", "smooth_method": "floor"}):
        expected = sacrebleu.BLEU(**options).corpus_score(PREDICTIONS, list(map(list, zip(*pairs, strict=True))))
        assert loaded["bleu"].compute(predictions=PREDICTIONS, references=pairs, **options)["score"] == expected.score


words_of = st.lists(st.sampled_from(["the", "cat", "sat", "mat", "dog", "."]), min_size=1, max_size=9).map(" ".join)


@settings(deadline=None, max_examples=40 * TIMES)
@given(st.lists(st.tuples(words_of, words_of), min_size=1, max_size=4))
def test_any_texts_score_as_in_the_libraries(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    bleu = metrics.load("bleu").compute(predictions=predictions, references=references)["score"]
    assert bleu == sacrebleu.corpus_bleu(predictions, [references]).score
    rouge = metrics.load("rouge").compute(predictions=predictions, references=references, rouge_types=["rougeL"])
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    expected = [scorer.score(r, p)["rougeL"].fmeasure for p, r in pairs]
    assert rouge["rougeL"] == float(np.mean(expected))


@pytest.mark.parametrize(("dots", "bleu_tokens", "bleu"), [(8, 113, 30.029609681838398), (19, 124, 27.332837570148882)])
def test_any_continuation_of_the_reference_itself_scores_what_the_counts_say(loaded, dots, bleu_tokens, bleu):
    prediction = SENTENCE + "".join(f" qz{i}x" for i in range(70)) + " ." * dots
    n, m = 30, 100
    rouge = loaded["rouge"].compute(predictions=[prediction], references=[SENTENCE], use_stemmer=True)
    assert rouge["rouge1"] == rouge["rougeL"] == pytest.approx(2 * n / (n + m), abs=1e-12)
    assert rouge["rouge2"] == pytest.approx(2 * (n - 1) / (n + m - 2), abs=1e-12)
    result = loaded["bleu"].compute(predictions=[prediction], references=[[SENTENCE]])
    precisions = [Fraction(35 - k, bleu_tokens - k) for k in range(4)]
    assert (result["sys_len"], result["ref_len"]) == (bleu_tokens, 35)
    assert result["score"] == pytest.approx(100 * float(math.prod(precisions)) ** 0.25, rel=1e-12)
    assert result["score"] == pytest.approx(bleu, rel=1e-12)


def test_perplexity_is_that_of_scoring(loaded, mini):
    result = loaded["perplexity"].compute(predictions=PREDICTIONS, model=mini)
    each = [scoring.perplexity(mini, mini.encode(p)) for p in PREDICTIONS]
    assert result["perplexities"] == pytest.approx(each)
    assert result["mean_perplexity"] == pytest.approx(np.mean(each))
    counts = [mini.encode(p).shape[1] - 1 for p in PREDICTIONS]
    pooled = math.exp(np.dot(np.log(each), counts) / sum(counts))
    assert result["perplexity"] == pytest.approx(pooled)
    assert result["perplexity"] != pytest.approx(result["mean_perplexity"], rel=0.01)


@pytest.mark.parametrize("add_bos", [False, True])
def test_perplexity_reads_the_prompt_without_scoring_it(loaded, mini, add_bos):
    prompt, text = "Once upon a time", " there was a king"
    ids, head = mini.encode(prompt + text), mini.encode(prompt).shape[1]
    result = loaded["perplexity"].compute(predictions=[text], prompts=[prompt], model=mini, add_bos=add_bos)
    assert result["perplexity"] == pytest.approx(scoring.perplexity(mini, ids, prompt_length=head, add_bos=add_bos))
    assert result["perplexity"] < scoring.perplexity(mini, mini.encode(text)), "the prompt must help"


def test_distinct_n_by_hand(loaded):
    texts = ["a b a b", "c c c", "d"]
    whole = loaded["distinct_n"].compute(predictions=texts, n=(1, 2))  # over the set, as in the paper
    assert whole == {"distinct_1": pytest.approx(4 / 8), "distinct_2": pytest.approx(3 / 5)}
    each = loaded["distinct_n"].compute(predictions=texts, n=(1, 2), scope="text")
    assert each["distinct_1"] == pytest.approx((2 / 4 + 1 / 3 + 1) / 3)
    assert each["distinct_2"] == pytest.approx((2 / 3 + 1 / 2) / 2)  # "d" has no pair
    characters = loaded["distinct_n"].compute(predictions=["abab"], n=1, tokenize=list)
    assert characters == {"distinct_1": 0.5}


def test_distinct_n_over_a_set_notices_copies_and_text_by_text_it_does_not(loaded):
    copies, options = ["a b c d e"] * 8, {"n": 2}
    assert loaded["distinct_n"].compute(predictions=copies, **options)["distinct_2"] == pytest.approx(1 / 8)
    assert loaded["distinct_n"].compute(predictions=copies, scope="text", **options)["distinct_2"] == 1


def test_distinct_n_takes_token_ids(loaded, mini):
    text = "the cat and the dog and the cat"
    ids = mini.encode(text)[0].tolist()
    result = loaded["distinct_n"].compute(predictions=[text], n=1, tokenize=lambda t: mini.encode(t)[0])
    assert result["distinct_1"] == pytest.approx(len(set(ids)) / len(ids))


def test_self_bleu_by_the_library_and_at_its_ends(loaded):
    same = loaded["self_bleu"].compute(predictions=["a b c d e"] * 3)
    assert same["self_bleu"] == pytest.approx(100)
    assert loaded["self_bleu"].compute(predictions=["a b c d", "e f g h"])["self_bleu"] == 0
    bleu = sacrebleu.BLEU(effective_order=True)
    expected = [bleu.sentence_score(p, [q for q in PREDICTIONS if q != p]).score for p in PREDICTIONS]
    assert loaded["self_bleu"].compute(predictions=PREDICTIONS)["each"] == expected


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a b a b a b", 2),
        ("x a b a b a b", 2),
        ("a b a b a b a", 2),  # the last round is cut off
        ("a b a b", 0),  # twice is not three times
        ("a b a b a b x y", 0),  # the loop ended
        ("the the the the the the", 2),
        ("a a b a a b a a b", 3),
        ("a b c d e f", 0),
        ("a b c a b c b c b c", 2),
    ],
)
def test_loop_at_end_by_hand(text, phrase):
    assert loop_at_end(text.split(), 2, 3) == phrase


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=14))
def test_loop_at_end_is_the_definition(tokens):
    def found(phrase):  # the definition, tried out: some suffix is at least three rounds of a phrase of this length
        return any(
            all(tokens[i] == tokens[i - phrase] for i in range(start + phrase, len(tokens)))
            for start in range(len(tokens) - 3 * phrase + 1)
        )

    expected = next((p for p in range(2, len(tokens) // 3 + 1) if found(p)), 0)
    assert loop_at_end(tokens, 2, 3) == expected


def test_loops_is_the_share_of_looping_texts(loaded):
    result = loaded["loops"].compute(predictions=["A b a b, a b", "a b c d e f", "no no no no no no"])
    assert result == {"loops": pytest.approx(2 / 3), "phrases": [2, 0, 2]}


@pytest.mark.parametrize(
    ("texts", "window", "expected"),
    [
        (["a b c"], 32, 0),
        (["a a b a"], 32, 2 / 4),
        (["a b a"], 1, 0),
        (["a b a"], 2, 1 / 3),
        (["a a", "b c d e f g"], 32, 1 / 8),  # tokens are pooled, not texts averaged
        (["a", "a"], 32, 0),  # one text does not repeat another
    ],
)
def test_repetition_by_hand(loaded, texts, window, expected):
    assert loaded["repetition"].compute(predictions=texts, window=window)["repetition"] == pytest.approx(expected)


def test_names_mean_the_same_here_and_in_the_tuning(loaded, mini):
    """Of one text, on the model's tokens, with the tuning's window."""
    text = "the cat and the dog and the cat saw the dog and the cat"
    ids = mini.encode(text)[0].tolist()
    for metric, name in (("repetition", "repetition"), ("distinct_n", "distinct_2")):
        ours = loaded[metric].compute(predictions=[text], tokenize=lambda t: mini.encode(t)[0])
        assert ours[name] == pytest.approx(tuning.OBJECTIVES[name](ids, None))


def test_zipf_finds_the_exponent_it_is_given(loaded):
    for exponent in (0.5, 1.0):
        text = " ".join(f"w{r} " * round(20000 / r**exponent) for r in range(1, 40))
        assert loaded["zipf"].compute(predictions=[text])["zipf"] == pytest.approx(exponent, abs=2e-3)
    assert loaded["zipf"].compute(predictions=["a b c d"])["zipf"] == pytest.approx(0, abs=1e-12)


def test_mauve_of_equal_and_of_disjoint_histograms():
    p = np.array([0.5, 0.5, 0, 0])
    assert mauve_script.area(p, p) == pytest.approx(1, abs=1e-6)
    # with nothing in common KL(p | wp) = -ln w, so the curve is (w^c, (1-w)^c): its area is c B(c, c+1)
    disjoint = 5 * math.gamma(5) * math.gamma(6) / math.gamma(11)
    assert mauve_script.area(p, p[::-1], steps=2000) == pytest.approx(disjoint, abs=1e-5)


def test_mauve_tells_good_from_broken_text_and_says_when_it_is_small(loaded, mini):
    human = list(metrics.reference_texts())
    broken = ["the " * (5 + i) for i in range(12)]
    same = loaded["mauve"].compute(predictions=human[:12], references=human[12:], model=mini)
    other = loaded["mauve"].compute(predictions=broken, references=human[12:], model=mini)
    assert other["mauve"] < 0.1 < 0.5 < same["mauve"] <= 1
    assert "12 texts on each side" in same["note"]
    again = loaded["mauve"].compute(predictions=human[:12], references=human[12:], model=mini)
    assert again == same


def changed_copy(lm):
    """The same language model with other weights (its blocks scaled), and nothing shared."""
    model = copy.deepcopy(lm.model)
    with torch.no_grad():
        for weight in model.transformer.h.parameters():
            weight.mul_(1.5)
    return dataclasses.replace(lm, model=model)


def test_mauves_features_belong_to_the_weights(loaded, mini):
    texts = {"predictions": list(metrics.reference_texts()[:8]), "references": list(metrics.reference_texts()[8:16])}
    lm = dataclasses.replace(mini, model=copy.deepcopy(mini.model))
    before = loaded["mauve"].compute(**texts, model=lm)
    other = changed_copy(lm)
    vectors = [mauve_script._features(m, texts["predictions"][0], "") for m in (lm, other)]
    assert not np.allclose(*vectors), "the change must matter, or this test shows nothing"
    wanted = [loaded["mauve"].compute(**texts, model=m, clusters=3) for m in (lm, other)]
    lm.model.load_state_dict(other.model.state_dict())
    assert loaded["mauve"].compute(**texts, model=lm, clusters=3) == wanted[1]
    lm.model.load_state_dict(mini.model.state_dict())
    assert loaded["mauve"].compute(**texts, model=lm, clusters=3) == wanted[0]
    assert loaded["mauve"].compute(**texts, model=lm) == before


def test_mauve_reads_without_dropout_and_leaves_the_mode_alone(mini):
    lm = dataclasses.replace(mini, model=copy.deepcopy(mini.model))
    lm.model.transformer.drop.p = 0.5
    lm.model.train()
    found = mauve_script._features(lm, "Once upon a time", "")
    assert lm.model.training
    np.testing.assert_array_equal(found, mauve_script._features(mini, "Once upon a time", ""))


def test_mauve_reads_each_different_text_once(loaded, mini, monkeypatch):
    read, features = [], mauve_script._features
    # evaluate runs a copy of the script, so the copy's function is the one to watch
    script = sys.modules[type(loaded["mauve"]).__module__]
    monkeypatch.setattr(script, "_features", lambda model, text, what: read.append(what) or features(model, text, what))
    loaded["mauve"].compute(predictions=["a b", "c d"] * 2, references=["a b", "e f", "c d", "e f"], model=mini)
    assert read == ["predictions[0]", "predictions[1]", "references[1]"]


def test_mauve_with_vectors_reads_each_text_once_in_all_calls(loaded, mini, monkeypatch):
    texts = {"predictions": ["a b", "c d", "e f", "g h"], "references": ["i j", "k l", "m n", "o p"]}
    alone, vectors = loaded["mauve"].compute(**texts, model=mini), {}
    assert loaded["mauve"].compute(**texts, model=mini, vectors=vectors) == alone
    assert sorted(vectors) == sorted([*texts["predictions"], *texts["references"]])
    script = sys.modules[type(loaded["mauve"]).__module__]
    monkeypatch.setattr(script, "_features", None)  # calling it would fail
    assert loaded["mauve"].compute(**texts, model=mini, vectors=vectors) == alone


def test_k_means_finds_separate_groups():
    points = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [-9, 5], [-9, 6]], dtype=float)
    labels = mauve_script.k_means(points, 3)
    assert labels[0] == labels[1] != labels[2] == labels[3] != labels[4] == labels[5] != labels[0]


def test_interval_is_seeded_and_is_that_of_the_resampled_statistic(loaded):
    arguments = {"predictions": PREDICTIONS * 4, "references": REFERENCES * 4, "interval": True, "resamples": 50}
    for name, key in (("rouge", "rouge1"), ("bleu", "score")):
        first, again, other = (loaded[name].compute(**arguments, seed=s)["interval"][key] for s in (1, 1, 2))
        assert first == again != other
        assert first[0] < loaded[name].compute(**arguments)[key] < first[1]
    values = rouge_directly(["rouge1"], False)["rouge1"] * 4
    expected = metrics.bootstrap_interval(values, seed=1, resamples=50)
    assert loaded["rouge"].compute(**arguments, seed=1)["interval"]["rouge1"] == pytest.approx(expected)


def test_bleu_interval_resamples_counts_not_scores(loaded):
    arguments = {"predictions": PREDICTIONS, "references": REFERENCES, "interval": True, "resamples": 20, "seed": 3}
    draws = np.random.default_rng(3).integers(3, size=(20, 3))
    scores = [
        sacrebleu.corpus_bleu([PREDICTIONS[i] for i in rows], [[REFERENCES[i] for i in rows]]).score for rows in draws
    ]
    assert loaded["bleu"].compute(**arguments)["interval"]["score"] == pytest.approx(np.percentile(scores, [2.5, 97.5]))


def test_bootstrap_interval_of_a_mean_has_the_width_that_theory_gives():
    values = np.random.default_rng(0).normal(5, 2, size=400)
    low, high = metrics.bootstrap_interval(values, resamples=4000)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.05)
    narrow = metrics.bootstrap_interval(values, resamples=4000, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


@pytest.mark.parametrize(
    ("n", "confidence", "t"),
    [(2, 0.95, 12.706), (4, 0.95, 3.182), (8, 0.95, 2.365), (8, 0.99, 3.499), (31, 0.9, 1.697), (121, 0.95, 1.980)],
)
def test_student_interval_with_the_quantiles_of_the_printed_tables(n, confidence, t):
    values = np.random.default_rng(n).normal(3, 2, n)
    half = t * np.std(values, ddof=1) / np.sqrt(n)
    low, high = metrics.student_interval(values, confidence=confidence)
    assert (high - low) / 2 == pytest.approx(half, rel=3e-4)
    assert (high + low) / 2 == pytest.approx(values.mean())


def test_student_interval_holds_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(2000, 4))
    held = np.mean([low < 0 < high for low, high in map(metrics.student_interval, draws)])
    assert 0.935 < held < 0.965
    assert metrics.student_interval([1.5, 1.5, 1.5]) == (1.5, 1.5)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [([1.0], 0.95, "at least 2 values"), ([[1, 2]], 0.95, "in one row"), ([1, 2], 1.0, "between 0 and 1, not 1.0")],
)
def test_student_interval_refuses_what_has_no_spread(values, confidence, message):
    with pytest.raises(ValueError, match=message):
        metrics.student_interval(values, confidence=confidence)


@pytest.mark.parametrize(
    # published examples: Newcombe 1998, Statistics in Medicine 17, table I
    ("successes", "trials", "interval"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_interval(successes, trials, interval):
    assert metrics.wilson_interval(successes, trials) == pytest.approx(interval, abs=5e-5)
    mirrored = metrics.wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1 - interval[1], 1 - interval[0]), abs=5e-5)


def test_cohen_kappa_by_hand():
    # 50 questions: both yes 20, both no 15, first alone yes 5, second alone yes 10; kappa is (0.7 - 0.5) / 0.5
    first, second = ["y"] * 25 + ["n"] * 25, ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert metrics.cohen_kappa(first, second) == pytest.approx(0.4)
    assert metrics.cohen_kappa(first, first) == 1
    with pytest.raises(ValueError, match="kappa is undefined"):
        metrics.cohen_kappa(["y", "y"], ["y", "y"])
    with pytest.raises(ValueError, match="not 2 and 1"):
        metrics.cohen_kappa(["y", "n"], ["y"])


def test_fleiss_kappa_of_the_published_example():
    # ten subjects, fourteen raters, five categories: the worked example of Fleiss 1971's method; kappa 0.210
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    answers = [[category for category, count in enumerate(row) for _ in range(count)] for row in table]
    assert metrics.fleiss_kappa(answers) == pytest.approx(0.20993, abs=1e-5)
    with pytest.raises(ValueError, match="same number of judges"):
        metrics.fleiss_kappa([["a", "b"], ["a"]])


def test_reference_texts_are_long_enough_and_licensed():
    for kind in ("stories", "explanations"):
        texts = metrics.reference_texts(kind)
        assert len(set(texts)) == len(texts) >= 8
        assert all(80 <= len(text.split()) <= 125 for text in texts)
        source = Path(metrics.__file__).parent.parent / "assets" / "texts" / f"{kind}.json"
        assert "CC BY 4.0" in source.read_text("utf8")
    with pytest.raises(ValueError, match="kind 'poems'; there are: explanations, stories"):
        metrics.reference_texts("poems")


@pytest.mark.parametrize("name", sorted(LIST_OF))
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "predictions is empty: there is nothing to measure"),
        ("a b", ["a b"], "predictions is a list of texts, not str"),
        (["a b"], "a b", "references is a list with one entry for each prediction"),
        (["a b"], None, "compares with references"),
        (["a b", "c"], ["a b"], "2 predictions need as many references, not 1"),
        (["a b"], ["a b", "c"], "1 predictions need as many references, not 2"),
        (["a b", "c"], [["a b"], "c"], "mixes texts and lists of texts"),
        (["a b"], [[["a b"]]], r"references\[0\] must be a text or a list of texts"),
        (["a b"], [[]], r"references\[0\] must be"),
        ([["a", "b"]], ["a b"], r"predictions\[0\] must be a text, not list"),
        ([None], ["a b"], r"predictions\[0\] must be a text, not NoneType"),
    ],
)
def test_badly_shaped_input_is_told(loaded, name, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        loaded[name].compute(predictions=predictions, references=references)


@pytest.mark.parametrize("name", LONELY)
def test_metrics_of_texts_alone_refuse_references_and_nothing(loaded, name):
    with pytest.raises(ValueError, match="leave references out"):
        loaded[name].compute(predictions=["a b"], references=["a b"])
    with pytest.raises(ValueError, match="predictions is empty"):
        loaded[name].compute(predictions=[])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("perplexity", {"predictions": ["a b"]}, "needs a model"),
        ("mauve", {"predictions": ["a b"] * 4, "references": ["a"] * 4}, "needs a model"),
        ("distinct_n", {"predictions": ["a", "..."]}, r"predictions\[1\] has no word to count: '...'"),
        ("distinct_n", {"predictions": ["a"], "n": 2}, "no text has 2 tokens"),
        ("distinct_n", {"predictions": ["a"], "n": 0}, "n is a whole number from 1"),
        ("self_bleu", {"predictions": ["a b"]}, "at least 2 predictions"),
        ("self_bleu", {"predictions": ["a b", "c"], "interval": True}, "no bootstrap interval"),
        ("loops", {"predictions": ["a"], "min_times": 1}, "2 times or more"),
        ("repetition", {"predictions": ["a"], "window": 0}, "whole number of tokens from 1"),
        ("zipf", {"predictions": ["a a"]}, "at least two different words"),
        ("rouge", {"predictions": ["a"], "references": ["a"], "measure": "f1"}, "'fmeasure', 'precision' or 'recall'"),
        ("rouge", {"predictions": ["a"], "references": ["a"], "interval": True}, "at least 2 values"),
    ],
)
def test_bad_settings_are_told(loaded, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        loaded[name].compute(**arguments)


def test_bad_texts_for_a_model_are_told(loaded, mini):
    limit = mini.model.config.n_positions
    with pytest.raises(ValueError, match=rf"predictions\[1\]: .* context of {limit}; give stride"):
        loaded["perplexity"].compute(predictions=["a b", "the cat " * limit], model=mini)
    with pytest.raises(ValueError, match=r"predictions\[0\]: .* empty"):
        loaded["perplexity"].compute(predictions=[""], model=mini)
    with pytest.raises(ValueError, match=r"predictions\[0\]: row 0 has one token"):
        loaded["perplexity"].compute(predictions=["a"], model=mini)
    with pytest.raises(ValueError, match="mauve reads 1 to"):
        loaded["mauve"].compute(predictions=["the cat " * limit] * 4, references=["a b"] * 4, model=mini)


@pytest.mark.parametrize("name", ["perplexity", "mauve"])
def test_what_is_no_language_model_is_told(loaded, mini, name):
    texts = {"predictions": ["a b"] * 4} | ({"references": ["a b"] * 4} if name == "mauve" else {})
    with pytest.raises(TypeError, match=rf"not a name: {name}.compute\(…, model=gl.load\('gpt2'\)\)"):
        loaded[name].compute(**texts, model="gpt2")
    with pytest.raises(TypeError, match="a LanguageModel, which has the tokenizer too, not GPT2LMHeadModel"):
        loaded[name].compute(**texts, model=mini.model)


def test_a_model_without_weights_has_no_features(loaded):
    with pytest.raises(TypeError, match="mauve reads hidden states, and GPT-2, recorded has no weights"):
        loaded["mauve"].compute(predictions=["a b"] * 4, references=["a b"] * 4, model=gl.recorded.lm())


@pytest.mark.parametrize(
    ("name", "setting", "shown"),
    [
        ("bleu", "max_order", "max_ngram_order, effective_order, interval, seed"),
        ("perplexity", "model_id", "its settings are: model, stride"),
        ("zipf", "n", "its settings are: ranks, tokenize, interval"),
    ],
)
def test_unknown_settings_are_told(loaded, name, setting, shown):
    texts = {"predictions": ["a b"]} | ({"references": ["a b"]} if name == "bleu" else {})
    with pytest.raises(TypeError, match=f"{name} has no setting '{setting}'; .*{shown}"):
        loaded[name].compute(**texts, **{setting: 1})


def test_words_are_runs_of_letters_digits_and_their_marks():
    text = "The dog's 2 naïve cafe\u0301s, it’s snake_case — “Ünï” x² कमरे में."
    assert base.words(text) == [
        "the",
        "dog's",
        "2",
        "naïve",
        "cafe\u0301s",
        "it’s",
        "snake_case",
        "ünï",
        "x²",
        "कमरे",
        "में",
    ]
    english = " ".join(metrics.reference_texts())
    assert base.words(english) == re.findall(r"\w+(?:['’]\w+)*", english.lower())


def test_badly_shaped_prompts_are_told(loaded, mini):
    with pytest.raises(ValueError, match="prompts is a list with a text for each prediction, not one text"):
        loaded["perplexity"].compute(predictions=["a b", "c d"], prompts="ab", model=mini)
    with pytest.raises(ValueError, match="2 predictions need as many prompts, not 0"):
        loaded["perplexity"].compute(predictions=["a b", "c d"], prompts=[], model=mini)


def test_empty_texts_for_mauve_are_told(loaded, mini):
    with pytest.raises(ValueError, match=r"references\[1\] has 0 tokens: mauve reads 1 to \d+; leave it out"):
        loaded["mauve"].compute(predictions=["a b"] * 4, references=["a", "", "b", "c"], model=mini)


@pytest.mark.parametrize("version", ["4.57.1", "3.0.0"])
def test_old_transformers_is_named_where_evaluate_cannot_be_imported(monkeypatch, version):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    monkeypatch.setattr(importlib.metadata, "version", lambda package: version)
    with pytest.raises(ImportError, match=rf"transformers {version} is too old.*5\.0 or newer.*transformers>=5\.0"):
        metrics.load("rouge")


def test_what_evaluate_lacks_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(ImportError, match=r"the package evaluate cannot be imported: .*pip install --upgrade evaluate"):
        metrics.load("rouge")


def test_an_empty_continuation_scores_nothing_rather_than_failing(loaded):
    assert loaded["bleu"].compute(predictions=[""], references=["a b"])["score"] == 0
    assert loaded["rouge"].compute(predictions=[""], references=["a b"])["rouge1"] == 0


def test_unknown_metric_is_told():
    with pytest.raises(ValueError, match="no metric 'meteor'; there are: rouge, bleu"):
        metrics.load("meteor")


def test_a_metric_is_evaluates_and_collects_batches(loaded):
    rouge = metrics.load("rouge")
    assert isinstance(rouge, evaluate.Metric)
    rouge.add_batch(predictions=PREDICTIONS[:2], references=REFERENCES[:2])
    rouge.add(prediction=PREDICTIONS[2], reference=REFERENCES[2])
    assert rouge.compute() == loaded["rouge"].compute(predictions=PREDICTIONS, references=REFERENCES)
    assert "Lin 2004" in rouge.citation
    assert "ROUGE-N" in rouge.description


@pytest.mark.parametrize("name", ["rouge", "bleu"])
def test_without_a_writable_cache_the_numbers_are_the_same(name):
    code = (
        "from gpt2lessons import metrics;"
        f"print(metrics.load('{name}').compute(predictions={PREDICTIONS!r}, references={REFERENCES!r}))"
    )
    import os

    environment = os.environ | {"HF_HOME": "/dev/null/nowhere", "HOME": "/dev/null/nowhere"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    expected = metrics.load(name).compute(predictions=PREDICTIONS, references=REFERENCES)
    assert shown.stdout.strip() == repr(expected), shown.stderr


def test_scripts_import_one_module_per_line_which_evaluate_needs():
    for name in metrics.NAMES:
        script = Path(metrics.__file__).parent / name / f"{name}.py"
        lines = [line for line in script.read_text("utf8").splitlines() if line.startswith("import ")]
        assert not any("," in line for line in lines)
