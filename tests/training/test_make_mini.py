"""From text files to a folder for load(): the whole way on a tiny model, the interrupt, the card, the commands."""

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from gpt2lessons import checksums, scoring
from gpt2lessons.__main__ import main
from gpt2lessons.loading import models
from gpt2lessons.metrics import student_interval
from gpt2lessons.training import loop, make_mini, model_card

TINY = make_mini.sizes(n_layer=1, n_head=2, n_embd=16, n_positions=32)
RECIPE = loop.Recipe(steps=6, rows=2, context=32, bf16=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for part in ("tales", "heldout"):
        (folder / part).mkdir()
        (folder / part / "one.txt").write_text(
            f"In the {part} there was a *fox*, and a crow, and a cheese.\n\n" * 60, "utf8"
        )
    return folder


@pytest.fixture
def few_prompts(monkeypatch, tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"prompts": ["The fox <b>said</b>", "A crow"]}), "utf8")
    monkeypatch.setattr(model_card, "PROMPTS", path)


def test_from_texts_to_a_model_that_loads(folder, tmp_path, few_prompts, capsys):
    report = make_mini.train(folder, tmp_path / "out", RECIPE, config=TINY, version="v9")
    said = capsys.readouterr().out
    assert "tales: " in said
    assert "step 6 of 6: loss " in said
    assert "out v9 (" in said
    lm = models.load(tmp_path / "out")
    assert lm.model.config.n_embd == 16
    assert checksums.faults(tmp_path / "out") == []
    (run,) = report["runs"]
    assert run["start"] is None
    assert [p["step"] for p in run["curve"]] == list(range(6))
    assert run["curve"][-1]["tokens"] == 6 * 2 * 32
    assert json.loads((tmp_path / "out" / "training.json").read_text("utf8")) == report
    assert report["heldout"] == {}, "nobody knows who wrote it, so perhaps somebody whom it has read"
    (row,) = report["authors seen"].values()
    assert set(row) == {"author", "part", "bits per byte", "perplexity", *make_mini.BASELINES}
    assert row == make_mini.measure(lm, folder)["authors seen"]["one"]
    card = (tmp_path / "out" / "README.md").read_text("utf8")
    assert "version v9" in card
    assert "The fox &lt;b&gt;said&lt;/b&gt;" in card
    assert "never trained on" in card
    assert card.count("*greedy*") == card.count("*beam*") == 3  # explained once, used twice


def test_an_interrupted_training_ends_as_one_that_was_not(folder, tmp_path, few_prompts, monkeypatch, capsys):
    make_mini.train(folder, tmp_path / "whole", RECIPE, config=TINY)
    monkeypatch.setattr(make_mini, "SECONDS_BETWEEN_STATES", -1)  # after every step
    honest = loop.train_step

    def interrupted(model, rows, found, recipe, step):
        if step == 4:
            raise KeyboardInterrupt
        return honest(model, rows, found, recipe, step)

    monkeypatch.setattr(loop, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_mini.train(folder, tmp_path / "stopped", RECIPE, config=TINY)
    monkeypatch.setattr(loop, "train_step", honest)
    make_mini.train(folder, tmp_path / "stopped", RECIPE, config=TINY)
    assert "going on after step 4" in capsys.readouterr().out
    whole, stopped = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert all(whole[name].equal(stopped[name]) for name in whole)
    logs = [
        [json.loads(x) for x in (tmp_path / n / "log.jsonl").read_text("utf8").splitlines()]
        for n in ("whole", "stopped")
    ]
    assert next([(x["step"], x["loss"]) for x in log] for log in logs) == [(x["step"], x["loss"]) for x in logs[1]]


def test_another_recipe_does_not_overwrite_what_is_there(folder, tmp_path, few_prompts):
    make_mini.train(folder, tmp_path, RECIPE, config=TINY)
    other = loop.Recipe(steps=7, rows=2, context=32, bf16=False)
    with pytest.raises(ValueError, match=r"another recipe\. Give the same settings"):
        make_mini.train(folder, tmp_path, other, config=TINY)


def test_a_context_that_the_model_does_not_have_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="the model reads 32 tokens, but the context is 64"):
        make_mini.train(folder, tmp_path, loop.Recipe(steps=1, context=64), config=TINY)


