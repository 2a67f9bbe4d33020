"""bpe.py against hand-made merges, against transformers' tokenizer on any text, and against tokenizers' own trainer."""

import functools
import json
import random
import sys
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.fuzz import TIMES

from gpt2lessons import bpe as bpe_module
from gpt2lessons import merging
from gpt2lessons.bpe import ASSETS, BPE, BYTE_ORDER, BYTE_TO_CHARACTER, PATTERN, Merge
from gpt2lessons.merging import join

MIXED = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=100_000))
TEXTS = {
    "prose": "I am a large language model. \"It's fine,\" she said; we'll see, they've gone, I'd say, you're, don't.",
    "capitals": "IT'S SHE'LL I'M Don’t",
    "code": "def f(x):\n    return {k: v**2 for k, v in x.items() if v != 0}\t# done\r\n\r\n\tpass\n",
    "digits": "3.14159 1,000,000 2024-01-31 0x7f ½ ² Ⅷ ١٢٣ १२३",
    "spaces": "a  b   c    \n\n \n  d\t\t e \u00a0\u3000f\u2028g   ",
    "only spaces": "     ",
    "control": "\x00\x01\x1c\x1d\x1e\x1f\x7f\x85\ufeff",
    "emoji": "🙂 👩‍👩‍👧‍👦 🇫🇮 👍🏽 ❤️ naïve",
    "scripts": "Привет мир. Καλημέρα. 你好，世界。 こんにちは 안녕하세요 שלום مرحبا नमस्ते สวัสดี ትግርኛ ᏣᎳᎩ 𝔊𝔬𝔱𝔥 𓀀",
    "combining": "e\u0301 Z̸̢a̷l̶g̸o̵ ﬁ Å Å",
    "special": "<|endoftext|>a<|endoftext|><|endoftext|> b <|endoftext|",
    "empty": "",
}


@functools.cache
def library(name):
    from transformers import GPT2Tokenizer

    return GPT2Tokenizer.from_pretrained(str(ASSETS / name))


BOTH = [("gpt2-vocabulary", BPE.gpt2), ("gpt2-mini", BPE.mini)]


