"""BLEU and ROUGE against the libraries they come from, in every setting, on random texts; and what they refuse.

`GPT2LESSONS_FUZZ=10` makes the random tests ten times as long.
"""

import random
import re
from fractions import Fraction

import numpy as np
import pytest
import sacrebleu
from rouge_score import rouge_scorer, tokenizers
from support.fuzz import TIMES

from gpt2lessons import metrics

ROUNDS = 150 * TIMES
SPACED = ["the", "The", "cat", "sat", "on", "a", "mat,", "mat.", "dog's", "3.14", "1,000", "&amp;", "naïve", "(no)"]
SPACED += ["—", "don't", "Кот", "сидит", "…", '"so"', "x/y", "$5", "."]
UNSPACED = ["我", "喜欢", "猫。", "ねこ", "แมว", "the", "3"]
CHINESE = "我喜欢猫，因为它们很安静。"
RUSSIAN = "Кот сидит на ковре, и ему тепло."


@pytest.fixture(scope="module")
def bleu():
    return metrics.load("bleu")


@pytest.fixture(scope="module")
def rouge():
    return metrics.load("rouge")


def random_text(draw, words):
    return " ".join(draw.choices(words, k=draw.choice([0, 1, 2, 3, 5, 8, 13])))


def changed(draw, text, words):
    """The text with a few of its words left out, replaced or swapped, so that the two overlap."""
    found = [draw.choice(words) if draw.random() < 0.2 else word for word in text.split() if draw.random() > 0.15]
    if len(found) > 2 and draw.random() < 0.5:
        i = draw.randrange(len(found) - 1)
        found[i], found[i + 1] = found[i + 1], found[i]
    return " ".join(found)


def corpus(draw, words):
    """A few predictions, and one to three references for each."""
    references = [
        [random_text(draw, words) for _ in range(draw.choice([1, 1, 2, 3]))] for _ in range(draw.randint(2, 5))
    ]
    predictions = [changed(draw, draw.choice(several), words) for several in references]
    return predictions, references


def by_position(references):
    """What sacrebleu takes: the first references of all texts, then the second ones …, None where there is none."""
    most = max(map(len, references))
    return [[several[i] if i < len(several) else None for several in references] for i in range(most)]


def test_every_bleu_is_sacrebleus(bleu):
    draw, seen = random.Random(0), set()
    for number in range(ROUNDS):
        method = draw.choice(["exp", "floor", "add-k", "none"])
        tokenize = draw.choice(["13a", "intl", "zh", "char", "none"])
        options = {"smooth_method": method, "tokenize": tokenize, "lowercase": draw.random() < 0.5}
        options |= {"max_ngram_order": draw.randint(1, 6), "effective_order": draw.random() < 0.3}
        if method in ("floor", "add-k") and draw.random() < 0.6:
            options["smooth_value"] = draw.choice([0, 0.1, 0.5, 1, 3])
        predictions, references = corpus(draw, SPACED if tokenize in ("13a", "intl") else SPACED + UNSPACED)
        found = bleu.compute(predictions=predictions, references=references, **options)
        judge = sacrebleu.BLEU(**options)
        wanted = judge.corpus_score(predictions, by_position(references))
        assert found == {name: getattr(wanted, name) for name in found}, (options, predictions, references)
        seen.add((method, found["score"] > 0))
        if number % 10 == 0:
            again = bleu.compute(predictions=predictions, references=references, **options, interval=True, resamples=15)
            rows = np.random.default_rng(0).integers(len(predictions), size=(15, len(predictions)))
            scores = [
                judge.corpus_score([predictions[i] for i in r], by_position([references[i] for i in r])).score
                for r in rows
            ]
            assert again["interval"]["score"] == pytest.approx(np.percentile(scores, [2.5, 97.5]), rel=1e-12)
    assert {(method, True) for method in ("exp", "floor", "add-k", "none")} <= seen, "or this would show little"


def test_every_rouge_is_rouge_scores(rouge):
    draw, seen = random.Random(1), set()
    names = ["rouge1", "rouge2", "rouge4", "rouge9", "rougeL", "rougeLsum"]
    for _ in range(ROUNDS):
        tokenizer = draw.choice([None, None, str.split, list, tokenizers.DefaultTokenizer(use_stemmer=True)])
        types, stemmer = draw.sample(names, k=draw.randint(1, 4)), tokenizer is None and draw.random() < 0.5
        measure = draw.choice(["fmeasure", "precision", "recall"])
        latin = [w for w in SPACED if w not in ("Кот", "сидит")]
        predictions, references = corpus(draw, latin if tokenizer is None else SPACED + UNSPACED)
        found = rouge.compute(
            predictions=predictions, references=references, rouge_types=types, use_stemmer=stemmer,
            tokenizer=tokenizer, measure=measure, use_aggregator=False,
        )  # fmt: skip
        theirs = tokenizer if hasattr(tokenizer, "tokenize") else tokenizer and Wrapped(tokenizer)
        judge = rouge_scorer.RougeScorer(types, use_stemmer=stemmer, tokenizer=theirs)
        scores = [judge.score_multi(r, p) for p, r in zip(predictions, references, strict=True)]
        assert found == {t: [getattr(s[t], measure) for s in scores] for t in types}
        seen |= {(t, max(values) > 0) for t, values in found.items()}
    assert {(name, True) for name in names} <= seen


