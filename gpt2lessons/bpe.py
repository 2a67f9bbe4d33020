"""Byte-level byte-pair encoding, GPT-2's tokenizer, from scratch: learn merges, encode, decode, show each merge.

A text is cut into pieces by a regular expression, a piece becomes its UTF-8 bytes, and neighbouring tokens are merged,
the pair that was learnt first before all others, until no pair is left that was ever learnt. Every byte is a
token by itself, so every text can be encoded. Sources: Sennrich et al. 2016 (merging), Radford et al. 2019, section
2.2 (bytes). Ids, merges and the cut are those of the files that OpenAI published.
"""

import functools
import json
import operator
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import regex

from gpt2lessons import merging
from gpt2lessons.checksums import ASSETS

END_OF_TEXT = "<|endoftext|>"

# English endings; letters, numbers or other signs, each with at most one space in front; the rest of the white
# space. Where white space precedes a word, its last character is left to the word (the look-ahead `(?!\S)`).
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PIECES = regex.compile(PATTERN)
_CACHED_PIECES, _CACHED_LENGTH = 200_000, 64

# In the files a byte is written as a printable character: itself if it is one, else the next one from U+0100 on,
# which makes the space Ġ. A byte's id is its place in this order: the printable ones first.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_REST = [b for b in range(256) if b not in _PRINTABLE]
BYTE_ORDER = (*_PRINTABLE, *_REST)
BYTE_TO_CHARACTER = {**{b: chr(b) for b in _PRINTABLE}, **{b: chr(0x100 + i) for i, b in enumerate(_REST)}}
_CHARACTER_TO_BYTE = {c: b for b, c in BYTE_TO_CHARACTER.items()}


@dataclass(frozen=True)
class Merge:
    """One step of encoding a piece: `left` + `right` became `token`, merge number `rank` (0 first); `parts` is left."""

    rank: int
    left: bytes
    right: bytes
    token: bytes
    parts: tuple


