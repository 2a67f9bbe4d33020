"""Language models small enough to enumerate: four to nine words, a table of probabilities, exact answers.

A `ToyModel` is a callable `input_ids (B, T) -> logits (B, T, V)`, so every loop of the course takes it like a GPT-2.
What it says about itself is computed in fractions, by enumeration, and shares no code with the rest of the package:
that makes it the judge of processors, generation, beam search and scoring.
"""

import math
import random
from fractions import Fraction

import torch

from gpt2lessons.exact import Continuation, log, sampler_probs


class ToyModel:
    """A language model given by a table: P(next word | the last words).

    `words` are 4 to 9 names without spaces. `table` maps a context ("the", or several words "the cat") to
    {word: probability}; the longest context that the text ends with is used, and the context "" stands for every
    other text. Probabilities are exact: 0.4 is read as 4/10, and each row must sum to one. `eos` is the word
    after which a text is finished, if there is one.
    """

    def __init__(self, words, table, *, eos=None, name="toy"):
        self.words, self.name = list(words), name
        if not 4 <= len(self.words) <= 9:
            raise ValueError(f"a toy model has 4 to 9 words, not {len(self.words)}")
        if len(set(self.words)) < len(self.words) or any(w.split() != [w] for w in self.words):
            raise ValueError(f"words must differ from each other and contain no space: {self.words}")
        self.eos_token_id = None if eos is None else self.id_of(eos)
        self._rows = {self._ids(context): self._row(context, row) for context, row in table.items()}
        missing = [] if () in self._rows else [w for w in self.words if (self.id_of(w),) not in self._rows]
        if missing:
            raise ValueError(f"no row for a text that ends with {missing}; add one, or a row for the context ''")

    @property
    def vocab_size(self):
        """V, the number of words."""
        return len(self.words)

    def __call__(self, input_ids):
        """Return the logits (B, T, V), float64: the log-probabilities of the next word after each position."""
        if input_ids.ndim != 2 or input_ids.shape[1] == 0:
            raise ValueError(f"input_ids must have shape (B, T) with T >= 1, not {tuple(input_ids.shape)}")
        rows = [[self._at(row[: t + 1]) for t in range(len(row))] for row in map(self._ids, input_ids.tolist())]
        return torch.tensor(rows, dtype=torch.float64, device=input_ids.device).log()

    def encode(self, text):
        """Return the ids of the words in `text`, LongTensor (1, T), on the CPU."""
        return torch.tensor([self._ids(text)], dtype=torch.long, device="cpu")

    def decode(self, ids):
        """Return the words of `ids` (a sequence or one row of a tensor), joined by spaces."""
        return " ".join(self.words[i] for i in self._ids(ids))

    def id_of(self, word):
        """Return the id of `word`; `ValueError` names the words there are."""
        if word not in self.words:
            raise ValueError(f"{word!r} is not one of the words {self.words}")
        return self.words.index(word)

    def next_probs(self, prompt, **settings):
        """Return the exact P(next word | prompt) as {word: probability}, words with probability 0 left out.

        `settings` turn it into what a sampler draws from: `temperature, top_k, top_p, min_p, typical_p, epsilon`,
        applied in this order, renormalised after each (Fractions, floats once a temperature is set).
        """
        probs = sampler_probs(self._at(self._ids(prompt)), **settings)
        return {w: p for w, p in zip(self.words, probs, strict=True) if p}

    def continuations(self, prompt, length, **settings):
        """Return every possible `Continuation` of `length` words, the most probable first; they sum to 1.

        One that reaches `eos` earlier ends there. With `settings` (see `next_probs`) `prob` is the probability
        that this sampler writes it.
        """
        start = self._ids(prompt)
        if length < 1 or self.vocab_size**length > 600_000:
            raise ValueError(f"length must be at least 1 and leave at most 600,000 texts to enumerate, not {length}")
        ended, open_ = [], [((), Fraction(1))]
        for _ in range(length):
            grown = []
            for ids, prob in open_:
                row = sampler_probs(self._at(start + ids), **settings)
                grown += [((*ids, i), prob * p) for i, p in enumerate(row) if p]
            ended += [c for c in grown if c[0][-1] == self.eos_token_id]
            open_ = [c for c in grown if c[0][-1] != self.eos_token_id]
        found = [Continuation(ids, tuple(self.words[i] for i in ids), prob) for ids, prob in ended + open_]
        return sorted(found, key=lambda c: (-c.prob, c.ids))

    def best_sequence(self, prompt, length, *, length_penalty=0.0):
        """Return the `Continuation` with the best score among all of them: what no search can beat.

        With the default `length_penalty` 0 that is the most probable one.
        """
        return max(self.continuations(prompt, length), key=lambda c: (c.score(length_penalty), [-i for i in c.ids]))

    def greedy(self, prompt, length):
        """Return the `Continuation` that takes the most probable word at each step (the first, if several tie)."""
        ids, start = [], self._ids(prompt)
        while len(ids) < length and (not ids or ids[-1] != self.eos_token_id):
            row = self._at((*start, *ids))
            ids.append(row.index(max(row)))
        return self.continuation(prompt, ids)

    def continuation(self, prompt, new):
        """Return the `Continuation` that writes `new` (text or ids) after `prompt`, with its exact probability."""
        start, ids = self._ids(prompt), self._ids(new)
        prob = math.prod((self._at((*start, *ids[:t]))[i] for t, i in enumerate(ids)), start=Fraction(1))
        return Continuation(ids, tuple(self.words[i] for i in ids), prob)

    def entropy(self, prompt, **settings):
        """Return the entropy of the next word in nats; with `settings`, of what the sampler draws from."""
        return -sum(float(p) * log(p) for p in self.next_probs(prompt, **settings).values())

    def expected_surprisal(self, prompt, length=1, **settings):
        """Return the mean surprisal per new word, in nats under the model itself, of texts that a sampler writes.

        Exact: each text of `length` words (or up to `eos`) counts with the sampler's probability.
        """
        drawn = self.continuations(prompt, length, **settings)
        return sum(-float(c.prob) * self.continuation(prompt, c.ids).score() for c in drawn)

    def _row(self, context, row):
        probs = [Fraction(0)] * self.vocab_size
        for word, p in row.items():
            probs[self.id_of(word)] = Fraction(str(p))
        if min(probs) < 0 or sum(probs) != 1:
            raise ValueError(
                f"the row after {context!r} must be probabilities that sum to 1, not {float(sum(probs)):g}"
            )
        return probs

    def _at(self, ids):
        return next(self._rows[ids[start:]] for start in range(len(ids) + 1) if ids[start:] in self._rows)

    def _ids(self, text):
        if isinstance(text, str):
            return tuple(self.id_of(word) for word in text.split())
        ids = tuple(int(i) for i in (text.flatten() if isinstance(text, torch.Tensor) else text))
        if any(not 0 <= i < self.vocab_size for i in ids):
            raise ValueError(f"ids must be from 0 to {self.vocab_size - 1}, not {list(ids)}")
        return ids

    def __repr__(self):
        return f"ToyModel({self.name!r}, words={self.words})"


