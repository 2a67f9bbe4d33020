"""The glossary: sorted, each term once and in one sentence, each link leads to a cell; its notebook is up to date."""

import html
import json
import re

import pytest

from gpt2lessons.workshop import glossary, notebooks

ENTRIES = glossary.entries()


def cells_of(path):
    return {cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text("utf8"))["cells"]}


def test_entries_have_their_fields_and_are_sorted_and_unique():
    assert len(ENTRIES) >= 12
    assert all(list(entry) == ["term", "meaning", "lesson", "cell"] for entry in ENTRIES)
    assert sorted(ENTRIES, key=glossary.order) == ENTRIES
    assert len({entry["term"].casefold() for entry in ENTRIES}) == len(ENTRIES)


def one_sentence(text):
    return re.fullmatch(r"[A-Z].*\.", text) is not None and not re.search(r"[.!?] +[A-Z]|\n", text)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["term"])
def test_meaning_is_one_sentence_and_its_cell_exists(entry):
    assert one_sentence(entry["meaning"])
    assert entry["cell"] in cells_of(notebooks.FOLDER / f"{entry['lesson']}.ipynb")


def test_one_sentence_is_told_from_more_or_less():
    assert one_sentence("The mean of 0.5 and e.g. 0.7.")
    for text in ("One. Two.", "a small letter.", "No stop", "Two\nlines."):
        assert not one_sentence(text)


def test_notebook_is_up_to_date_and_has_every_term_once_in_order():
    assert glossary.path().read_text("utf8") == glossary.text(), "run `python -m gpt2lessons index`"
    text = "\n".join(cells_of(glossary.path()).values())
    terms = [html.unescape(term) for term in re.findall(r'^<a id="([^"]*)"></a>\*\*', text, re.M)]
    assert terms == [glossary.anchor(entry["term"]) for entry in ENTRIES]
    letters = re.findall(r"^## (.)$", text, re.M)
    assert letters == sorted({entry["term"][0].upper() for entry in ENTRIES})


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Returns a function that makes the notebook of the given entries."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)

    def written(*entries):
        (tmp_path / "glossary.json").write_text(json.dumps(entries), "utf8")
        return json.loads(glossary.text())

    return written


def test_notebook_as_jupyter_writes_it(written):
    import nbformat

    made = written({"term": "KL <b>", "meaning": "A $p$.", "lesson": "deeper/two_words", "cell": "here"})
    nbformat.validate(nbformat.from_dict(made))
    text = notebooks.as_text(made)
    assert nbformat.writes(nbformat.reads(text, as_version=4)).rstrip("\n") + "\n" == text
    line = '<a id="KL-&lt;b&gt;"></a>**KL &lt;b&gt;**: A $p$. ([deeper/two words](deeper/two_words.ipynb#cell-id=here))'
    assert "".join(made["cells"][1]["source"]) == f"## K\n\n{line}"


def test_capital_letters_do_not_change_the_order(written):
    entries = [
        {"term": term, "meaning": "A.", "lesson": "03_x", "cell": "a"} for term in ("bytes", "BLEU", "a", "Zipf")
    ]
    made = written(*entries)
    assert [cell["id"] for cell in made["cells"]] == ["title", "letter-a", "letter-b", "letter-z"]
    text = "".join(made["cells"][2]["source"])
    assert text.index("BLEU") < text.index("bytes")
    assert "([lesson 03](03_x.ipynb#cell-id=a))" in text


@pytest.mark.parametrize("path", notebooks.everything(), ids=notebooks.name_of)
def test_links_to_the_glossary_lead_to_a_term(path):
    anchors = {glossary.anchor(entry["term"]) for entry in ENTRIES}
    text = "\n".join(cells_of(path).values())
    assert set(re.findall(r"glossary\.ipynb#([^)\"\s]+)", text)) <= anchors
