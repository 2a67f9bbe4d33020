"""A corpus to train on: text files, read, encoded, and dealt out as batches in an order fixed by a seed.

It lies in a folder or in an archive (.tar, .tar.gz, .tar.xz, .zip), or in several, which add up.
`children/*.txt`, `novels/*.txt` …: each folder inside is a *part*; text files outside any are one part, "texts".
`heldout/*.txt` and `validation/*.txt` are never trained on: the first are for the final measurement alone,
the second are looked at while a training runs.
`manifest.json`, if there, gives each file its title and author.
"""

import functools
import json
import lzma
import math
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from gpt2lessons import checksums

HELD_OUT, VALIDATION = "heldout", "validation"
KEPT_OUT = (HELD_OUT, VALIDATION)


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


def books(sources):
    """Return {part: [Book]} of a corpus, in the order of the file names within each source.

    `sources`: the path of a folder or of an archive, or a list of such paths; an archive is unpacked for this session.
    Raises `ValueError` if there is no text to train on, or for what is neither a folder nor an archive.
    """
    found = {}
    for folder in _folders(sources):
        for book in _books_in(folder):
            found.setdefault(book.part, []).append(book)
    if not set(found) - set(KEPT_OUT):
        named = ", ".join(repr(str(source)) for source in _listed(sources))
        raise ValueError(f"{named}: no .txt file to train on. Put texts there, or into folders inside it.")
    return found


def authors_of(found):
    """Return the names of the authors, those that are known, of {part: [Book]}: of what is trained on."""
    some = (book for part, some in found.items() if part not in KEPT_OUT for book in some)
    return {book.author for book in some} - {""}


def demand_new_authors(found, kept_out):
    """Raise `ValueError` if one author has a book in `kept_out` and one that is trained on, both {part: [Book]}."""
    read = authors_of(found)
    for book in (book for some in kept_out.values() for book in some):
        if book.author in read:
            raise ValueError(
                f"{book.title!r} is to be held out, but the corpus trains on other texts by {book.author}, whose way "
                "of writing the model would then know. Hold out books by authors of whom it reads nothing."
            )


def encode(texts, bpe):
    """Return the ids of whole texts, one after the other with `<|endoftext|>` before each: an array (N,) of int32."""
    ids = []
    for text in texts:
        ids.append(np.array([bpe.eos_token_id, *bpe.encode(text)], dtype=np.int32))
    return np.concatenate(ids)


def answer_rows(pairs, encode):
    """Return (ids, labels), both LongTensor (B, T), of `pairs` (prompt, answer): what to read, and what to learn.

    A label is the token itself in the answer and -100, which no loss counts, in the prompt and beyond the row's end.
    `encode` turns a text into ids (1, N), as `LanguageModel.encode` does. Raises ValueError if there is no pair.
    """
    pairs = [tuple(map(encode, pair)) for pair in pairs]
    if not pairs:
        raise ValueError("there is no pair to encode: give at least one (prompt, answer).")
    length = max(prompt.shape[1] + answer.shape[1] for prompt, answer in pairs)
    ids = pairs[0][0].new_zeros(len(pairs), length)
    labels = torch.full_like(ids, -100)
    for row, label, (prompt, answer) in zip(ids, labels, pairs, strict=True):
        start, end = prompt.shape[1], prompt.shape[1] + answer.shape[1]
        row[:end] = torch.cat([prompt, answer], 1)
        label[start:end] = answer
    return ids, labels


def encode_parts(sources, bpe, *, keep=None):
    """Return {part: ids (N,) int32} of everything to train on; `keep`, a folder, holds them for the next time.

    What was kept is used again only if no file has changed since.
    """
    parts = {}
    for part, found in books(sources).items():
        if part in KEPT_OUT:
            continue
        state = [[book.path.name, checksums.digest(book.path)] for book in found] + [len(bpe)]
        file, note = (Path(keep or ".") / f"{part}.{ending}" for ending in ("npy", "json"))
        if keep and file.is_file() and note.is_file() and json.loads(note.read_text("utf8")) == state:
            parts[part] = np.load(file)
            continue
        parts[part] = encode((book.read() for book in found), bpe)
        if keep:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, parts[part])
            note.write_text(json.dumps(state), "utf8")
    return parts


def _listed(sources):
    return [sources] if isinstance(sources, str | Path) else list(sources)


def _folders(sources):
    """Return the folder of each source; what an archive holds is unpacked once."""
    folders = []
    for path in map(Path, _listed(sources)):
        if path.is_dir():
            folders.append(path)
        elif path.is_file():
            folders.append(Path(_unpacked(path.resolve(), path.stat().st_mtime_ns).name))
        else:
            raise ValueError(
                f"there is no folder {str(path)!r}, and no archive. A corpus is a folder of .txt files, or of such "
                "folders, or a .tar, .tar.gz, .tar.xz or .zip of them."
            )
    return folders


def _books_in(folder):
    about = {}
    if (folder / "manifest.json").is_file():
        try:
            entries = json.loads((folder / "manifest.json").read_text("utf8"))
            about = {(entry["split"], entry["file"]): entry for entry in entries}
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{folder / 'manifest.json'} should be a JSON list of objects with split, file, title and author."
            ) from None
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*/*.txt")]):
        part = "texts" if path.parent == folder else path.parent.name
        entry = about.get((part, path.name), {})
        yield Book(path, part, entry.get("title") or path.stem, entry.get("author") or "")


@functools.cache
def _unpacked(path, changed):
    """Return a temporary folder, gone when this session ends, with the texts and the manifest of the archive `path`."""
    place = tempfile.TemporaryDirectory(prefix="gpt2lessons-corpus-")
    try:
        for name, data in _members(path):
            if file := _place(name):
                target = Path(place.name, *file)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(data)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as error:
        place.cleanup()
        reason = str(error).partition("\n")[0].rstrip(":")
        raise ValueError(
            f"{str(path)!r} cannot be unpacked: {reason}. It should be a .tar… or .zip of texts."
        ) from None
    return place


def _place(name):
    """Return (folder, file) or (file,) for a text or the manifest of an archive, None for what is not needed.

    Whatever an archive calls its members, nothing is written outside the folder that it is unpacked to.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")][-2:]
    if not parts or any(sign in part for part in parts for sign in "\\:"):
        return None
    if parts[-1] == "manifest.json":
        return parts[-1:]
    return parts if parts[-1].endswith(".txt") else None


def _members(path):
    """Yield the name and the bytes of every file in an archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist() if not name.endswith("/"))
        return
    with tarfile.open(path) as archive:
        yield from ((member.name, archive.extractfile(member).read()) for member in archive if member.isfile())


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
        fine = all(0 <= share < math.inf for pair in shares.values() for share in pair)
        if not fine or not all(map(sum, zip(*shares.values(), strict=False))):
            raise ValueError(
                f"shares are finite, at least 0 and not all 0, at the first step and at the last, not {shares}."
            )
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