class Wrapped:
    def __init__(self, function):
        self.tokenize = function


def test_add_k_by_hand(bleu):
    arguments = {"predictions": ["the cat sat on a mat"], "references": ["the cat sat on the mat"]}
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples; from the pairs on k is added above and below
    for k in (1, 2):
        found = bleu.compute(**arguments, smooth_method="add-k", smooth_value=k)
        product = Fraction(5, 6) * Fraction(3 + k, 5 + k) * Fraction(2 + k, 4 + k) * Fraction(1 + k, 3 + k)
        assert found["score"] == pytest.approx(100 * float(product) ** 0.25, rel=1e-12)
        assert (found["counts"], found["totals"]) == ([5, 3 + k, 2 + k, 1 + k], [6, 5 + k, 4 + k, 3 + k])
    assert bleu.compute(**arguments, smooth_method="add-k")["score"] == pytest.approx(63.894, abs=5e-4)


def test_floor_and_order_by_hand(bleu):
    arguments = {"predictions": ["a b c d e"], "references": ["a b x d e"]}  # 4 of 5, 2 of 4, 0 of 3
    found = bleu.compute(**arguments, max_ngram_order=3, smooth_method="floor", smooth_value=0.5)
    assert found["score"] == pytest.approx(100 * (4 / 5 * 2 / 4 * 0.5 / 3) ** (1 / 3), rel=1e-12)
    assert bleu.compute(**arguments, max_ngram_order=3, smooth_method="none")["score"] == pytest.approx(0, abs=1e-9)
    assert bleu.compute(**arguments, max_ngram_order=2)["score"] == pytest.approx(
        100 * (4 / 5 * 2 / 4) ** 0.5, rel=1e-12
    )
    # against itself a text of two words has no triples: 0, unless such orders are left out
    two = {"predictions": ["a b"], "references": ["a b"]}
    assert bleu.compute(**two)["score"] == pytest.approx(0, abs=1e-9)
    assert bleu.compute(**two, effective_order=True)["score"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenize": "foo"}, r"tokenize is one of 13a, intl, zh, char, none, ja-mecab, ko-mecab, not 'foo'"),
        ({"tokenize": "spm"}, "other tokenizers are fetched from the network"),
        ({"smooth_method": "add-1"}, "smooth_method is one of exp, floor, add-k, none, not 'add-1'"),
        ({"smooth_value": 2}, "smooth_value belongs to 'floor' and 'add-k'; 'exp' has none"),
        ({"smooth_method": "floor", "smooth_value": -1}, "smooth_value is a number from 0, not -1"),
        ({"smooth_method": "floor", "smooth_value": "0.1"}, "smooth_value is a number from 0"),
        ({"max_ngram_order": 0}, "max_ngram_order is a whole number from 1"),
        ({"max_ngram_order": 2.5}, "max_ngram_order is a whole number from 1"),
    ],
)
def test_bad_settings_of_bleu_are_told(bleu, settings, message):
    with pytest.raises(ValueError, match=message):
        bleu.compute(predictions=["a"], references=["a"], **settings)


def test_a_tokenizer_whose_packages_are_missing_is_told(bleu, monkeypatch):
    from sacrebleu.tokenizers import tokenizer_ja_mecab

    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    with pytest.raises(ValueError, match=r"tokenize='ja-mecab' needs more packages: pip install 'sacrebleu\[ja\]'"):
        bleu.compute(predictions=["猫"], references=["猫"], tokenize="ja-mecab")


@pytest.mark.parametrize("text", [CHINESE, "猫", "แมวนั่งบนเสื่อและหลับ"])
def test_a_sentence_without_spaces_is_not_one_word(bleu, text):
    arguments = {"predictions": [text], "references": [text]}
    for tokenize in ("13a", "intl"):
        with pytest.raises(ValueError, match=f"tokenize='{tokenize}' splits at spaces.*'zh' for Chinese, or 'char'"):
            bleu.compute(**arguments, tokenize=tokenize)
    assert bleu.compute(**arguments, tokenize="char", effective_order=True)["score"] == pytest.approx(100)
    with pytest.raises(ValueError, match="splits at spaces"):
        metrics.load("self_bleu").compute(predictions=[text, text])
    with pytest.raises(ValueError, match=r"predictions\[1\] has no spaces between its words.*tokenize=list"):
        metrics.load("distinct_n").compute(predictions=["a cat", text])