def test_training_goes_on_from_a_model_with_its_history(folder, tmp_path, few_prompts):
    make_mini.train(folder, tmp_path / "a", RECIPE, config=TINY, version="v1")
    report = make_mini.train(folder, tmp_path / "b", RECIPE, start=str(tmp_path / "a"), version="v2")
    assert [run["version"] for run in report["runs"]] == ["v1", "v2"]
    assert report["runs"][1]["start"] == "a v1"
    assert report["runs"][1]["curve"][0]["loss"] < report["runs"][0]["curve"][0]["loss"]


@pytest.fixture
def library(tmp_path_factory):
    """A corpus by two known authors, and three books to hold out, two of them by others."""

    def shelf(name, entries):
        place = tmp_path_factory.mktemp(name)
        for entry in entries:
            (place / entry["split"]).mkdir(exist_ok=True)
            text = f"{entry['title']}, said {entry['author']}, is a book of {entry['file']}.\n\n" * 40
            (place / entry["split"] / entry["file"]).write_text(text, "utf8")
        (place / "manifest.json").write_text(json.dumps(entries), "utf8")
        return place

    def entry(split, title, author):
        return {"split": split, "file": f"{title}.txt", "title": title, "author": author}

    read = [entry("tales", "One", "Ann"), entry("novels", "Two", "Bob"), entry("heldout", "Three", "Ann")]
    read += [entry("heldout", "Four", "Cora"), entry("validation", "Five", "Dan"), entry("heldout", "Six", None)]
    new = [entry("children", "Seven", "Eve"), entry("others", "Eight", "Fay"), entry("others", "Nine", "Gil")]
    return shelf("read", read), shelf("new", new), shelf("spoilt", [entry("others", "Ten", "Bob")])


def test_training_goes_on_from_gpt2_mini_in_float32():
    model, runs, name = make_mini._beginning("gpt2-mini", None, 0)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert name == "gpt2-mini v2"
    assert runs == make_mini.curve()["runs"]


def test_books_by_authors_who_were_read_are_told_apart(library, mini):
    read, new, spoilt = library
    sets = make_mini.measure(mini, read, heldout=new)
    assert set(sets["heldout"]) == {"Four", "Seven", "Eight", "Nine"}
    assert set(sets["authors seen"]) == {"Three", "Six"}
    assert sets["heldout"]["Eight"]["author"] == "Fay"
    assert sets["heldout"]["Eight"]["part"] == "others"
    with pytest.raises(ValueError, match="'Ten' is to be held out, but the corpus trains on other texts by Bob"):
        make_mini.measure(mini, read, heldout=[new, spoilt])
    with pytest.raises(ValueError, match="'Ten' is to be held out"):
        make_mini.train(read, read / "out", RECIPE, config=TINY, heldout=spoilt)


def test_bits_and_perplexity_are_those_of_the_scoring_room(library, mini):
    read, new, _ = library
    row = make_mini.measure(mini, read, heldout=new)["heldout"]["Eight"]
    text = (new / "others" / "Eight.txt").read_text("utf8")
    stride = mini.model.config.n_positions // 2
    assert row["bits per byte"] == pytest.approx(scoring.bits_per_byte(mini, text, stride=stride), abs=1e-4)
    expected = scoring.perplexity(mini, mini.encode(text), stride=stride, add_bos=True)
    assert row["perplexity"] == pytest.approx(expected, abs=1e-3)


def test_of_a_long_text_thirty_thousand_characters_count(library, mini, monkeypatch):
    read, new, _ = library
    (new / "others" / "Eight.txt").write_text("a" * 20_000 + "b" * 30_000 + "a" * 20_000, "utf8")
    seen = []
    monkeypatch.setattr(make_mini.baselines, "compressed", lambda text: seen.append(text) or {"gzip": 1, "xz": 1})
    monkeypatch.setattr(make_mini.scoring, "token_log_probs", lambda lm, ids, **_: -torch.ones(ids.shape))
    make_mini.measure(mini, read, heldout=new)
    assert "b" * 30_000 in seen
    assert max(map(len, seen)) == 30_000