class BPE:
    """A byte-level BPE vocabulary: `token_bytes` (id → bytes), `ranks` ((id, id) → rank), `eos_token_id`.

    `special_tokens` {text: id} are never learnt, cut or merged: `<|endoftext|>`, and others where a model has them.
    """

    def __init__(self, token_bytes, merges, eos_token_id, special_token_ids=()):
        """Take the bytes of each id, the merges as (id, id, merged id) in the order learnt, and the special ids.

        `special_token_ids`: those beside `eos_token_id`, if there are any.
        """
        self.token_bytes = list(token_bytes)
        self.eos_token_id = eos_token_id
        self.special_tokens = {self.token_bytes[i].decode(): i for i in (eos_token_id, *special_token_ids)}
        self._special = _pattern(self.special_tokens)
        self.ranks = {(a, b): rank for rank, (a, b, _) in enumerate(merges)}
        self._merged = [new for _, _, new in merges]
        special = set(self.special_tokens.values())
        ids = {b: i for i, b in enumerate(self.token_bytes) if i not in special}
        self._byte_ids = [ids[bytes([b])] for b in range(256)]
        self._cache = {}

    def __len__(self):
        return len(self.token_bytes)

    def __repr__(self):
        special = " + ".join(self.special_tokens)
        return f"BPE({len(self):,} tokens = 256 bytes + {len(self.ranks):,} merges + {special})"

    @classmethod
    def train(cls, text, num_merges, *, special_tokens=(END_OF_TEXT,)):
        """Learn up to `num_merges` merges from `text`: each joins the most frequent neighbours inside pieces.

        Among equally frequent pairs the one with the smaller ids wins, as in Hugging Face's tokenizers; Sennrich's
        script and others take the larger pair, so their merges differ from the first tie on. Learning stops early when
        every piece is one token. `special_tokens` in the text separate what stands around them and get the last ids;
        the first of them ends a text. Raises ValueError for a negative `num_merges`, a lone surrogate, or special
        tokens that are none, equal, or shorter than two bytes.
        """
        if operator.index(num_merges) < 0:
            raise ValueError(f"num_merges is {num_merges}; it counts the merges to learn, so 0 or more is needed.")
        special_tokens = _checked_special(special_tokens)
        parts = _pattern(special_tokens).split(_checked(text))[::2]  # what stands between special tokens
        counts = Counter(piece for part in parts for piece in _PIECES.findall(part))
        place = {b: i for i, b in enumerate(BYTE_ORDER)}
        words = [([place[b] for b in piece.encode()], times) for piece, times in counts.items()]
        merges = merging.learn(words, num_merges, first_id=len(place))
        token_bytes = [bytes([b]) for b in BYTE_ORDER]
        for a, b, _ in merges:
            token_bytes.append(token_bytes[a] + token_bytes[b])
        ids = range(len(token_bytes), len(token_bytes) + len(special_tokens))
        return cls([*token_bytes, *(t.encode() for t in special_tokens)], merges, ids[0], ids[1:])

    @classmethod
    def from_files(cls, vocab_json, merges_txt, *, special_tokens=(END_OF_TEXT,)):
        """Read GPT-2's two files; the merges may begin with a `#version` line or with the first merge at once.

        `special_tokens` names the special ones in the vocabulary; the first of them ends a text. Raises ValueError,
        with the line, where the files do not fit together.
        """
        try:
            vocab = json.loads(Path(vocab_json).read_text("utf-8-sig"))  # some editors put a byte order mark in front
        except ValueError as error:
            raise ValueError(f"{Path(vocab_json).name} is no JSON: {error}.") from None
        if not isinstance(vocab, dict) or not all(type(i) is int for i in vocab.values()):
            raise ValueError(f"{Path(vocab_json).name} should be one JSON object: each token with its id.")
        lines = Path(merges_txt).read_text("utf-8-sig").split("\n")
        first = 1 if lines[0].startswith("#version") else 0
        pairs = []
        for number, line in enumerate(lines[first:], first + 1):
            if line.strip():
                pairs.append(tuple(line.strip("\r").split(" ")))
                if len(pairs[-1]) != 2:
                    raise ValueError(f"line {number} of {Path(merges_txt).name} should hold two tokens, not {line!r}.")
        return cls._from_characters(vocab, pairs, special_tokens)

    def save(self, folder):
        """Write `vocab.json` and `merges.txt`, GPT-2's two files, into `folder`; return their paths.

        `from_files` and other libraries read them. Which tokens are special is not in them: where there are more than
        `<|endoftext|>`, name them to `from_files`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        vocab_json, merges_txt = folder / "vocab.json", folder / "merges.txt"
        special = set(self.special_tokens.values())
        names = [b.decode() if i in special else _written(b) for i, b in enumerate(self.token_bytes)]
        vocab_json.write_text(json.dumps({t: i for i, t in enumerate(names)}, ensure_ascii=False), "utf8")
        lines = ["#version: 0.2", *(f"{names[a]} {names[b]}" for a, b in self.ranks)]
        merges_txt.write_text("".join(f"{line}\n" for line in lines), "utf8", newline="\n")
        return vocab_json, merges_txt

    @classmethod
    def from_tokenizer(cls, tokenizer):
        """Take vocabulary and merges from a transformers GPT-2 tokenizer (which is not used afterwards).

        Its special tokens are taken too. Raises ValueError if it is no byte-level BPE, or if it has tokens that were
        added as ordinary words or that take white space with them.
        """
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        if state["model"]["type"] != "BPE":
            raise ValueError(f"this tokenizer is of type {state['model']['type']}; GPT-2's is a byte-level BPE.")
        for token in state["added_tokens"]:
            if not token["special"] or token["lstrip"] or token["rstrip"] or token["single_word"]:
                raise ValueError(
                    f"{token['content']!r} is no plain special token (it is an ordinary word, or it takes white space "
                    "or whole words only); this BPE has plain ones."
                )
        others = [token["content"] for token in state["added_tokens"] if token["content"] != tokenizer.eos_token]
        pairs = [tuple(pair) for pair in state["model"]["merges"]]
        return cls._from_characters(tokenizer.get_vocab(), pairs, [tokenizer.eos_token, *others])

    @classmethod
    def _from_characters(cls, vocab, pairs, special_tokens):
        if sorted(vocab.values()) != list(range(len(vocab))):
            raise ValueError(f"the vocabulary of {len(vocab):,} tokens should have the ids 0 to {len(vocab) - 1:,}.")
        special_tokens = _checked_special(special_tokens)
        missing = next((t for t in [*_CHARACTER_TO_BYTE, *special_tokens] if t not in vocab), None)
        missing = missing or next((t for a, b in pairs for t in (a, b, a + b) if t not in vocab), None)
        if missing:
            raise ValueError(f"the vocabulary lacks {missing!r}; vocabulary and merges do not belong together.")
        tokens = sorted(vocab, key=vocab.get)
        strange = next((t for t in tokens if t not in special_tokens and set(t) - _CHARACTER_TO_BYTE.keys()), None)
        if strange is not None:
            raise ValueError(f"the token {strange!r} is neither written in GPT-2's characters nor named as special.")
        token_bytes = [t.encode() if t in special_tokens else bytes(_CHARACTER_TO_BYTE[c] for c in t) for t in tokens]
        merges = [(vocab[a], vocab[b], vocab[a + b]) for a, b in pairs]
        return cls(token_bytes, merges, *(vocab[t] for t in special_tokens[:1]), [vocab[t] for t in special_tokens[1:]])

    @classmethod
    def gpt2(cls):
        """GPT-2's vocabulary, 50,257 tokens, bundled with the course."""
        return _bundled("gpt2-vocabulary")

    @classmethod
    def mini(cls):
        """gpt2-mini's vocabulary, 8,449 tokens: the bytes, GPT-2's first 8,192 merges, and the special token."""
        return _bundled("gpt2-mini")

    def split(self, text):
        """Cut `text` into pieces with GPT-2's pattern; joined, they are the text again."""
        return _PIECES.findall(_checked(text))

    def encode(self, text, *, split_special_tokens=False):
        """Return the ids of `text`, a list of int, the same as transformers' GPT-2 tokenizer.

        A special token in the text, as `<|endoftext|>`, is its one id (the longest counts where several begin), or
        plain text if `split_special_tokens`. Raises TypeError if `text` is no str, ValueError for a lone surrogate.
        Where the library's Unicode tables are older or newer than those of `regex`, characters that only one of them
        knows (2025 and later) may be cut differently.
        """
        parts = [_checked(text)] if split_special_tokens else self._special.split(_checked(text))
        ids = []
        for number, part in enumerate(parts):
            if number % 2:  # the pattern's group keeps what it cuts at
                ids.append(self.special_tokens[part])
                continue
            for piece in _PIECES.findall(part):
                ids += self._encode_piece(piece)
        return ids

    def encode_batch(self, texts, *, split_special_tokens=False):
        """Return the ids of each text: a list of lists. Raises TypeError if `texts` is one str; else as `encode`."""
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise TypeError(f"encode_batch takes a list of texts, not one {type(texts).__name__}: encode takes one.")
        return [self.encode(text, split_special_tokens=split_special_tokens) for text in texts]

    def decode(self, ids):
        """Return the text of `ids` (int, any iterable or 1-d tensor); bytes that are no UTF-8 become � (U+FFFD)."""
        return b"".join(self.token_bytes[self._known(i)] for i in ids).decode("utf8", errors="replace")

    def show(self, token_id):
        """Return one token as text; bytes that are no whole character appear as \\xf0 and so on."""
        return self.token_bytes[self._known(token_id)].decode("utf8", errors="backslashreplace")

    def explain(self, word):
        """Return the merges that encode one piece, in order: a list of `Merge`, [] if none applies.

        Raises ValueError if the pattern cuts `word` into more than one piece, or if it is empty.
        """
        pieces = self.split(word)
        if len(pieces) != 1:
            raise ValueError(f"explain takes one piece, but {word!r} is cut into {len(pieces)}: {pieces}. Take one.")
        parts, steps = [self._byte_ids[b] for b in word.encode()], []
        while found := [(self.ranks[p], p) for p in pairwise(parts) if p in self.ranks]:
            rank, pair = min(found)
            parts = merging.join(parts, pair, self._merged[rank])
            left, right = (self.token_bytes[i] for i in pair)
            steps.append(Merge(rank, left, right, left + right, tuple(self.token_bytes[i] for i in parts)))
        return steps

    def _known(self, token_id):
        try:
            token_id = operator.index(token_id)
        except TypeError:
            raise TypeError(f"a token id is a whole number, not {token_id!r}; decode takes one row of ids.") from None
        if not 0 <= token_id < len(self):
            raise ValueError(f"there is no token {token_id}: this vocabulary has the ids 0 to {len(self) - 1:,}.")
        return token_id

    def _encode_piece(self, piece):
        ids = self._cache.get(piece)
        if ids is None:
            ids = merging.apply([self._byte_ids[b] for b in piece.encode()], self.ranks, self._merged)
            if len(piece) <= _CACHED_LENGTH and len(self._cache) < _CACHED_PIECES:
                self._cache[piece] = ids
        return ids


