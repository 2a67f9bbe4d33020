"""The corpus: what is read, and batches that lose nothing, repeat nothing, and follow from seed and step alone."""

import io
import json
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lessons import BPE
from gpt2lessons.training import corpus


@pytest.fixture
def folder(tmp_path):
    for part, names in {"children": ["a", "b"], "novels": ["c"], "heldout": ["d"]}.items():
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / f"{name}.txt").write_text(f"The story of {name}.\n\nIt was long ago. " * 20, "utf8")
    entry = {"split": "novels", "file": "c.txt", "title": "A Novel", "author": "N. N."}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]), "utf8")
    return tmp_path


def test_books_are_found_by_part_with_what_the_manifest_says(folder):
    found = corpus.books(folder)
    assert {part: [b.title for b in some] for part, some in found.items()} == {
        "children": ["a", "b"],
        "heldout": ["d"],
        "novels": ["A Novel"],
    }
    assert found["novels"][0].author == "N. N."
    assert found["children"][0].author == ""


def test_text_files_without_folders_are_one_part(tmp_path):
    (tmp_path / "one.txt").write_text("words " * 100, "utf8")
    assert list(corpus.books(tmp_path)) == ["texts"]


def test_whole_texts_are_encoded_with_the_special_token_before_each_and_the_held_out_part_is_not(folder):
    bpe = BPE.mini()
    parts = corpus.encode_parts(folder, bpe)
    assert set(parts) == {"children", "novels"}
    a, b = ((folder / "children" / f"{n}.txt").read_text("utf8") for n in "ab")
    assert parts["children"].tolist() == [bpe.eos_token_id, *bpe.encode(a), bpe.eos_token_id, *bpe.encode(b)]


def test_what_was_kept_is_used_again_until_a_file_changes(folder, tmp_path_factory):
    bpe, keep = BPE.mini(), tmp_path_factory.mktemp("keep")
    first = corpus.encode_parts(folder, bpe, keep=keep)
    np.save(keep / "novels.npy", np.arange(5))  # a forgery shows which one is read
    assert corpus.encode_parts(folder, bpe, keep=keep)["novels"].tolist() == [0, 1, 2, 3, 4]
    (folder / "novels" / "c.txt").write_text("Another text.", "utf8")
    assert corpus.encode_parts(folder, bpe, keep=keep)["novels"].tolist() != [0, 1, 2, 3, 4]
    assert np.array_equal(corpus.encode_parts(folder, bpe, keep=keep)["children"], first["children"])


def test_a_folder_that_is_no_corpus_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        corpus.books(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no \.txt file to train on"):
        corpus.books(tmp_path)
    (tmp_path / "heldout").mkdir()
    (tmp_path / "heldout" / "x.txt").write_text("never trained on", "utf8")
    with pytest.raises(ValueError, match=r"no \.txt file to train on"):
        corpus.books(tmp_path)
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is no UTF-8 text \(byte 2\)"):
        corpus.encode_parts(tmp_path, BPE.mini())


def test_each_row_is_a_stretch_of_its_part_and_targets_are_the_inputs_moved_by_one():
    batches = corpus.Batches({"a": np.arange(1000)}, rows=4, context=16, steps=10)
    for step in range(10):
        rows = batches[step]
        assert rows.shape == (4, 17)
        assert (rows[:, 1:] - rows[:, :-1] == 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 60), st.integers(0, 99), st.integers(60, 400))
def test_no_stretch_comes_again_before_all_have_come(rows, context, steps, seed, length):
    batches = corpus.Batches({"a": np.arange(length)}, rows=rows, context=context, steps=steps, seed=seed)
    starts = [start for step in range(steps) for start in _in_order(batches, step)]
    stretches = (length - 1) // context - 1
    for turn in range(0, len(starts), stretches):
        some = starts[turn : turn + stretches]
        assert len(set(some)) == len(some)
        assert len({start % context for start in some}) == 1
        assert min(some) >= 0
        assert max(some) + context < length


def _in_order(batches, step):
    number = batches.rows * step
    return [int(batches._row("a", n)[0]) for n in range(number, number + batches.rows)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 80), st.floats(0, 1), st.floats(0, 1))
