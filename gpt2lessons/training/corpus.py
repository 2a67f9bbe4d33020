"""A corpus to train on: folders of text files, read, encoded, and dealt out as batches in an order fixed by a seed.

`DIR/children/*.txt`, `DIR/novels/*.txt` …: each folder is a *part*; `DIR/heldout/*.txt` is never trained on. Text files
that lie in DIR itself are one part, "texts". `DIR/manifest.json`, if there, gives each file its title and author.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gpt2lessons import checksums

HELD_OUT = "heldout"


@dataclass(frozen=True)
class Book:
    """One text file: where it lies, the part it belongs to, title and author (the file's name and "" if unknown)."""

    path: Path
    part: str
    title: str
    author: str

    def read(self):
        """Return the text; `ValueError` if the file is no UTF-8."""
        try:
            return self.path.read_text("utf8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path.name} is no UTF-8 text (byte {error.start}). Convert it, or take it out of the corpus."
            ) from None


def books(folder):
    """Return {part: [Book]} of a corpus folder, in the order of the file names; `ValueError` if there is no text."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}. A corpus is a folder of .txt files, or of such folders.")
    about = {}
    if (folder / "manifest.json").is_file():
        about = {(entry["split"], entry["file"]): entry for entry in json.loads((folder / "manifest.json").read_text())}
    found = {}
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*/*.txt")]):
        part = "texts" if path.parent == folder else path.parent.name
        entry = about.get((part, path.name), {})
        book = Book(path, part, entry.get("title", path.stem), entry.get("author", ""))
        found.setdefault(part, []).append(book)
    if not set(found) - {HELD_OUT}:
        raise ValueError(f"{str(folder)!r} holds no .txt file to train on. Put texts there, or into folders inside it.")
    return found


def encode(texts, bpe):
    """Return the ids of whole texts, one after the other with `<|endoftext|>` before each: an array (N,) of int32."""
    ids = []
    for text in texts:
        ids.append(np.array([bpe.eos_token_id, *bpe.encode(text)], dtype=np.int32))
    return np.concatenate(ids)


def encode_parts(folder, bpe, *, keep=None):
    """Return {part: ids (N,) int32} of everything to train on; `keep`, a folder, holds them for the next time.

    What was kept is used again only if no file has changed since.
    """
    parts = {}
    for part, found in books(folder).items():
        if part == HELD_OUT:
            continue
        state = [[book.path.name, checksums.digest(book.path)] for book in found] + [len(bpe)]
        file, note = (Path(keep or ".") / f"{part}.{ending}" for ending in ("npy", "json"))
        if keep and file.is_file() and note.is_file() and json.loads(note.read_text()) == state:
            parts[part] = np.load(file)
            continue
        parts[part] = encode((book.read() for book in found), bpe)
        if keep:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, parts[part])
            note.write_text(json.dumps(state))
    return parts


class Batches:
    """Batches for every step of a training, each a function of the seed and the step alone: no state to save.

    `parts`: {name: ids (N,)}; `shares`: {name: (share of the rows at the first step, at the last)}, by default in
    proportion to the parts' lengths. Each part is cut into stretches of `context` + 1 tokens (neighbours share one),
    which are dealt out in a random order, all once before any a second time, cut at other places each time round.
    """

    def __init__(self, parts, *, rows, context, steps, shares=None, seed=0):
        parts = {name: np.asarray(ids) for name, ids in parts.items()}
        if short := [name for name, ids in parts.items() if len(ids) < 2 * context + 1]:
            raise ValueError(
                f"part {short[0]!r} has {len(parts[short[0]]):,} tokens, but a context of {context:,} needs at least "
                f"{2 * context + 1:,}. Give more text or a shorter context."
            )
        shares = shares or {name: (len(ids), len(ids)) for name, ids in parts.items()}
        if wrong := sorted(shares.keys() ^ parts.keys()):
            raise ValueError(
                f"shares name {', '.join(shares)}; the corpus has {', '.join(parts)}: {wrong[0]!r} differs."
            )
        if min(share for pair in shares.values() for share in pair) < 0 or not all(
            map(sum, zip(*shares.values(), strict=False))
        ):
            raise ValueError(f"shares are at least 0 and not all 0, at the first step and at the last, not {shares}.")
        self.parts, self.rows, self.context, self.steps, self.seed = parts, rows, context, steps, seed
        totals = [sum(pair[end] for pair in shares.values()) for end in (0, 1)]
        self._shares = {name: (pair[0] / totals[0], pair[1] / totals[1]) for name, pair in shares.items()}
        self._order = {}

    def share(self, part, step):
        """Return the share of rows that `part` has at `step`, from its first share to its last in a straight line."""
        first, last = self._shares[part]
        return first + (last - first) * step / max(1, self.steps - 1)

    def counts(self, step):
        """Return {part: number of rows} of `step`: the shares, rounded so that nothing is lost over the steps."""
        counts, *_, last = {}, *self.parts
        for part in self.parts:
            left = self.rows - sum(counts.values())
            due = self._dealt(part, step + 1) - self._dealt(part, step)
            counts[part] = left if part == last else min(left, due)
        return counts

    def __getitem__(self, step):
        """Return the rows of `step`, LongTensor (rows, context + 1): inputs are [:, :-1], targets [:, 1:]."""
        if not 0 <= step < self.steps:
            raise IndexError(f"there are the steps 0 to {self.steps - 1}, not {step}.")
        rows = []
        for part, count in self.counts(step).items():
            first = self._dealt(part, step)
            rows += [self._row(part, number) for number in range(first, first + count)]
        order = np.random.default_rng((self.seed, step)).permutation(len(rows))
        return torch.from_numpy(np.stack([rows[i] for i in order]).astype(np.int64))

    def __len__(self):
        return self.steps

    def _dealt(self, part, step):
        """Return how many rows of `part` were dealt out before `step`: its shares, rounded down; the last: the rest."""
        *others, rest = self.parts
        if part == rest:
            return self.rows * step - sum(self._dealt(other, step) for other in others)
        first, last = self._shares[part]
        slope = (last - first) / max(1, self.steps - 1)
        return int(self.rows * (first * step + slope * step * (step - 1) / 2) + 1e-6)

    def _row(self, part, number):
        ids, place = self.parts[part], list(self.parts).index(part)
        stretches = (len(ids) - 1) // self.context - 1  # one less, so that the cut has room to move
        turn, within = divmod(number, stretches)
        if (part, turn) not in self._order:
            generator = np.random.default_rng((self.seed, place, turn, 1))
            self._order[part, turn] = generator.permutation(stretches), int(generator.integers(self.context))
        order, shift = self._order[part, turn]
        start = shift + int(order[within]) * self.context
        return ids[start : start + self.context + 1]
