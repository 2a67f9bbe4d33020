"""Byte-level byte-pair encoding, GPT-2's tokenizer, from scratch: learn merges, encode, decode, show each merge.

A text is cut into pieces by a regular expression, a piece becomes its UTF-8 bytes, and neighbouring tokens are merged,
the pair that was learnt first before all others, until no pair is left that was ever learnt. Every byte is a
token by itself, so every text can be encoded. Sources: Sennrich et al. 2016 (merging), Radford et al. 2019, section
2.2 (bytes). Ids, merges and the cut are those of the files that OpenAI published.
"""

import functools
import heapq
import json
import operator
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import regex

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
    """A byte-level BPE vocabulary: `token_bytes` (id → bytes), `ranks` ((id, id) → rank), `eos_token_id`."""

    def __init__(self, token_bytes, merges, eos_token_id):
        """Take the bytes of each id, the merges as (id, id, merged id) in the order learnt, and the special id."""
        self.token_bytes = list(token_bytes)
        self.eos_token_id = eos_token_id
        self.ranks = {(a, b): rank for rank, (a, b, _) in enumerate(merges)}
        self._merged = [new for _, _, new in merges]
        ids = {b: i for i, b in enumerate(self.token_bytes) if i != eos_token_id}
        self._byte_ids = [ids[bytes([b])] for b in range(256)]
        self._cache = {}

    def __len__(self):
        return len(self.token_bytes)

    def __repr__(self):
        return f"BPE({len(self):,} tokens = 256 bytes + {len(self.ranks):,} merges + {END_OF_TEXT})"

    @classmethod
    def train(cls, text, num_merges):
        """Learn up to `num_merges` merges from `text`: each joins the most frequent neighbours inside pieces.

        Among equally frequent pairs the one with the smaller ids wins. Learning stops early when every
        piece is one token. Raises ValueError for a negative `num_merges` or a lone surrogate.
        """
        if operator.index(num_merges) < 0:
            raise ValueError(f"num_merges is {num_merges}; it counts the merges to learn, so 0 or more is needed.")
        token_bytes = [bytes([b]) for b in BYTE_ORDER]
        place = {b: i for i, b in enumerate(BYTE_ORDER)}
        counts = Counter(p for part in _checked(text).split(END_OF_TEXT) for p in _PIECES.findall(part))
        words, merges = [[place[b] for b in piece.encode()] for piece in counts], []
        times, pair_counts, found_in = list(counts.values()), Counter(), defaultdict(set)

        def count(index, sign):
            for pair in pairwise(words[index]):
                pair_counts[pair] += sign * times[index]
                found_in[pair].add(index)

        for index in range(len(words)):
            count(index, +1)
        heap = [(-n, pair) for pair, n in pair_counts.items()]
        heapq.heapify(heap)
        while heap and len(merges) < num_merges:
            n, pair = heapq.heappop(heap)
            if -n != pair_counts[pair]:  # an old count: a pair only gets rarer after the step that made it
                if pair_counts[pair] > 0:
                    heapq.heappush(heap, (-pair_counts[pair], pair))
                continue
            new = len(token_bytes)
            token_bytes.append(token_bytes[pair[0]] + token_bytes[pair[1]])
            merges.append((*pair, new))
            made = set()
            for index in found_in.pop(pair):
                count(index, -1)
                words[index] = _join(words[index], pair, new)
                count(index, +1)
                made.update(p for p in pairwise(words[index]) if new in p)
            for p in made:
                heapq.heappush(heap, (-pair_counts[p], p))
        return cls([*token_bytes, END_OF_TEXT.encode()], merges, len(token_bytes))

    @classmethod
    def from_files(cls, vocab_json, merges_txt):
        """Read GPT-2's two files; the merges may begin with a `#version` line or with the first merge at once.

        Raises ValueError, with the line, where the files do not fit together.
        """
        vocab = json.loads(Path(vocab_json).read_text("utf8"))
        lines = Path(merges_txt).read_text("utf8").split("\n")
        first = 1 if lines[0].startswith("#version") else 0
        pairs = []
        for number, line in enumerate(lines[first:], first + 1):
            if line.strip():
                pairs.append(tuple(line.strip("\r").split(" ")))
                if len(pairs[-1]) != 2:
                    raise ValueError(f"line {number} of {Path(merges_txt).name} should hold two tokens, not {line!r}.")
        return cls._from_characters(vocab, pairs)

    @classmethod
    def from_tokenizer(cls, tokenizer):
        """Take vocabulary and merges from a transformers GPT-2 tokenizer (which is not used afterwards)."""
        merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
        return cls._from_characters(tokenizer.get_vocab(), [tuple(pair) for pair in merges])

    @classmethod
    def _from_characters(cls, vocab, pairs):
        if sorted(vocab.values()) != list(range(len(vocab))):
            raise ValueError(f"the vocabulary of {len(vocab):,} tokens should have the ids 0 to {len(vocab) - 1:,}.")
        missing = next((t for t in [*_CHARACTER_TO_BYTE, END_OF_TEXT] if t not in vocab), None)
        missing = missing or next((t for a, b in pairs for t in (a, b, a + b) if t not in vocab), None)
        if missing:
            raise ValueError(f"the vocabulary lacks {missing!r}; vocabulary and merges do not belong together.")
        tokens = sorted(vocab, key=vocab.get)
        token_bytes = [t.encode() if t == END_OF_TEXT else bytes(_CHARACTER_TO_BYTE[c] for c in t) for t in tokens]
        return cls(token_bytes, [(vocab[a], vocab[b], vocab[a + b]) for a, b in pairs], vocab[END_OF_TEXT])

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

        `<|endoftext|>` in the text is the one special id, or plain text if `split_special_tokens`. Raises TypeError
        if `text` is no str, ValueError for a lone surrogate. Where the library's Unicode tables are older or newer
        than those of `regex`, characters that only one of them knows (2025 and later) may be cut differently.
        """
        parts = [_checked(text)] if split_special_tokens else _checked(text).split(END_OF_TEXT)
        ids = []
        for number, part in enumerate(parts):
            if number:
                ids.append(self.eos_token_id)
            for piece in _PIECES.findall(part):
                ids += self._encode_piece(piece)
        return ids

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
            parts = _join(parts, pair, self._merged[rank])
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
            ids = self._merge([self._byte_ids[b] for b in piece.encode()])
            if len(piece) <= _CACHED_LENGTH and len(self._cache) < _CACHED_PIECES:
                self._cache[piece] = ids
        return ids

    def _merge(self, ids):
        """Merge a piece in n log n steps: a heap of possible merges (rank, place) over a doubly linked list.

        Looking through the whole piece after each merge, as `explain` does, takes a step for every token and every
        different merge: minutes for a "word" of 100,000 mixed letters. Here a merge only touches its two
        neighbours. An entry of the heap is stale when its place was swallowed or holds another pair by now.
        """
        ranks, merged, end = self.ranks, self._merged, len(ids)
        before, after = list(range(-1, end - 1)), list(range(1, end + 1))
        heap = [(ranks[p], i) for i, p in enumerate(pairwise(ids)) if p in ranks]
        heapq.heapify(heap)
        while heap:
            rank, i = heapq.heappop(heap)
            j = after[i]
            if j == end or ranks.get((ids[i], ids[j])) != rank:
                continue
            ids[i], ids[j] = merged[rank], None  # None marks the swallowed place: no pair with it has a rank
            k = after[i] = after[j]
            if k < end:
                before[k] = i
            for a, b in ((before[i], i), (i, k)):
                if a >= 0 and b < end and (new := ranks.get((ids[a], ids[b]))) is not None:
                    heapq.heappush(heap, (new, a))
        return [i for i in ids if i is not None]


@functools.cache
def _bundled(name):
    return BPE.from_files(ASSETS / name / "vocab.json", ASSETS / name / "merges.txt")


def _join(parts, pair, new):
    """Return `parts` with each `pair`, from left to right and without overlap, replaced by `new`."""
    joined, i = [], 0
    while i < len(parts):
        found = tuple(parts[i : i + 2]) == pair
        joined.append(new if found else parts[i])
        i += 2 if found else 1
    return joined


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
