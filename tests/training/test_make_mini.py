"""From text files to a folder for load(): the whole way on a tiny model, the interrupt, the card, the commands."""

import json
import re

import pytest
from safetensors.torch import load_file

from gpt2lessons import checksums
from gpt2lessons.__main__ import main
from gpt2lessons.loading import models
from gpt2lessons.training import loop, make_mini, model_card

TINY = make_mini.sizes(n_layer=1, n_head=2, n_embd=16, n_positions=32)
RECIPE = loop.Recipe(steps=6, rows=2, context=32, bf16=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for part in ("tales", "heldout"):
        (folder / part).mkdir()
        (folder / part / "one.txt").write_text(f"In the {part} there was a *fox*, and a crow, and a cheese.\n\n" * 60)
    return folder


@pytest.fixture
def few_prompts(monkeypatch, tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"prompts": ["The fox <b>said</b>", "A crow"]}))
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
    assert json.loads((tmp_path / "out" / "training.json").read_text()) == report
    (row,) = report["heldout"].values()
    assert set(row) == {"bits per byte", "perplexity", *make_mini.BASELINES}
    assert row == make_mini.measure(lm, folder)["one"]
    card = (tmp_path / "out" / "README.md").read_text()
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
        [json.loads(x) for x in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("whole", "stopped")
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


def test_the_curve_keeps_the_mean_of_each_stretch(tmp_path, monkeypatch):
    monkeypatch.setattr(make_mini, "POINTS_OF_A_CURVE", 2)
    lines = ({"step": s, "tokens": 10 * s, "loss": float(s)} for s in range(5))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert make_mini._curve(tmp_path / "log.jsonl") == [
        {"step": 2, "tokens": 20, "loss": 1.0},
        {"step": 4, "tokens": 40, "loss": 3.5},
    ]


def test_a_corpus_without_held_out_texts_is_said(tmp_path, mini):
    (tmp_path / "one.txt").write_text("words " * 99)
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
    assert "another recipe" in capsys.readouterr().out


def test_model_text_cannot_break_the_card():
    assert model_card._one_line("a <i>b</i>\n\n*c* | d") == "… a &lt;i&gt;b&lt;/i&gt; ⏎ \\*c\\* \\| d"


def test_the_bundled_figures_are_those_of_the_bundled_card():
    report, card = make_mini.curve(), (models.MINI / "README.md").read_text("utf8")
    assert report["runs"][-1]["version"] == json.loads((models.MINI / "config.json").read_text())["model_version"]
    for title, row in report["heldout"].items():
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