@functools.cache
def characters_cut_alike():
    """Characters that the library's Unicode tables and those of `regex` put into the same class, and the others.

    The probe tells letters, numbers, white space and the rest apart. Planes 4 to 13 hold no letters.
    """
    import regex

    assigned = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000)]
    cut, pattern = library("gpt2-mini").backend_tokenizer.pre_tokenizer.pre_tokenize_str, regex.compile(PATTERN)
    unlike = set()
    for start in range(0, len(assigned), 1000):
        chunk = [chr(c) for c in assigned[start : start + 1000]]
        text = "".join(f"a{c}1{c}!\n\n" for c in chunk)
        ours = {m.start() for m in pattern.finditer(text)}
        unlike.update(chunk[i // 7] for i in ours ^ {s for _, (s, _) in cut(text)})
    return [chr(c) for c in (*assigned, *range(0x40000, 0x40010), 0x10FFFF) if chr(c) not in unlike], unlike


def tiny(*merges):
    """A vocabulary with the given merges, each a pair of str, in that order."""
    trained = BPE.train("", 0)
    token_bytes, triples = trained.token_bytes[:-1], []
    ids = {b: i for i, b in enumerate(token_bytes)}
    for left, right in merges:
        new = (left + right).encode()
        ids[new] = len(token_bytes)
        token_bytes.append(new)
        triples.append((ids[left.encode()], ids[right.encode()], ids[new]))
    return BPE([*token_bytes, b"<|endoftext|>"], triples, len(token_bytes))


# ---- by hand


def test_lowest_rank_goes_first_wherever_it_stands():
    bpe = tiny(("b", "c"), ("a", "b"), ("a", "bc"))
    steps = bpe.explain("abcab")
    assert steps == [
        Merge(0, b"b", b"c", b"bc", (b"a", b"bc", b"a", b"b")),
        Merge(1, b"a", b"b", b"ab", (b"a", b"bc", b"ab")),
        Merge(2, b"a", b"bc", b"abc", (b"abc", b"ab")),
    ]
    assert [bpe.token_bytes[i] for i in bpe.encode("abcab")] == [b"abc", b"ab"]


def test_equal_letters_are_joined_from_the_left_without_overlap():
    bpe = tiny(("a", "a"))
    assert [bpe.token_bytes[i] for i in bpe.encode("aaaaa")] == [b"aa", b"aa", b"a"]


def test_training_on_four_words_gives_the_merges_worked_out_by_hand():
    bpe = BPE.train("\n".join(["hat"] * 4 + ["that"] * 3 + ["mat"] * 2 + ["chat"]), 4)
    assert bpe.token_bytes[256:] == [b"at", b"hat", b"that", b"mat", b"<|endoftext|>"]
    assert [bpe.token_bytes[i] for i in bpe.encode("cats")] == [b"c", b"at", b"s"]
    assert [m.rank for m in bpe.explain("what")] == [0, 1]


def test_training_stops_when_every_piece_is_one_token_and_starts_from_bytes():
    bpe = BPE.train("abc abc", 100)
    assert len(bpe) == 256 + 3 + 1
    assert len(BPE.train("", 5)) == 257
    assert bpe.encode("abc abc") == [bpe.token_bytes.index(b"abc"), bpe.token_bytes.index(b" abc")]


def test_documents_are_kept_apart_in_training_and_the_marker_is_not_learnt():
    bpe = BPE.train("ab<|endoftext|>ab<|endoftext|>", 50)
    assert bpe.token_bytes[256:] == [b"ab", b"<|endoftext|>"]
    assert bpe.eos_token_id == 257 == bpe.encode("<|endoftext|>")[0]


def test_known_ids_and_the_shared_part_of_the_two_vocabularies():
    ids = [40, 716, 257, 1588, 3303, 2746]
    gpt2, mini = BPE.gpt2(), BPE.mini()
    assert gpt2.encode("I am a large language model") == mini.encode("I am a large language model") == ids
    assert gpt2.encode("Hello, I am") == [15496, 11, 314, 716]
    assert (len(gpt2), len(mini), gpt2.eos_token_id, mini.eos_token_id) == (50257, 8449, 50256, 8448)
    assert gpt2.token_bytes[:8448] == mini.token_bytes[:8448]
    assert gpt2.show(220) == " "
    assert [gpt2.show(i) for i in gpt2.encode("🙂")] == [r"\xf0\x9f", r"\x99\x82"]


# ---- the library


@pytest.mark.parametrize(("name", "ours"), BOTH, ids=["gpt2", "mini"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_encodes_and_decodes_as_transformers(name, ours, text):
    bpe, theirs = ours(), library(name)
    ids = bpe.encode(text)
    assert ids == theirs.encode(text)
    assert bpe.decode(ids) == theirs.decode(ids) == text
    assert bpe.encode(text, split_special_tokens=True) == theirs.encode(text, split_special_tokens=True)
    assert "".join(bpe.split(text)) == text


def test_the_two_unicode_tables_differ_only_in_letters_and_numbers_too_new_for_one_of_them():
    import unicodedata

    alike, unlike = characters_cut_alike()
    assert len(alike) > 240_000
    assert len(unlike) < 20_000
    if int(unicodedata.unidata_version.split(".")[0]) <= 16:
        assert all(unicodedata.category(c) == "Cn" for c in unlike)
    bpe = BPE.mini()
    assert all(bpe.decode(bpe.encode(f"a{c} {c}")) == f"a{c} {c}" for c in unlike)


@pytest.mark.parametrize(("name", "ours"), BOTH, ids=["gpt2", "mini"])
def test_every_character_once_as_transformers(name, ours):
    alike, _ = characters_cut_alike()
    text = "".join(c + " " if i % 3 else c for i, c in enumerate(alike) if ord(c) < 0x3000 or i % 4 == 0)
    assert ours().encode(text) == library(name).encode(text)


def any_text():
    # the class of character first, so that rare classes and mixtures of them are met
    few = st.sampled_from(
        [" ", "  ", "\n", "\t", "'s", "'ll", "'", "a", "Z", "7", "42", "!", "é", "<|endoftext|>", "🙂"]
    )
    words = st.sampled_from(
        ["the", " language", " New", "York", "ing", "…", "你好", "नमस्ते", "\u0301", "\u00a0", "\u200d"]
    )
    every = st.deferred(lambda: st.sampled_from(characters_cut_alike()[0]))
    return st.lists(st.one_of(few, words, every), max_size=40).map("".join)


@settings(max_examples=400 * TIMES, deadline=None)
@given(any_text())
@example("a \n b")
@example("\u2028 \u2029'S's")
def test_any_text_encodes_as_transformers_and_comes_back(text):
    for name, ours in BOTH:
        bpe, theirs = ours(), library(name)
        ids = bpe.encode(text)
        assert ids == theirs.encode(text)
        assert bpe.decode(ids) == text
        assert bpe.encode(text, split_special_tokens=True) == theirs.encode(text, split_special_tokens=True)


@settings(max_examples=300 * TIMES, deadline=None)
@given(st.lists(st.integers(0, 50256), max_size=30))
def test_any_ids_decode_as_transformers(ids):
    assert BPE.gpt2().decode(ids) == library("gpt2-vocabulary").decode(ids)


@settings(max_examples=200 * TIMES, deadline=None)
@given(st.binary(max_size=20))
def test_any_bytes_decode_without_failing(data):
    bpe = BPE.gpt2()
    ids = [bpe.token_bytes.index(bytes([b])) for b in data]
    assert bpe.decode(ids) == data.decode("utf8", errors="replace")


@settings(max_examples=200 * TIMES, deadline=None)
@given(st.text(st.sampled_from("abc 'é\n"), max_size=40))
def test_explain_ends_where_encode_ends(text):
    bpe = BPE.gpt2()
    for piece in bpe.split(text):
        steps = bpe.explain(piece)
        ends = steps[-1].parts if steps else tuple(bytes([b]) for b in piece.encode())
        assert list(ends) == [bpe.token_bytes[i] for i in bpe.encode(piece)]
        assert all(bpe.ranks[tuple(map(bpe.token_bytes.index, (s.left, s.right)))] == s.rank for s in steps)


def learnt_by_the_library(text, num_merges):
    """The merges that the tokenizers library's own trainer learns, written in its characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + num_merges, initial_alphabet=alphabet, show_progress=False)
    theirs.train_from_iterator([text], trainer)
    return json.loads(theirs.to_str())["model"]["merges"]


def learnt_by_recounting(text, num_merges):
    """The definition itself: count all pairs anew for every merge. Returns the merges as pairs of bytes."""
    words = [[BYTE_ORDER.index(b) for b in piece.encode()] for piece in BPE.mini().split(text)]
    tokens, merges = [bytes([b]) for b in BYTE_ORDER], []
    while len(merges) < num_merges and (counts := Counter(p for word in words for p in pairwise(word))):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = [join(word, best, len(tokens)) for word in words]
        merges.append((tokens[best[0]], tokens[best[1]]))
        tokens.append(b"".join(merges[-1]))
    return merges


few_letters = st.text(st.sampled_from("ab"), max_size=60)
mixed_letters = st.text(st.sampled_from("abcde  é\n'7!"), max_size=120)
any_characters = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x3000), max_size=60)


@settings(max_examples=300 * TIMES, deadline=None)
@given(st.one_of(few_letters, mixed_letters, any_characters), st.integers(0, 40))
@example("aaaa", 3)  # the first merge makes (aa, a), the next place undoes it
@example("aaaaa aaaaaaa aaa", 9)
def test_trains_as_the_tokenizers_library_and_as_recounting(text, num_merges):
    bpe = BPE.train(text, num_merges)
    pairs = [tuple(bpe.token_bytes[i] for i in pair) for pair in bpe.ranks]
    assert pairs == learnt_by_recounting(text, num_merges)
    characters_known_alike = set(text).isdisjoint(characters_cut_alike()[1])
    if characters_known_alike:
        assert [[written(t) for t in pair] for pair in pairs] == learnt_by_the_library(text, num_merges)
    assert len(set(bpe.token_bytes)) == len(bpe)
    assert bpe.decode(bpe.encode(text)) == text


def test_trains_as_the_tokenizers_library_on_prose_and_on_one_long_word():
    prose = " ".join(TEXTS.values()).replace("<|endoftext|>", "") * 20
    for text, num_merges in ((prose, 400), (MIXED, 500), ("ab" * 30_000 + "b" * 999, 60)):
        bpe = BPE.train(text, num_merges)
        learnt = [[written(bpe.token_bytes[i]) for i in pair] for pair in bpe.ranks]
        assert learnt == learnt_by_the_library(text, num_merges)
        assert len(learnt) > 15


def test_training_takes_steps_in_proportion_to_the_word():
    """Lines of Python that run, not seconds: recounting the word for each merge takes a thousand per letter."""
    lines = 0

    def count(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename not in (merging.__file__, bpe_module.__file__):
            return None
        lines += event == "line"
        return count

    before, text = sys.gettrace(), MIXED[:5000]
    sys.settrace(count)
    try:
        bpe = BPE.train(text, 500)
    finally:
        sys.settrace(before)
    assert len(bpe.ranks) == 500
    assert 0 < lines < 60 * len(text)


def written(token):
    return "".join(BYTE_TO_CHARACTER[b] for b in token)


# ---- special tokens


SPECIAL = ("<|endoftext|>", "<|end|>", "<|end|>of", "<pad>", "über")


def with_specials():
    """Our BPE and the library's tokenizer with GPT-2's merges and four more special tokens."""
    theirs = library_anew("gpt2-mini")
    theirs.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    return BPE.from_tokenizer(theirs), theirs


def library_anew(name):
    from transformers import GPT2Tokenizer

    return GPT2Tokenizer.from_pretrained(str(ASSETS / name))


def test_several_special_tokens_as_the_library():
    bpe, theirs = with_specials()
    assert bpe.special_tokens == {t: theirs.convert_tokens_to_ids(t) for t in SPECIAL}
    assert len(bpe) == len(theirs) == 8449 + 4
    assert "<|endoftext|> + <|end|> + <|end|>of + <pad> + über)" in repr(bpe)
    for seed in range(300):
        words = (*SPECIAL, "<|end", "|>", "of", " ", "a", "The king", "ü", "ber", "\n")
        text = "".join(random.Random(seed).choices(words, k=12))
        ids = bpe.encode(text)
        assert ids == theirs.encode(text), text
        assert bpe.decode(ids) == text
        assert "über" in text or theirs.decode(ids) == text  # its decoder takes the ü of a special token for a byte
        assert bpe.encode(text, split_special_tokens=True) == theirs.encode(text, split_special_tokens=True)


def test_special_tokens_separate_in_training_and_come_last():
    bpe = BPE.train("ab<pad>ab<pad>c<end>", 9, special_tokens=("<end>", "<pad>"))
    assert bpe.token_bytes[256:] == [b"ab", b"<end>", b"<pad>"]
    assert (bpe.eos_token_id, bpe.special_tokens) == (257, {"<end>": 257, "<pad>": 258})
    assert bpe.encode("ab<pad><end>") == [256, 258, 257]


@pytest.mark.parametrize(
    ("special", "words"),
    [
        ((), "at least one special token is needed"),
        (("<a>", "<a>"), "each once"),
        (("a",), "'a' is too short"),
        (("\ud800",), "lone surrogate"),
    ],
)
def test_special_tokens_that_cannot_be_are_refused(special, words):
    with pytest.raises(ValueError, match=words):
        BPE.train("abc", 1, special_tokens=special)


@pytest.mark.parametrize("flags", [{"lstrip": True}, {"rstrip": True}, {"single_word": True}])
def test_a_tokenizer_whose_special_tokens_take_more_than_themselves_is_refused(flags):
    from tokenizers import AddedToken

    theirs = library_anew("gpt2-mini")
    theirs.add_special_tokens({"additional_special_tokens": [AddedToken("<mask>", special=True, **flags)]})
    with pytest.raises(ValueError, match="'<mask>' is no plain special token"):
        BPE.from_tokenizer(theirs)


def test_a_batch_is_encoded_text_by_text():
    bpe, texts = BPE.mini(), ["I am", "", "<|endoftext|>a"]
    assert bpe.encode_batch(texts) == [bpe.encode(t) for t in texts] == library("gpt2-mini")(texts)["input_ids"]
    assert bpe.encode_batch(iter(texts), split_special_tokens=True)[2] == bpe.encode(
        texts[2], split_special_tokens=True
    )
    assert bpe.encode_batch([]) == []
    for wrong in ("I am", 7):
        with pytest.raises(TypeError, match="takes a list of texts, not one"):
            bpe.encode_batch(wrong)
    with pytest.raises(TypeError, match="text should be a str, not int"):
        bpe.encode_batch(["a", 7])


# ---- files


@pytest.mark.parametrize("special", [("<|endoftext|>",), ("<end of text>", "<pad>", "ÜÜ")])
def test_what_is_saved_is_read_again_by_us_and_by_the_library(tmp_path, special):
    text = TEXTS["prose"] + TEXTS["scripts"] + TEXTS["emoji"]
    bpe = BPE.train(text * 3, 200, special_tokens=special)
    paths = bpe.save(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["vocab.json", "merges.txt"]
    again = BPE.from_files(*paths, special_tokens=special)
    assert vars(again).keys() == vars(bpe).keys()
    same = ("token_bytes", "ranks", "_merged", "special_tokens", "eos_token_id")
    assert all(getattr(again, name) == getattr(bpe, name) for name in same)
    from tokenizers import ByteLevelBPETokenizer

    theirs = ByteLevelBPETokenizer.from_file(*map(str, paths))
    assert theirs.encode(text).ids == bpe.encode(text) == again.encode(text)


def test_saved_vocabularies_are_the_files_they_came_from(tmp_path):
    for name, ours in BOTH:
        vocab_json, merges_txt = ours().save(tmp_path)
        assert json.loads(vocab_json.read_text("utf8")) == json.loads((ASSETS / name / "vocab.json").read_text("utf8"))
        lines = (ASSETS / name / "merges.txt").read_text("utf8").splitlines()
        assert merges_txt.read_text("utf8").splitlines()[1:] == [line for line in lines[1:] if line]


def test_a_byte_order_mark_changes_nothing(tmp_path):
    folder = ASSETS / "gpt2-mini"
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    bpe = BPE.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")
    assert (bpe.token_bytes, bpe.ranks) == (BPE.mini().token_bytes, BPE.mini().ranks)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<html>", "vocab.json is no JSON"),
        ("[1, 2]", "one JSON object"),
        ('{"a": "0"}', "each token with its id"),
        ('{"a": null}', "each token with its id"),
    ],
)
def test_a_vocabulary_that_is_none_is_named(tmp_path, content, words):
    (tmp_path / "vocab.json").write_text(content, "utf8")
    with pytest.raises(ValueError, match=words):
        BPE.from_files(tmp_path / "vocab.json", ASSETS / "gpt2-mini/merges.txt")


def test_a_token_that_is_not_written_in_bytes_must_be_named_as_special(tmp_path):
    vocab_json, merges_txt = BPE.train("", 0, special_tokens=("<|endoftext|>", "<new line>")).save(tmp_path)
    with pytest.raises(ValueError, match="'<new line>' is neither written in GPT-2's characters nor named as special"):
        BPE.from_files(vocab_json, merges_txt)


def test_a_tokenizer_of_another_type_is_refused():
    from tokenizers import Tokenizer, models

    wordpiece = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    with pytest.raises(ValueError, match="of type WordPiece; GPT-2's is a byte-level BPE"):
        BPE.from_tokenizer(SimpleNamespace(backend_tokenizer=wordpiece))


def test_a_missing_header_line_does_not_cost_the_first_merge(tmp_path):
    folder = ASSETS / "gpt2-mini"
    lines = (folder / "merges.txt").read_text("utf8").splitlines()
    assert lines[0].startswith("#version")
    for name, content in {"bare": lines[1:], "crlf": lines, "spaced": [*lines, "", ""]}.items():
        file = tmp_path / name
        file.write_bytes(("\r\n" if name == "crlf" else "\n").join(content).encode())
        bpe = BPE.from_files(folder / "vocab.json", file)
        assert bpe.ranks == BPE.mini().ranks
        assert bpe.explain(" t")[0].rank == 0


def test_a_transformers_tokenizer_gives_the_same_vocabulary():
    bpe = BPE.from_tokenizer(library("gpt2-vocabulary"))
    assert bpe.token_bytes == BPE.gpt2().token_bytes
    assert bpe.ranks == BPE.gpt2().ranks


def test_files_that_do_not_fit_together_say_what_is_missing(tmp_path):
    vocab, merges = ASSETS / "gpt2-mini/vocab.json", tmp_path / "merges.txt"
    with pytest.raises(ValueError, match=r"lacks .* do not belong together"):
        BPE.from_files(vocab, ASSETS / "gpt2-vocabulary/merges.txt")
    merges.write_text("#version: 0.2\nĠ t\nĠ a b\n", "utf8")
    with pytest.raises(ValueError, match=r"line 3 of merges.txt should hold two tokens, not 'Ġ a b'"):
        BPE.from_files(vocab, merges)
    holes = tmp_path / "vocab.json"
    holes.write_text('{"a": 0, "b": 2}', "utf8")
    merges.write_text("", "utf8")
    with pytest.raises(ValueError, match="should have the ids 0 to 1"):
        BPE.from_files(holes, merges)


# ---- bad input


@pytest.mark.parametrize("text", ["\ud83d", "ab\udc00", "\ude42\ud83d"])
def test_a_lone_surrogate_is_refused_with_its_place(text):
    place = next(i for i, c in enumerate(text) if 0xD800 <= ord(c) < 0xE000)
    for call in (BPE.mini().encode, BPE.mini().split, BPE.mini().explain, lambda t: BPE.train(t, 3)):
        with pytest.raises(ValueError, match=f"character {place} of the text .* lone surrogate"):
            call(text)


def test_ids_that_do_not_exist_are_refused():
    bpe = BPE.mini()
    for wrong in (-1, 8449, 50256):
        with pytest.raises(ValueError, match=f"there is no token {wrong}: .* 0 to 8,448"):
            bpe.decode([40, wrong])
    for wrong in (1.0, "a", None, [40]):
        with pytest.raises(TypeError, match="a token id is a whole number"):
            bpe.decode([wrong])


def test_tensors_decode_one_row_at_a_time():
    ids = torch.tensor([[40, 716]])
    assert BPE.mini().decode(ids[0]) == "I am"
    with pytest.raises(TypeError, match="one row of ids"):
        BPE.mini().decode(ids)


def test_wrong_kinds_of_argument_say_what_is_needed():
    with pytest.raises(TypeError, match="text should be a str, not bytes"):
        BPE.mini().encode(b"abc")
    with pytest.raises(ValueError, match="num_merges is -1"):
        BPE.train("abc", -1)
    with pytest.raises(ValueError, match="cut into 2: "):
        BPE.mini().explain("two words")
    with pytest.raises(ValueError, match="cut into 0: "):
        BPE.mini().explain("")


@pytest.mark.parametrize("text", ["a" * 100_000, "🙂" * 20_000, "xyz" * 40_000, MIXED])
def test_one_huge_word_takes_steps_in_proportion(text):
    bpe = BPE.gpt2()
    assert bpe.encode(text) == library("gpt2-vocabulary").encode(text)
    lookups = Counting(bpe.ranks)
    counted = BPE(bpe.token_bytes, [(*pair, new) for pair, new in zip(bpe.ranks, bpe._merged, strict=True)], 50256)
    counted.ranks = lookups
    assert counted.encode(text) == bpe.encode(text)
    length = len(text.encode())
    assert 0 < lookups.count < 10 * length
    if text == MIXED:  # the bound is one that the slow way breaks, even for a short word
        lookups.count = 0
        counted.explain(text[:2000])
        assert lookups.count > 10 * 10 * 2000


class Counting(dict):
    """A dict that counts how often it is asked."""

    count = 0

    def get(self, key, default=None):
        self.count += 1
        return super().get(key, default)

    def __contains__(self, key):
        self.count += 1
        return super().__contains__(key)

    def __getitem__(self, key):
        self.count += 1
        return super().__getitem__(key)


def test_the_small_slow_functions_learn_and_encode_as_the_class_does():
    """Where no two pairs are equally frequent, both must learn the same merges, and encode alike."""
    text = "hat " * 8 + "that " * 5 + "mat " * 3 + "chat " * 2
    ours = BPE.train(text, 3)
    words = {tuple(bytes([b]) for b in piece.encode()): n for piece, n in Counter(ours.split(text)).items()}
    merges = bpe_module.learn(words, 3)
    assert [a + b for a, b in merges] == ours.token_bytes[256:-1]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    for piece in (b" chats", b"tahat", "ï that".encode()):
        parts = bpe_module.apply_merges([bytes([b]) for b in piece], ranks)
        assert list(parts) == [ours.token_bytes[i] for p in ours.split(piece.decode()) for i in ours.encode(p)]


def test_a_merge_uses_no_token_twice_and_learning_stops_in_time():
    assert bpe_module.merge(tuple("aaa"), ("a", "a")) == ("aa", "a")
    assert bpe_module.merge(("xa", "b"), ("a", "b")) == ("xa", "b")
    assert bpe_module.count_pairs({tuple("haha"): 2}) == {("h", "a"): 4, ("a", "h"): 2}
    assert bpe_module.learn({tuple("abc"): 1}, 9) == [("a", "b"), ("ab", "c")]