def test_the_card_and_the_table_have_both_sets_with_means_and_an_interval(library, tmp_path, few_prompts):
    read, new, _ = library
    recipe = replace(RECIPE, validate_every=2)
    report = make_mini.train(read, tmp_path / "out", recipe, config=TINY, heldout=new)
    card, lines = (tmp_path / "out" / "README.md").read_text("utf8"), make_mini.table(report)
    others = [report["heldout"][title]["bits per byte"] for title in ("Eight", "Nine")]
    low, high = student_interval(others)
    mean = f"{sum(others) / 2:.3f} bits per byte (95 % interval over texts: {low:.2f} to {high:.2f})"
    for text in (card, "\n".join(lines)):
        assert f"the 2 in 'others': {mean}" in text.lower()
        assert text.index("has read nothing") < text.index("whose other books the model has read")
        assert text.index("Nine") < text.index("Three")
    assert "| Nine (Gil) |" in card
    assert re.search(r"heldout, others: 2 texts, .*never trained on", card)
    assert re.search(r"validation: 1 texts, .*never trained on", card)
    assert "On the validation texts: " in card
    (run,) = report["runs"]
    assert [p["step"] for p in run["validation"]] == [1, 3, 5]
    assert [p["tokens"] for p in run["validation"]] == [128, 256, 384]


def test_early_stopping_from_end_to_end(library, tmp_path, few_prompts, monkeypatch, capsys):
    read, _, _ = library
    told = iter([5.0, 4.0, 4.5, 4.6, 4.7])
    kept = []

    def measure(self, model):
        kept.append({name: p.clone() for name, p in model.named_parameters()})
        return next(told)

    monkeypatch.setattr(make_mini.Validation, "measure", measure)
    recipe = replace(RECIPE, steps=9, validate_every=1, patience=2)
    report = make_mini.train(read, tmp_path / "out", recipe, config=TINY)
    assert [p["loss"] for p in report["runs"][0]["validation"]] == [5.0, 4.0, 4.5, 4.6]
    assert "validation 4.000, " in capsys.readouterr().out
    saved = load_file(tmp_path / "out" / "model.safetensors")["transformer.wte.weight"]
    assert torch.equal(saved, kept[1]["wte.weight"].half())
    assert not torch.equal(saved, kept[3]["wte.weight"].half())
    assert "The weights are those of step 2" in (tmp_path / "out" / "README.md").read_text("utf8")


def test_validation_needs_texts(folder, library, tmp_path):
    recipe = replace(RECIPE, validate_every=1)
    with pytest.raises(ValueError, match="validate_every=1 needs texts to look at"):
        make_mini.train(folder, tmp_path / "a", recipe, config=TINY)
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "one.txt").write_text("Too short.", "utf8")
    with pytest.raises(ValueError, match="the validation texts have 5 tokens, but a context is 32"):
        make_mini.train(folder, tmp_path / "b", recipe, config=TINY, validation=tmp_path / "short")


def test_a_text_that_is_looked_at_is_used_for_nothing_else(library):
    read, new, _ = library
    recipe = replace(RECIPE, validate_every=1)
    with pytest.raises(ValueError, match="'Seven' is held out and a validation text at once"):
        make_mini._validation(read, new, recipe, heldout=new)
    with pytest.raises(ValueError, match="'Four' is held out and a validation text at once"):
        make_mini._validation(read, read / "heldout", recipe)
    with pytest.raises(ValueError, match="'One' is trained on and a validation text at once"):
        make_mini._validation(read, [new, read / "tales"], recipe)
    assert len(make_mini._validation(read, None, recipe, heldout=new).rows)
    assert len(make_mini._validation(read, read / "validation", recipe, heldout=new).rows)


