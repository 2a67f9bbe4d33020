"""The country: a language of 3,456 sentences, all equally likely, so that a model's loss has a truth beside it.

"the young queen hid her golden ring at night. ": lesson 12 trains on it.
What can be known about the next letter follows by counting; no model is needed.
"""

import itertools
import random
import re
from collections import Counter

import torch

from gpt2lessons.adapters import device_of
from gpt2lessons.decoding import generation

OWNERS = dict.fromkeys(["king", "prince", "farmer", "wizard"], "his")
OWNERS |= dict.fromkeys(["queen", "girl", "witch", "sister"], "her")
AGES = ("", "old ", "young ")
VERBS = ("lost", "found", "hid", "sold")
LOOKS = ("", "golden ", "little ")
THINGS = ("key", "ring", "book", "horse")
PLACES = ("", " at night", " in the forest")
KINDS = ("free", "forced", "his or her")

SENTENCES = tuple(
    f"the {age}{owner} {verb} {OWNERS[owner]} {look}{thing}{place}. "
    for age, owner, verb, look, thing, place in itertools.product(AGES, OWNERS, VERBS, LOOKS, THINGS, PLACES)
)
_SET = frozenset(SENTENCES)
_BEGINNINGS = Counter(sentence[:end] for sentence in SENTENCES for end in range(len(sentence) + 1))


def tell(count, seed):
    """Return a text of `count` random sentences, always the same ones for a `seed`. ValueError if it has none."""
    if count < 1:
        raise ValueError(f"count is the number of sentences, at least 1, not {count}.")
    return "".join(random.Random(seed).choices(SENTENCES, k=count))


def babble(model, bpe, *, length=48):
    """Return what a model of bytes writes after the end of a sentence; the same random numbers for every model."""
    start = torch.tensor([bpe.encode(". ")], device=device_of(model))
    generator = torch.Generator("cpu").manual_seed(0)
    out = generation.generate(model, start, max_new_tokens=length, do_sample=True, generator=generator)
    return bpe.decode(out.new_tokens[0].tolist())


def kinds(text):
    """Return one of `KINDS` for each letter of `text`, whole sentences of the country.

    "free": several letters can follow what the sentence has said so far.
    "his or her": the second letter of that word, which the owner decides.
    "forced": any other letter that is the only possible one.
    Raises ValueError for what is no sentence of the country.
    """
    found = []
    for sentence in re.findall(r"[^.]*\. |.+", text):
        _demand(sentence)
        owner = re.search(r" h([ie])[sr] ", sentence).start(1)
        for place in range(len(sentence)):
            forced = _BEGINNINGS[sentence[: place + 1]] == _BEGINNINGS[sentence[:place]]
            found.append("his or her" if place == owner else "forced" if forced else "free")
    return found


def question(sentence):
    """Return (prompt, answer): the sentence with a question about its owner, and " the queen.".

    Raises ValueError for what is no sentence of the country.
    """
    _demand(sentence)
    owner, verb = re.match(r"the (?:old |young )?(\w+) (\w+)", sentence).groups()
    return f"{sentence}Who {verb} it?", f" the {owner}."


def _demand(sentence):
    if sentence not in _SET:
        raise ValueError(f"{sentence!r:.80} is no sentence of the country. Give whole ones, as `tell` does.")