def random_toy(seed, *, vocab_size=5, context=1, eos=False):
    """Return a `ToyModel` with random probabilities for every context of `context` words, the same for each `seed`."""
    draw = random.Random(seed)
    words = [f"w{i}" for i in range(vocab_size)]
    contexts = [()]
    for _ in range(context):
        contexts = [(*c, w) for c in contexts for w in words]
    table = {"": dict.fromkeys(words, Fraction(1, vocab_size))}
    for words_before in contexts:
        weights = draw.sample(range(1, 100), vocab_size)  # all different: no ties
        row = {w: Fraction(n, sum(weights)) for w, n in zip(words, weights, strict=True)}
        table[" ".join(words_before)] = row
    return ToyModel(words, table, eos=words[-1] if eos else None, name=f"random {seed}")


# Greedy loses: after "the", two words: "cat sat" has 0.20, "storm broke" 0.36.
GREEDY_LOSES = ToyModel(
    ["the", "cat", "storm", "end", "sat", "ran", "slept", "broke"],
    {
        "the": {"cat": 0.5, "storm": 0.4, "end": 0.1},
        "cat": {"sat": 0.4, "ran": 0.35, "slept": 0.25},
        "storm": {"broke": 0.9, "ran": 0.1},
        "": {"the": 1},
    },
    name="greedy loses",
)