def test_shares_are_kept_over_the_whole_training(rows, steps, first, last):
    parts = {"a": np.arange(500), "b": np.arange(500, 900)}
    shares = {"a": (first, last), "b": (1 - first, 1 - last)}
    batches = corpus.Batches(parts, rows=rows, context=8, steps=steps, shares=shares)
    counts = [batches.counts(step) for step in range(steps)]
    assert all(sum(c.values()) == rows and min(c.values()) >= 0 for c in counts)
    for end in range(1, steps + 1):
        wanted = sum(rows * batches.share("a", step) for step in range(end))
        assert abs(sum(c["a"] for c in counts[:end]) - wanted) <= 1


@pytest.mark.parametrize("first", [0.55, 1 / 3, 0.8])
def test_with_two_parts_too_no_stretch_comes_again(first):
    parts = {"a": np.arange(4000), "b": np.arange(4000, 8000)}
    shares = {"a": (first, 0.65), "b": (1 - first, 0.35)}
    batches = corpus.Batches(parts, rows=5, context=8, steps=60, shares=shares)
    starts = [row[0].item() for step in range(60) for row in batches[step]]
    assert len(set(starts)) == len(starts) == 300


def test_a_batch_depends_on_seed_and_step_alone():
    parts = {"a": np.arange(3000), "b": np.arange(3000, 5000)}
    one, two, other = (corpus.Batches(parts, rows=4, context=16, steps=50, seed=s) for s in (1, 1, 2))
    forwards = [one[step] for step in range(50)]
    assert all((two[step] == forwards[step]).all() for step in reversed(range(50)))
    assert any((other[step] != forwards[step]).any() for step in range(50))


def test_bad_batches_are_refused():
    with pytest.raises(ValueError, match="a context of 16 needs at least 33"):
        corpus.Batches({"a": np.arange(32)}, rows=1, context=16, steps=1)
    with pytest.raises(ValueError, match="'novels' differs"):
        corpus.Batches({"a": np.arange(99)}, rows=1, context=4, steps=1, shares={"a": (1, 1), "novels": (1, 1)})
    with pytest.raises(ValueError, match="not all 0"):
        corpus.Batches({"a": np.arange(99)}, rows=1, context=4, steps=1, shares={"a": (0, 1)})
    for share in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="shares are finite, at least 0"):
            corpus.Batches({"a": np.arange(99)}, rows=1, context=4, steps=1, shares={"a": (1, share)})
    with pytest.raises(IndexError, match="0 to 1, not 2"):
        corpus.Batches({"a": np.arange(99)}, rows=1, context=4, steps=2)[2]


# ------------------------------------------------------------------------------------------------- archives, several


