"""Prose that people wrote, paragraph by paragraph: what a model's texts are compared with.

64 paragraphs, eight from each of eight books by eight authors, all in the public domain.
gpt2-mini has read nothing by these authors: the books are its clean held-out texts.
So train on neither the paragraphs nor the books, or the comparison is spoilt.

And one story that three translators put into English, verse by verse: several right answers.
"""

import json
from dataclasses import dataclass

from gpt2lessons import checksums

FOLDER = checksums.ASSETS / "human"
PARTS = ("children", "others")


@dataclass(frozen=True)
class Passage:
    """A paragraph of 67 to 155 words; `str(passage)` names its book.

    `text`; `title` and `author` of the book, and the `year` in which it appeared;
    `part`, "children" for a book for children, else "others"; `paragraph`, its number in the book.
    """

    text: str
    title: str
    author: str
    year: int
    part: str
    paragraph: int

    def __str__(self):
        return f"{self.author}, {self.title} ({self.year}), paragraph {self.paragraph}"


def passages(part=None):
    """Return the paragraphs, book by book, as a tuple of `Passage`s: all, or those of one of `PARTS`.

    Raises `ValueError` for another part.
    """
    if part is not None and part not in PARTS:
        raise ValueError(f"part is 'children' or 'others', or None for both, not {part!r}.")
    checksums.demand(FOLDER, "the passages that people wrote are")
    entries = json.loads((FOLDER / "passages.json").read_text("utf8"))
    found = (Passage(**{"part": entry.pop("split")} | entry) for entry in entries)
    return tuple(passage for passage in found if part in (None, passage.part))


def translations():
    """Return the book of Jonah, verse by verse, in three English translations: {name: 48 verses}.

    The names say whose translation it is and of which year; verse i of one is verse i of the others.
    The American Standard Version of 1901 is a revision of the King James Version, so they are close.
    Robert Young translated anew, word for word where he could. All are in the public domain.
    """
    checksums.demand(FOLDER, "the translations are")
    entries = json.loads((FOLDER / "jonah.json").read_text("utf8"))["translations"]
    return {f"{entry['name']} ({entry['year']})": tuple(entry["verses"]) for entry in entries}