# Beam search with two beams loses to greedy: after "the", three words. Greedy writes "fox ran home" (0.168), but
# "fox ran" is only third among the pairs, so two beams drop it and end with 0.092; three beams keep it.
BEAM_LOSES = ToyModel(
    ["the", "fox", "owl", "ran", "sat", "hid", "flew", "slept", "home"],
    {
        "the": {"fox": 0.55, "owl": 0.45},
        "fox": {"ran": 0.34, "sat": 0.33, "hid": 0.33},
        "owl": {"flew": 0.51, "slept": 0.49},
        "ran": {"home": 0.9, "the": 0.1},
        "flew": {"home": 0.4, "the": 0.3, "sat": 0.3},
        "slept": {"the": 0.4, "home": 0.3, "hid": 0.3},
        "": {"home": 0.4, "the": 0.3, "fox": 0.3},
    },
    name="beam loses",
)

# Greedy loops: "I am sure that I am sure that I …".
LOOPS = ToyModel(
    ["I", "am", "sure", "that", "you", "are", "not", "here"],
    {
        "I": {"am": 0.9, "sure": 0.1},
        "am": {"sure": 0.5, "not": 0.3, "here": 0.2},
        "sure": {"that": 0.7, "not": 0.3},
        "that": {"I": 0.6, "you": 0.4},
        "you": {"are": 1},
        "are": {"not": 0.5, "here": 0.5},
        "not": {"sure": 0.5, "here": 0.5},
        "here": {"I": 0.5, "you": 0.5},
    },
    name="loops",
)

# One peaked and one flat distribution: after "once" almost only "upon", after "a" six animals nearly alike.
PEAKED_AND_FLAT = ToyModel(
    ["once", "upon", "a", "cat", "dog", "fox", "hen", "owl", "king"],
    {
        "once": {"upon": 0.92, "a": 0.04, "cat": 0.015, "dog": 0.01, "fox": 0.009, "king": 0.006},
        "upon": {"a": 1},
        "a": {"cat": 0.19, "dog": 0.18, "fox": 0.17, "hen": 0.16, "owl": 0.155, "king": 0.145},
        "": {"once": 1},
    },
    name="peaked and flat",
)

# What comes next depends on the last two words: "am not" and "are not" go on differently. "." ends a text.
TWO_WORDS = ToyModel(
    ["I", "am", "you", "are", "not", "alone", "sure", "."],
    {
        "I": {"am": 1},
        "you": {"are": 1},
        "am": {"not": 0.6, "sure": 0.4},
        "are": {"not": 0.7, "alone": 0.3},
        "am not": {"sure": 0.8, "alone": 0.2},
        "are not": {"alone": 0.9, "sure": 0.1},
        "": {".": 0.7, "I": 0.15, "you": 0.15},
    },
    eos=".",
    name="two words",
)

# Stopping early costs: with two beams, early_stopping=True stops after "so go ." and never sees "so go on .".
EARLY_STOP = ToyModel(
    ["so", "go", "on", "now", "."],
    {
        "so": {"go": 0.6, ".": 0.25, "now": 0.15},
        "go": {"on": 0.7, ".": 0.3},
        "on": {".": 0.95, "now": 0.05},
        "now": {".": 0.5, "go": 0.5},
        ".": {"so": 1},
    },
    eos=".",
    name="early stop",
)