def pack(folder, path):
    """Pack the files of `folder` into the archive `path`, by the ending of its name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.rglob("*.*"):
                archive.write(file, file.relative_to(folder))
        return path
    with tarfile.open(path, "w:" + {".tar": "", ".gz": "gz", ".xz": "xz"}[path.suffix]) as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
    return path


@pytest.mark.parametrize("name", ["c.tar", "c.tar.gz", "c.tar.xz", "c.zip"])
def test_an_archive_reads_as_its_folder_does(folder, tmp_path_factory, name):
    path = pack(folder, tmp_path_factory.mktemp("packed") / name)

    def seen(sources):
        return {part: [(b.title, b.author, b.read()) for b in some] for part, some in corpus.books(sources).items()}

    assert seen(path) == seen(str(path)) == seen(folder)
    bpe = BPE.mini()
    parts = corpus.encode_parts(path, bpe)
    assert {part: ids.tolist() for part, ids in parts.items()} == {
        part: ids.tolist() for part, ids in corpus.encode_parts(folder, bpe).items()
    }


def test_several_sources_add_up_part_by_part(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for part in ("novels", "letters"):
        (other / part).mkdir()
        (other / part / "e.txt").write_text(f"More {part}. " * 30, "utf8")
    found = corpus.books([folder, pack(other, other / "o.zip")])
    assert {part: [b.title for b in some] for part, some in found.items()} == {
        "children": ["a", "b"],
        "heldout": ["d"],
        "novels": ["A Novel", "e"],
        "letters": ["e"],
    }


def test_an_archive_that_changed_is_unpacked_again(folder, tmp_path_factory):
    path = pack(folder, tmp_path_factory.mktemp("packed") / "c.tar")
    assert len(corpus.books(path)["novels"]) == 1
    (folder / "novels" / "second.txt").write_text("Another. " * 30, "utf8")
    pack(folder, path)
    os.utime(path, ns=(1, 1))
    assert len(corpus.books(path)["novels"]) == 2


@pytest.mark.parametrize(
    "name", ["/tmp/evil.txt", "../../evil.txt", "a/../../evil.txt", "..", "c:\\evil.txt", "..\\evil.txt", "c:evil.txt"]
)
def test_an_archive_writes_nothing_outside_its_folder(tmp_path, name):
    path = tmp_path / "in" / "c.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        for member in (name, "good/one.txt"):
            info = tarfile.TarInfo(member)
            info.size = 5
            archive.addfile(info, io.BytesIO(b"words"))
    found = [book.path for some in corpus.books(path).values() for book in some]
    (root,) = {p.parent.parent for p in found if p.parent.name == "good"}
    written = [p for p in root.rglob("*") if p.is_file()]
    assert sorted(written) == sorted(found)
    assert len(found) == 1 + (name[0] in "/.a" and "\\" not in name and name != "..")
    assert not list(root.parent.glob("*evil*"))
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_links_and_other_files_of_an_archive_are_left_alone(tmp_path):
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        link = tarfile.TarInfo("novels/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name in ("novels/one.txt", "novels/picture.png", "README.md"):
            info = tarfile.TarInfo(name)
            info.size = 5
            archive.addfile(info, io.BytesIO(b"words"))
    ((book,),) = corpus.books(tmp_path / "c.tar").values()
    assert (book.part, book.title) == ("novels", "one")
    assert [p.name for p in book.path.parent.parent.rglob("*.*")] == ["one.txt"]


@pytest.mark.parametrize("name", ["c.tar.xz", "c.zip", "c.tar.gz"])
def test_a_damaged_archive_is_named(folder, tmp_path_factory, name):
    path = pack(folder, tmp_path_factory.mktemp("packed") / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        corpus.books(path)


def test_a_file_that_is_no_archive_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("words " * 50, "utf8")
    with pytest.raises(ValueError, match=r"notes\.txt' cannot be unpacked.*It should be a \.tar"):
        corpus.books(tmp_path / "notes.txt")


# ------------------------------------------------------------------------------------------------- kept out


def test_validation_texts_are_not_trained_on(folder):
    (folder / "validation").mkdir()
    (folder / "validation" / "v.txt").write_text("Look here. " * 30, "utf8")
    assert set(corpus.encode_parts(folder, BPE.mini())) == {"children", "novels"}
    assert "validation" in corpus.books(folder)


def test_an_author_who_is_trained_on_cannot_be_held_out(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "novels").mkdir()
    (other / "novels" / "z.txt").write_text("words " * 50, "utf8")
    entry = {"split": "novels", "file": "z.txt", "title": "Z", "author": "N. N."}
    (other / "manifest.json").write_text(json.dumps([entry]), "utf8")
    read, kept_out = corpus.books(folder), corpus.books(other)
    assert corpus.authors_of(read) == {"N. N."}
    with pytest.raises(ValueError, match=r"'Z' is to be held out, but the corpus trains on other texts by N\. N\."):
        corpus.demand_new_authors(read, kept_out)
    (other / "manifest.json").write_text(json.dumps([entry | {"author": "M. M."}]), "utf8")
    corpus.demand_new_authors(read, corpus.books(other))
    # the corpus's own folder heldout names an author whom it does not train on
    (folder / "manifest.json").write_text(
        json.dumps([{"split": "heldout", "file": "d.txt", "title": "D", "author": "M. M."}]), "utf8"
    )
    corpus.demand_new_authors(corpus.books(folder), corpus.books(other))


def test_an_author_who_is_null_in_the_manifest_is_unknown(folder):
    entry = {"split": "novels", "file": "c.txt", "title": "A Novel", "author": None}
    (folder / "manifest.json").write_text(json.dumps([entry]), "utf8")
    assert corpus.books(folder)["novels"][0].author == ""
    assert corpus.authors_of(corpus.books(folder)) == set()


def test_only_the_answers_are_labelled():
    def encode(text):
        return torch.tensor([[ord(letter) for letter in text]])

    ids, labels = corpus.answer_rows([("ab", "c"), ("d", "ef"), ("g", "h")], encode)
    a, b, c, d, e, f, g, h = range(97, 105)
    assert ids.tolist() == [[a, b, c], [d, e, f], [g, h, 0]]
    assert labels.tolist() == [[-100, -100, c], [-100, e, f], [-100, h, -100]]
    with pytest.raises(ValueError, match="no pair to encode"):
        corpus.answer_rows([], encode)