def test_the_stretches_to_look_at_are_spread_over_the_texts(folder, tmp_path):
    (tmp_path / "one.txt").write_text("word " * 5000, "utf8")
    rows = make_mini._validation(folder, tmp_path, replace(RECIPE, validate_every=1)).rows
    assert rows.shape == (make_mini.VALIDATION_ROWS, 33)
    few = make_mini._validation(folder, tmp_path, replace(RECIPE, context=2000, validate_every=1)).rows
    assert few.shape[1] == 2001
    assert 1 <= len(few) <= 3


def test_the_curve_keeps_the_mean_of_each_stretch(tmp_path, monkeypatch):
    monkeypatch.setattr(make_mini, "POINTS_OF_A_CURVE", 2)
    lines = ({"step": s, "tokens": 10 * s, "loss": float(s)} for s in range(5))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf8")
    assert make_mini._curve(tmp_path / "log.jsonl") == [
        {"step": 2, "tokens": 20, "loss": 1.0},
        {"step": 4, "tokens": 40, "loss": 3.5},
    ]


def test_a_corpus_without_held_out_texts_is_said(tmp_path, mini):
    (tmp_path / "one.txt").write_text("words " * 99, "utf8")
    with pytest.raises(ValueError, match="has no folder 'heldout'"):
        make_mini.measure(mini, tmp_path)


def test_commands(folder, tmp_path, few_prompts, capsys):
    command = ["train", "--corpus", str(folder), "--out", str(tmp_path / "m"), "--steps", "3", "--rows", "2"]
    command += [
        "--context",
        "16",
        "--no-bf16",
        "--n-layer",
        "1",
        "--n-head",
        "2",
        "--n-embd",
        "16",
        "--share",
        "tales=1",
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "bits per byte" in printed
    assert re.search(r"^one +\d", printed, re.M)
    assert main(["heldout", "--corpus", str(folder), "--model", str(tmp_path / "m")]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == printed.splitlines()[-2:]
    assert main([*command, "--seed", "4"]) == 2
    assert "another recipe" in capsys.readouterr().err
    assert main(["heldout", "--corpus", str(tmp_path / "nothing")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_the_commands_take_several_sources_and_a_schedule(library, tmp_path, few_prompts, capsys):
    read, new, spoilt = library
    sources = ["--corpus", str(read), str(spoilt), "--heldout", str(new)]
    command = ["train", *sources, "--validation", str(read / "validation")]
    command += ["--out", str(tmp_path / "m"), "--steps", "2", "--rows", "2", "--context", "16", "--no-bf16"]
    command += ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--schedule", "cosine", "--validate-every", "1"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "others: " in printed
    assert "Books by authors of whom the model has read nothing" in printed
    assert main(["heldout", *sources, "--model", str(tmp_path / "m")]) == 0
    assert capsys.readouterr().out.splitlines()[-12:] == printed.splitlines()[-12:]
    assert "half a cosine" in (tmp_path / "m" / "README.md").read_text("utf8")


def test_model_text_cannot_break_the_card():
    assert model_card._one_line("a <i>b</i>\n\n*c* | d") == "… a &lt;i&gt;b&lt;/i&gt; ⏎ \\*c\\* \\| d"


def test_the_bundled_figures_are_those_of_the_bundled_card():
    report, card = make_mini.curve(), (models.MINI / "README.md").read_text("utf8")
    assert report["runs"][-1]["version"] == json.loads((models.MINI / "config.json").read_text("utf8"))["model_version"]
    for title, row in (report["heldout"] | report["authors seen"]).items():
        assert f"{row['bits per byte']:.3f}" in next(
            line for line in card.splitlines() if line.startswith(f"| {title} ")
        )


def test_a_lost_curve_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(make_mini, "MINI", tmp_path)
    with pytest.raises(ValueError, match=r"training\.json is missing"):
        make_mini.curve()


def test_fifty_prompts_are_fifty_and_no_two_are_the_same():
    prompts = json.loads(model_card.PROMPTS.read_text("utf8"))["prompts"]
    assert len(prompts) == len(set(prompts)) == 50