@functools.cache
def _bundled(name):
    return BPE.from_files(ASSETS / name / "vocab.json", ASSETS / name / "merges.txt")


def _written(token):
    """Return bytes as the files write them."""
    return "".join(BYTE_TO_CHARACTER[b] for b in token)


def _pattern(special_tokens):
    """Return a pattern that finds special tokens, the longest where several begin at one place; it has one group."""
    return regex.compile(f"({'|'.join(map(regex.escape, sorted(special_tokens, key=len, reverse=True)))})")


def _checked_special(special_tokens):
    special_tokens = [special_tokens] if isinstance(special_tokens, str) else list(special_tokens)
    for token in special_tokens:
        if len(_checked(token).encode()) < 2:
            raise ValueError(f"the special token {token!r} is too short: a single byte is an ordinary token.")
    if not special_tokens or len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"at least one special token is needed, each once, not {special_tokens}.")
    return special_tokens


# The same algorithm, small and slow, as lesson 02 builds it. Tokens are str or bytes, and words are tuples of tokens.


def count_pairs(words):
    """Count neighbours in `words`, {tuple of tokens: how often it was read}; return a Counter {(a, b): count}."""
    counts = Counter()
    for parts, times in words.items():
        for pair in pairwise(parts):
            counts[pair] += times
    return counts


def merge(parts, pair):
    """Return the tuple `parts` with each `pair` joined into one token, from the left, without overlap."""
    return tuple(merging.join(parts, pair, pair[0] + pair[1]))


def learn(words, num_merges):
    """Return up to `num_merges` merges of `words` (as in `count_pairs`), a list of pairs in the order learnt.

    Among equally frequent pairs the one that was met first wins.
    """
    merges = []
    while len(merges) < num_merges and (counts := count_pairs(words)):
        merges.append(max(counts, key=counts.get))
        words = {merge(parts, merges[-1]): times for parts, times in words.items()}
    return merges


def apply_merges(parts, ranks):
    """Return the tuple `parts` after all known merges; `ranks` {(a, b): rank}, and the lowest rank goes first."""
    while known := [pair for pair in pairwise(parts) if pair in ranks]:
        parts = merge(parts, min(known, key=ranks.get))
    return tuple(parts)


def _checked(text):
    if not isinstance(text, str):
        raise TypeError(f"text should be a str, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"character {error.start} of the text is {text[error.start]!r}, a lone surrogate: half of a pair that "
            "UTF-16 uses for one character, so no character and without UTF-8 bytes. Remove or replace it first."
        ) from None
    return text
