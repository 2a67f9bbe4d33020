"""The passages that people wrote: all there, all of the books they name, none too short, and kept out of training."""

import re
import shutil
from collections import Counter

import pytest

import gpt2lessons as gl
from gpt2lessons import human
from gpt2lessons.checksums import MINI

PASSAGES = human.passages()


def test_there_are_eight_from_each_of_eight_books():
    books = Counter((p.author, p.title, p.year, p.part) for p in PASSAGES)
    assert set(books.values()) == {8}
    assert len(books) == len({author for author, *_ in books}) == 8
    assert Counter(part for *_, part in books) == {"children": 4, "others": 4}


def test_every_one_is_a_paragraph_of_its_own():
    assert len({p.text for p in PASSAGES}) == len({(p.title, p.paragraph) for p in PASSAGES}) == 64
    for p in PASSAGES:
        assert "\n" not in p.text
        assert p.text == p.text.strip()
        assert 67 <= len(p.text.split()) <= 155
        assert 1850 < p.year < 1925, "old enough for the public domain"


def test_the_parts_make_up_the_whole():
    assert human.passages("children") + human.passages("others") == PASSAGES
    assert {p.part for p in human.passages("others")} == {"others"}


def test_str_names_the_book():
    assert str(PASSAGES[0]) == "Howard Pyle, The Merry Adventures of Robin Hood (1883), paragraph 85"


def test_gpt2_mini_can_read_every_one(mini):
    for p in PASSAGES:
        ids = mini.encode(p.text)
        assert ids.shape[1] < mini.model.config.n_positions
        assert mini.decode(ids) == p.text


def test_they_are_reached_from_the_top():
    assert gl.human.passages() == PASSAGES


@pytest.mark.parametrize("part", ["child", "", 0, ["children"]])
def test_another_part_is_refused(part):
    with pytest.raises(ValueError, match="part is 'children' or 'others', or None for both"):
        human.passages(part)


@pytest.mark.parametrize(
    ("read", "file", "word", "what"),
    [
        (human.passages, "passages.json", "wicked", "the passages that people wrote are"),
        (human.translations, "jonah.json", "Nineveh", "the translations are"),
    ],
)
def test_a_changed_text_is_noticed(tmp_path, monkeypatch, read, file, word, what):
    shutil.copytree(human.FOLDER, tmp_path / "human")
    monkeypatch.setattr(human, "FOLDER", tmp_path / "human")
    path = tmp_path / "human" / file
    path.write_text(path.read_text("utf8").replace(word, "good", 1), "utf8")
    with pytest.raises(ValueError, match=rf"{what} incomplete or damaged: {file} is damaged.*Install the course again"):
        read()


def test_no_run_of_gpt2_mini_trained_on_these_authors():
    """The card lists every book that was trained on, with its author."""
    card = (MINI / "README.md").read_text("utf8")
    lists = re.findall(r"<summary>(.*?)</summary>(.*?)</details>", card, re.S)
    trained = [books for summary, books in lists if summary.endswith(", trained on")]
    assert len(trained) == 2
    assert "(Lewis Carroll)" in "".join(trained), "authors are named there"
    for p in PASSAGES:
        surname = p.author.split()[-1]
        assert not any(f"{surname})" in part for part in trained), p.author


def test_three_translations_go_verse_by_verse():
    found = human.translations()
    assert list(found) == ["King James Version (1769)", "American Standard Version (1901)", "Robert Young (1898)"]
    for verses in found.values():
        assert len(verses) == len(set(verses)) == 48
        assert verses[0].endswith(("saying,", "saying:"))
        assert "gourd" in verses[42], "4:6, the plant that God prepared"
        assert all(text.isascii() and not set(text) & set("[]`") for text in verses)
