"""load(): which model it takes and why, what it prints, and every way in which a folder or the network can be wrong."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.fake_hub import COMMIT, serve, write_tiny_gpt2

import gpt2lessons as gl
from gpt2lessons.loading import hub, models

SENTENCE = "I am a large language model"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an empty cache, no Kaggle input and no settings; returns its folder."""
    for name in ("GPT2LESSONS_MODEL", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(models, "KAGGLE_INPUT", tmp_path / "kaggle")
    return tmp_path


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_gpt2(tmp_path / "tiny")


@pytest.fixture
def online(machine, monkeypatch, tiny):
    """The fake hub, reached as if it were the real one."""
    import huggingface_hub.constants

    with serve(tiny) as (fake, endpoint):
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        huggingface_hub.close_session()
        yield fake
    huggingface_hub.close_session()


def in_cache(machine, repo="openai-community/gpt2", revision=None, **sizes):
    folder = machine / "hf" / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots"
    return write_tiny_gpt2(folder / (revision or hub.FAMILY["gpt2"].revision), **sizes)


# which model


def test_without_name_or_settings_the_mini_is_taken_and_the_line_says_why(machine, capsys):
    lm = gl.load()
    assert lm.name == "gpt2-mini"
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert f"gpt2-mini {lm.version} (14,088,576 parameters" in line
    assert lm.version.startswith("v")
    assert "no real GPT-2" in line
    assert 'gl.load("gpt2")' in line


def test_setting_decides_when_no_name_is_given(machine, monkeypatch, tiny, capsys):
    monkeypatch.setenv("GPT2LESSONS_MODEL", str(tiny))
    assert gl.load().name == "tiny"
    line = capsys.readouterr().out
    assert "because GPT2LESSONS_MODEL says so" in line
    assert str(tiny.parent) not in line, "a saved output would show a path of this machine"
    assert gl.load("gpt2-mini").name == "gpt2-mini"
    assert "because you asked for it" in capsys.readouterr().out


@pytest.mark.parametrize("repo", ["openai-community/gpt2", "gpt2"])
@pytest.mark.parametrize("revision", [None, "f" * 40])
def test_real_gpt2_in_the_cache_is_preferred_to_the_mini(machine, repo, revision, capsys):
    in_cache(machine, repo, revision)
    lm = gl.load()
    assert (lm.name, lm.source) == ("gpt2", "from the Hugging Face cache")
    assert "because this machine has it" in capsys.readouterr().out
    assert gl.load("gpt2").model.config.n_layer == 2


@pytest.mark.parametrize("setting", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_cache_is_where_the_variables_say(machine, monkeypatch, setting):
    monkeypatch.delenv("HF_HOME")
    below = {"HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}.get(setting, "")
    monkeypatch.setenv(setting, str(machine / "elsewhere"))
    assert hub.cache_folder() == machine / "elsewhere" / below


def test_cache_folder_agrees_with_huggingface_hub(machine):
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    for changed in ({}, {"HF_HUB_CACHE": str(machine / "a")}, {"HF_HOME": str(machine / "b")}):
        plain = {k: v for k, v in os.environ.items() if k not in ("HF_HOME", "HF_HUB_CACHE")}
        done = subprocess.run(
            [sys.executable, "-c", code], env=plain | changed, capture_output=True, text=True, check=True
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("HF_HOME")
            for name, value in changed.items():
                patch.setenv(name, value)
            assert str(hub.cache_folder()) == done.stdout.strip()


@pytest.mark.parametrize("lacking", ["model.safetensors", "config.json", "merges.txt"])
def test_incomplete_copy_in_the_cache_does_not_count(machine, lacking):
    (in_cache(machine) / lacking).unlink()
    assert gl.load().name == "gpt2-mini"


def test_kaggle_input_is_searched_deeply_and_comes_before_the_cache(machine, capsys):
    in_cache(machine, n_layer=2)
    write_tiny_gpt2(machine / "kaggle" / "other-gpt2")  # GPT-2's type, but not its size
    (machine / "kaggle" / "bad").mkdir(parents=True)
    (machine / "kaggle" / "bad" / "config.json").write_text("<html>")
    real = write_tiny_gpt2(machine / "kaggle" / "a" / "b" / "weights", vocab_size=50257, n_layer=12, n_embd=768)
    vocabulary = models.MINI.parent / "gpt2-vocabulary"
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(vocabulary / name, real / name)
    lm = gl.load()
    assert (lm.name, lm.source, len(lm.tokenizer)) == ("gpt2", "from the Kaggle input", 50257)
    assert str(machine) not in capsys.readouterr().out


def test_loading_without_a_name_never_touches_the_network(machine, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    def refuse(*_):
        raise AssertionError("load() opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert gl.load().name == "gpt2-mini"


# what comes back


def test_loaded_model_is_ready_for_lessons(mini):
    assert not mini.model.training
    assert {p.dtype for p in mini.model.parameters()} == {torch.float64}
    assert mini.model.num_parameters() == 14_088_576
    assert mini.tokenizer.pad_token == mini.tokenizer.eos_token == "<|endoftext|>"
    assert mini.tokenizer.padding_side == "left"
    assert mini.tokenizer.model_max_length == mini.model.config.n_positions == 512
    assert len(mini.tokenizer) == mini.model.config.vocab_size == 8449
    assert mini.encode(SENTENCE).tolist() == [[40, 716, 257, 1588, 3303, 2746]]
    assert mini.decode(mini.encode(SENTENCE)) == SENTENCE
    assert "gpt2-mini" in repr(mini)
    assert len(repr(mini)) < 200
    assert str(models.MINI.parent) not in repr(mini.tokenizer) + repr(mini.model.config), "a path of this machine"


def test_ids_lie_where_the_model_is():
    lm = gl.load("gpt2-mini")
    assert lm.encode("one").device == lm.model.device == torch.device("cpu")
    lm.model.to("meta")
    assert lm.encode("one").device == torch.device("meta")


def test_scratch_and_model_share_their_memory_and_the_model_can_be_saved(tmp_path):
    lm = gl.load("gpt2-mini")
    ids = lm.encode("Once upon a time")
    with torch.no_grad():
        before = lm.model(ids).logits
        ours, theirs = ({p.data_ptr() for p in m.parameters()} for m in (lm.scratch, lm.model))
        assert ours - theirs == {lm.scratch.wte.weight.data_ptr()}
        torch.testing.assert_close(lm.model(ids).logits, before, atol=1e-4, rtol=0)
        lm.scratch.h[0].attn.c_proj.weight[3, 5] = 7
        assert lm.model.transformer.h[0].attn.c_proj.weight[5, 3] == 7
    lm.model.save_pretrained(tmp_path)
    saved = type(lm.model).from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), lm.model.parameters(), strict=True))


def test_scratch_has_the_same_weights(mini):
    ids = mini.encode(SENTENCE)
    with torch.no_grad():
        assert torch.allclose(mini.scratch(ids), mini.model(ids).logits, atol=1e-4)
    assert mini.scratch is mini.scratch


def test_each_load_is_a_fresh_copy(mini, machine):
    changed = gl.load("gpt2-mini")
    with torch.no_grad():
        changed.model.transformer.wte.weight.zero_()
    assert gl.load("gpt2-mini").model.transformer.wte.weight.abs().sum() > 0


def test_weights_in_the_hubs_layout_arrive_whole(tiny):
    from safetensors.torch import load_file

    stored, lm = load_file(tiny / "model.safetensors"), gl.load(str(tiny))
    for name, value in lm.model.transformer.state_dict().items():
        assert torch.equal(value, stored[name]), name
    assert lm.model.lm_head.weight is lm.model.transformer.wte.weight


def test_using_a_loaded_model_prints_and_warns_nothing(machine):
    code = """import warnings; warnings.simplefilter("error")
import gpt2lessons as gl
lm = gl.load("gpt2-mini")
lm.encode("word " * 600)
batch = lm.tokenizer(["Once upon a time", "The"], return_tensors="pt", padding=True)
lm.model.generate(**batch, max_new_tokens=3)
lm.model.generate(lm.encode("Once upon a time"), max_new_tokens=3, do_sample=True)
lm.model(lm.encode("Once upon a time"), labels=lm.encode("Once upon a time"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_left_padding_of_a_batch_equals_each_prompt_alone(mini):
    prompts = ["Once upon a time there was a", "The"]
    batch = mini.tokenizer(prompts, return_tensors="pt", padding=True)
    together = mini.model.generate(**batch, max_new_tokens=8, do_sample=False)
    for prompt, row in zip(prompts, together, strict=True):
        ids = mini.encode(prompt)
        alone = mini.model.generate(ids, max_new_tokens=8, do_sample=False)
        assert row[-8:].tolist() == alone[0, -8:].tolist()


# bad text, bad ids


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", ValueError, "empty.*eos_token"),
        (None, TypeError, "NoneType"),
        (["a"], TypeError, "list"),
        ("a\ud800", ValueError, "surrogate pair at position 1"),
    ],
)
def test_bad_text_is_refused_with_a_sentence(mini, text, error, words):
    with pytest.raises(error, match=words):
        mini.encode(text)


def test_too_long_text_is_encoded(mini):
    assert mini.encode("word " * 600).shape[1] > mini.model.config.n_positions


@pytest.mark.parametrize("ids", [40, [40], torch.tensor(40), torch.tensor([40]), torch.tensor([[40]])])
def test_decode_takes_one_id_or_one_row(mini, ids):
    assert mini.decode(ids) == "I"
    assert mini.decode([]) == ""


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ([8449], ValueError, "0 to 8,448.*8,449"),
        ([-1], ValueError, "given -1"),
        (torch.tensor([0.5]), TypeError, "integers"),
        (torch.zeros(2, 3, dtype=torch.long), ValueError, "row by row"),
    ],
)
def test_bad_ids_are_refused_with_a_sentence(mini, ids, error, words):
    with pytest.raises(error, match=words):
        mini.decode(ids)


# bad names


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("gpt2-larg", ValueError, "Did you mean 'gpt2-large'"),
        ("GPT-2 mini", ValueError, "'GPT-2 mini' is no model.*Names: gpt2-mini"),
        ("./no/such/folder", ValueError, "no folder here"),
        ("", ValueError, "no model"),
        (7, TypeError, "str.*int"),
        ("owner/model", ConnectionError, "HF_HUB_OFFLINE forbids"),
        ("distilgpt2", ConnectionError, "HF_HUB_OFFLINE forbids.*gpt2-mini"),
    ],
)
def test_bad_name_is_refused_with_a_sentence(machine, name, error, words):
    with pytest.raises(error, match=words):
        gl.load(name)


# damaged folders: each function spoils a good one


def no_config(folder):
    (folder / "config.json").unlink()


def html_config(folder):
    (folder / "config.json").write_text("<!DOCTYPE html>")


def other_architecture(folder):
    change_config(folder, model_type="llama")


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def only_bin(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def html_weights(folder):
    (folder / "model.safetensors").write_text("<html>log in</html>")


def pointer_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def rewrite(folder, change):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def missing_tensor(folder):
    rewrite(folder, lambda state: state.pop("h.1.ln_2.weight"))


def wrong_shape(folder):
    rewrite(folder, lambda state: state.update({"h.1.ln_2.weight": torch.ones(7)}))


def not_finite(folder):
    rewrite(folder, lambda state: state["h.0.mlp.c_fc.weight"].fill_(torch.nan))


def no_tokenizer(folder):
    (folder / "vocab.json").unlink()


def other_tokenizer(folder):
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(models.MINI.parent / "gpt2-vocabulary" / name, folder / name)


def html_tokenizer(folder):
    (folder / "vocab.json").write_text("<html>")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_config, "has no config.json"),
        (html_config, "is not JSON.*DOCTYPE"),
        (other_architecture, "type 'llama'.*'gpt2' only"),
        (no_weights, "model.safetensors is missing"),
        (only_bin, "pytorch_model.bin.*can run code"),
        (cut_weights, "is damaged or cut off"),
        (html_weights, "is a web page"),
        (pointer_weights, "pointer of Git LFS"),
        (missing_tensor, "1 are missing, first transformer.h.1.ln_2.weight"),
        (wrong_shape, "other shapes than config.json"),
        (not_finite, "h.0.mlp.c_fc.weight has values that are not finite"),
        (no_tokenizer, "has no tokenizer"),
        (other_tokenizer, "50,257 tokens, but the model 8,449"),
        (html_tokenizer, "cannot be loaded"),
    ],
)
def test_damaged_folder_is_refused_with_a_sentence_and_nothing_else(tiny, spoil, words, capfd):
    spoil(tiny)
    with pytest.raises(ValueError, match=words):
        gl.load(str(tiny))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# the hub


def test_asking_by_name_downloads_once_and_then_uses_the_cache(online, tiny, capfd):
    lm = gl.load("owner/tiny")
    out, err = capfd.readouterr()
    assert "fetched from the hub at 0123456" in out
    assert "100%" in err, "no progress bar"
    expected = gl.load(str(tiny)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in lm.model.state_dict().items())
    fetched = len(online.requests)
    assert gl.load("owner/tiny").source == "from the Hugging Face cache"
    assert len(online.requests) == fetched


def test_all_files_come_from_the_commit_that_the_name_meant_first(online):
    gl.load("owner/tiny")
    asked = [path for _, path, _ in online.requests]
    assert asked[0] == "/owner/tiny/resolve/main/config.json"
    assert all(f"/resolve/{COMMIT}/" in path for path in asked[1:] if not path.endswith("config.json"))


def test_huggingface_hub_finds_what_was_downloaded(online, machine):
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    folder = hub.download("owner/tiny")
    found = try_to_load_from_cache("owner/tiny", "model.safetensors", cache_dir=hub.cache_folder(), revision=COMMIT)
    assert Path(found) == folder / "model.safetensors"
    assert not scan_cache_dir(hub.cache_folder()).warnings


def test_member_of_the_family_is_fetched_at_its_pinned_revision(online, monkeypatch):
    from dataclasses import replace

    sha = "0" * 64
    for pinned, words in ((COMMIT, "checksum differs"), ("e" * 40, "no revision")):
        checkpoint = replace(hub.FAMILY["distilgpt2"], repo="owner/tiny", revision=pinned, sha256=sha)
        monkeypatch.setitem(hub.FAMILY, "distilgpt2", checkpoint)
        with pytest.raises(ValueError, match=words):
            gl.load("distilgpt2")
        assert f"/owner/tiny/resolve/{pinned}/config.json" in {path for _, path, _ in online.requests}


def test_interrupted_download_goes_on_where_it_stopped(online):
    online.faults.add("cut")
    with pytest.raises(ConnectionError, match="kept: run this again"):
        hub.download("owner/tiny")
    size = len(online.files["model.safetensors"])
    online.faults.clear()
    seen = []
    folder = hub.download("owner/tiny", on_progress=lambda done, total: seen.append((done, total)))
    assert [r for _, path, r in online.requests if r and "safetensors" in path] == [f"bytes={size // 3}-"]
    assert (folder / "model.safetensors").read_bytes() == online.files["model.safetensors"]
    done, totals = zip(*seen, strict=True)
    assert set(totals) == {sum(len(f) for f in online.files.values())} == {done[-1]}
    assert list(done) == sorted(done)


def test_server_that_ignores_the_range_starts_over(online):
    online.faults |= {"cut"}
    with pytest.raises(ConnectionError):
        hub.download("owner/tiny")
    online.faults = {"no range"}
    folder = hub.download("owner/tiny")
    assert (folder / "model.safetensors").read_bytes() == online.files["model.safetensors"]


def test_cancelled_download_keeps_what_came(online):
    import threading

    cancel, seen = threading.Event(), []

    def stop(done, total):
        seen.append(done)
        if done > total / 2:
            cancel.set()

    online.faults.add("slow")
    with pytest.raises(hub.CancelledError, match="kept"):
        hub.download("owner/tiny", on_progress=stop, cancel=cancel)
    partial = next((hub.cache_folder() / "models--owner--tiny" / "blobs").glob("*.safetensors.incomplete"))
    assert 0 < partial.stat().st_size < len(online.files["model.safetensors"])
    assert hub.find_cached("owner/tiny") is None
    assert gl.load("owner/tiny").name == "owner/tiny"


def test_damaged_download_is_thrown_away(online):
    online.faults.add("corrupt")
    with pytest.raises(ValueError, match="checksum differs"):
        gl.load("owner/tiny")
    assert hub.find_cached("owner/tiny") is None
    online.faults.clear()
    assert gl.load("owner/tiny").name == "owner/tiny"


def test_second_notebook_is_told_to_wait(online):
    blobs = hub.cache_folder() / "models--owner--tiny" / "blobs"
    blobs.mkdir(parents=True)
    with (
        hub._alone(blobs / f"{COMMIT}.config.json.incomplete"),
        pytest.raises(ConnectionError, match="another notebook"),
    ):
        hub.download("owner/tiny")


@pytest.mark.parametrize(
    ("fault", "name", "error", "words"),
    [
        ("html", "owner/tiny", ConnectionError, "not as the hub does: probably a proxy"),
        ("error 503", "owner/tiny", ConnectionError, "error 503"),
        ("", "owner/unknown", ValueError, "no model 'owner/unknown'"),
        ("", "owner/tiny@v9", ValueError, "no revision 'v9'"),
    ],
)
def test_strange_answers_become_sentences(online, fault, name, error, words):
    online.faults.add(fault)
    with pytest.raises(error, match=words):
        gl.load(name)


def test_model_without_safetensors_is_refused(online):
    online.files["pytorch_model.bin"] = online.files.pop("model.safetensors")
    with pytest.raises(ValueError, match="can run code"):
        gl.load("owner/tiny")


def test_full_disk_is_told_before_the_download(online, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1000))
    with pytest.raises(OSError, match="the disk has 0 MB free"):
        gl.load("owner/tiny")


def test_hub_that_never_answers_gives_up_in_time(online, monkeypatch):
    """A server that accepts and is silent: without patience that ends, this test would hang."""
    assert hub.PATIENCE < 15
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(hub, "PATIENCE", 0.5)
        with pytest.raises(ConnectionError, match=r"cannot be reached.*gpt2-mini"):
            gl.load("gpt2")


def test_no_hub_at_all(online, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"cannot be reached\. Connect to the internet"):
        gl.load("gpt2-medium")


def test_offline_mode_fails_before_anything_is_asked(online, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        gl.load("owner/tiny")
    assert online.requests == []


# the bundled files


def test_bundled_vocabulary_is_gpt2s():
    folder = models.MINI.parent / "gpt2-vocabulary"
    vocabulary = json.loads((folder / "vocab.json").read_text("utf8"))
    assert len(vocabulary) == 50257
    assert (folder / "merges.txt").read_text("utf8").startswith("#version")


@pytest.mark.gpt2
def test_real_gpt2_is_what_it_says_it_is():
    found = models._on_this_machine("gpt2")
    if found is None:
        pytest.skip("no real GPT-2 on this machine")
    lm = gl.load("gpt2")
    assert lm.model.num_parameters() == 124_439_808
    assert (found[0] / "model.safetensors").stat().st_size == 548_105_171
    assert lm.encode(SENTENCE).tolist() == [[40, 716, 257, 1588, 3303, 2746]]
    ids = lm.encode("I enjoy walking with my cute dog")
    text = lm.decode(lm.model.generate(ids, max_new_tokens=12, do_sample=False)[0])
    assert text.startswith("I enjoy walking with my cute dog, but I'm not sure if I'll ever be")