def test_chinese_that_is_split_already_or_stands_in_other_text_is_scored(bleu):
    for text in ("我 喜欢 猫 因为 它们 很 安静", "the word 猫 means cat, and 犬 means dog"):
        assert bleu.compute(predictions=[text], references=[text])["score"] == pytest.approx(100)
        assert metrics.load("distinct_n").compute(predictions=[text], n=1)["distinct_1"] > 0.8


@pytest.mark.parametrize("text", [CHINESE, RUSSIAN, "η γάτα κάθεται", "القطة على السجادة", "२०२४ में", "१२३"])
def test_rouge_of_other_letters_takes_a_tokenizer(rouge, text):
    with pytest.raises(ValueError, match=r"references\[1\] is written in letters that ROUGE's own tokenizer drops"):
        rouge.compute(predictions=["a cat", text], references=["a cat", text])
    for tokenizer in (str.split, list):
        assert rouge.compute(predictions=[text], references=[text], tokenizer=tokenizer)["rouge1"] == 1
    half = text[: len(text) // 2]
    share = rouge.compute(predictions=[half], references=[text], tokenizer=list, measure="recall")["rouge1"]
    assert share == pytest.approx(len(half) / len(text))


@pytest.mark.parametrize("text", ["Le café est déjà fermé.", "Łódź żyje", "3.14", "...", "", "the word кот means cat"])
def test_rouge_of_latin_letters_is_rouge_scores(rouge, text):
    own = rouge_scorer.RougeScorer(["rouge1"]).score(text, text)["rouge1"].fmeasure
    assert rouge.compute(predictions=[text], references=[text])["rouge1"] == own
    # a prediction in other letters shares nothing with such a reference, whoever counts
    assert rouge.compute(predictions=[RUSSIAN], references=["a cat"])["rouge1"] == 0


def test_rouge_types_may_be_one_name(rouge):
    one = {"predictions": ["a b c"], "references": ["a b d"]}
    assert rouge.compute(**one, rouge_types="rouge1") == {"rouge1": pytest.approx(2 / 3)}
    assert list(rouge.compute(**one)) == ["rouge1", "rouge2", "rougeL"]
    for wrong, shown in (("r", "'r'"), (["rouge1", "rouge0"], "'rouge0'"), ([], r"\[\]"), ("rouge12", "'rouge12'")):
        with pytest.raises(ValueError, match=rf"one or several of rouge1 … rouge9, rougeL and rougeLsum, not {shown}"):
            rouge.compute(**one, rouge_types=wrong)


def test_bad_tokenizers_of_rouge_are_told(rouge):
    one = {"predictions": ["a b c"], "references": ["a b d"]}
    with pytest.raises(TypeError, match="tokenizer is a function from a text to a list of tokens, not str"):
        rouge.compute(**one, tokenizer="char")
    with pytest.raises(ValueError, match="use_stemmer belongs to ROUGE's own tokenizer"):
        rouge.compute(**one, tokenizer=str.split, use_stemmer=True)


def test_an_empty_reference_scores_0(bleu, rouge):
    for references in ([""], [[""]], [["", ""]]):
        assert rouge.compute(predictions=["a b"], references=references) == {"rouge1": 0, "rouge2": 0, "rougeL": 0}
        assert bleu.compute(predictions=["a b"], references=references)["score"] == 0
    assert rouge.compute(predictions=["a b", "a"], references=["", "a"])["rouge1"] == pytest.approx(1 / 2)


def test_half_a_surrogate_pair_is_told(bleu):
    for predictions, references, place in ((["a", "b\ud800"], ["a", "b"], "predictions[1]"),
                                           (["a", "b"], [["a"], ["b", "\udc00"]], "references[1]")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{re.escape(place)} has half of a surrogate pair"):
            bleu.compute(
                predictions=predictions, references=references if place[0] == "r" else [[r] for r in references]
            )


def test_self_bleu_is_about_one_and_a_half_times_nltks_where_only_quadruples_are_missing():
    from nltk.translate import bleu_score

    texts = ["one two three four five six", "six one two three five four"]  # a triple in common, no quadruple
    ours = metrics.load("self_bleu").compute(predictions=texts)["each"][0]
    smooth = bleu_score.SmoothingFunction().method1
    theirs = bleu_score.sentence_bleu([texts[1].split()], texts[0].split(), smoothing_function=smooth)
    assert ours / (100 * theirs) == pytest.approx((0.5 / 0.1) ** 0.25)


def test_self_bleu_takes_characters():
    texts = [CHINESE, "我喜欢狗，因为它们很安静。"]
    scorer = sacrebleu.BLEU(effective_order=True, tokenize="char", max_ngram_order=3)
    expected = [scorer.sentence_score(a, [b]).score for a, b in (texts, texts[::-1])]
    assert metrics.load("self_bleu").compute(predictions=texts, tokenize="char", max_ngram_order=3)["each"] == expected
