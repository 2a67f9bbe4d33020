"""Checksums of files: is what lies here what was put here? And where the bundled files lie."""

import hashlib
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
MINI = ASSETS / "gpt2-mini"


def digest(path, *, git=False):
    """Return the SHA-256 of a file in hexadecimal, or the name that git gives its content (SHA-1) if `git`."""
    found = hashlib.sha256()
    if git:
        found = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def demand(folder, what):
    """Raise `ValueError` if a file of `folder` is not as its SHA256SUMS says; `what`: "the model is", for example."""
    if found := faults(folder):
        raise ValueError(f"{what} incomplete or damaged: {found[0]}. Install the course again.")


def faults(folder):
    """Return a sentence for each file that `folder`/SHA256SUMS lists and that is missing or damaged; [] if none is."""
    sentences = []
    for line in (folder / "SHA256SUMS").read_text("utf8").splitlines():
        wanted, name = line.split()
        if not (folder / name).is_file():
            sentences.append(f"{name} is missing")
        elif (have := digest(folder / name)) != wanted:
            sentences.append(f"{name} is damaged (SHA-256 {have[:12]}…, should be {wanted[:12]}…)")
    return sentences
