"""load(): which model it takes and why, what it prints, and every way in which a folder or the network can be wrong."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
from support.fake_hub import COMMIT, write_tiny_gpt2

import gpt2lessons as gl
from gpt2lessons import checksums
from gpt2lessons.loading import hub, models

SENTENCE = "I am a large language model"


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


@pytest.fixture
def attach(machine, monkeypatch):
    """Write a GPT-2 into the Kaggle input; the family's gpt2 is as small as these."""
    monkeypatch.setitem(hub.FAMILY, "gpt2", replace(hub.FAMILY["gpt2"], n_layer=2, n_embd=16))

    def write(place, seed=0, **sizes):
        folder = write_tiny_gpt2(machine / "kaggle" / place, seed=seed, **{"vocab_size": 50257} | sizes)
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(models.MINI.parent / "gpt2-vocabulary" / name, folder / name)
        return folder

    return write


def declare_real(folder, monkeypatch):
    """Let the weights in `folder` be those that the hub has."""
    sha256 = checksums.digest(folder / "model.safetensors")
    monkeypatch.setitem(hub.FAMILY, "gpt2", replace(hub.FAMILY["gpt2"], sha256=sha256))


def test_kaggle_input_is_searched_deeply_and_comes_before_the_cache(machine, attach, capsys, monkeypatch):
    in_cache(machine, n_layer=2)
    attach("other-gpt2", n_layer=1)  # GPT-2's type, but not its size
    (machine / "kaggle" / "bad").mkdir(parents=True)
    (machine / "kaggle" / "bad" / "config.json").write_text("<html>", "utf8")
    declare_real(attach("a/b/weights"), monkeypatch)
    lm = gl.load()
    assert (lm.name, lm.source) == ("gpt2", "from the Kaggle input a/b/weights, its checksum right")
    assert len(lm.tokenizer) == 50257
    assert str(machine) not in capsys.readouterr().out


def test_of_several_on_kaggle_the_real_one_is_taken_by_checksum_and_the_others_are_named(attach, monkeypatch, capsys):
    attach("dialogpt/1", seed=1)
    attach("my-gpt2", seed=2)
    declare_real(attach("zoo/weights", seed=3), monkeypatch)
    lm = gl.load()
    assert lm.source == (
        "from the Kaggle input zoo/weights, its checksum right; of the same shape, but not taken: my-gpt2, dialogpt/1"
    )
    assert "dialogpt/1" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["dialogpt", "gpt2-poems", "gpt2medium/1", "DialoGPT-small/gpt2x"])
def test_a_fine_tune_on_kaggle_is_not_called_gpt2(attach, place, capsys):
    attach(place)
    assert gl.load().name == "gpt2-mini"
    assert f"no real GPT-2 yet ({place} of the Kaggle input has its shape only)" in capsys.readouterr().out
    assert models._on_this_machine("gpt2") is None


@pytest.mark.parametrize("place", ["gpt2", "GPT2/transformers/default/1", "openai-gpt2/weights", "x/openai_gpt2"])
def test_what_is_called_gpt2_on_kaggle_is_taken_and_said_to_have_another_checksum(attach, place):
    attach("a-classifier", seed=1)
    attach(place)
    lm = gl.load("gpt2")
    assert lm.source.startswith(f"from the Kaggle input {place}, which is called so, but has another checksum; ")
    assert lm.source.endswith("not taken: a-classifier")


def test_many_others_on_kaggle_are_counted(attach, capsys):
    for i in range(5):
        attach(f"tune{i}")
    gl.load()
    assert "(tune0, tune1, tune2 and 2 more of the Kaggle input has its shape only)" in capsys.readouterr().out


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


@torch.enable_grad()
def train_a_step(lm):
    ids = lm.encode(SENTENCE)
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=0.01)
    lm.model(ids, labels=ids).loss.backward()
    optimizer.step()


def load_other_weights(lm, *, assign=False):
    other = {name: value + 0.02 * torch.randn_like(value) for name, value in lm.model.state_dict().items()}
    other["lm_head.weight"] = other["transformer.wte.weight"]
    lm.model.load_state_dict(other, assign=assign)
    lm.model.tie_weights()


def exchange_data(lm):
    for parameter in lm.model.parameters():
        parameter.data = parameter.data * 1.5


def write_around_the_count(lm):
    lm.model.transformer.wte.weight.data[40].mul_(1.5)  # "I"


def one_number(lm):
    with torch.no_grad():
        lm.model.transformer.wte.weight[40, 3] += 0.5


def resize(lm):
    lm.model.resize_token_embeddings(len(lm.tokenizer) + 8, mean_resizing=False)


def to_other_dtype(lm):
    lm.model.to(torch.float32 if lm.model.dtype == torch.float64 else torch.float64)


CHANGES = {
    "trained": train_a_step,
    "loaded": load_other_weights,
    "loaded, assigned": lambda lm: load_other_weights(lm, assign=True),
    "data exchanged": exchange_data,
    "data written": write_around_the_count,
    "one number": one_number,
    "resized": resize,
    "other dtype": to_other_dtype,
    "to and fro": lambda lm: lm.model.half().double(),
    "module exchanged": lambda lm: exchange_embeddings(lm),
    "a block changed": lambda lm: lm.model.transformer.h[1].ln_1.weight.data.mul_(2),
    "positions changed": lambda lm: lm.model.transformer.wpe.weight.data.mul_(2),
}


def exchange_embeddings(lm):
    """Another embedding module, tied again: every name is as it was."""
    lm.model.set_input_embeddings(torch.nn.Embedding.from_pretrained(lm.model.transformer.wte.weight.detach() * 2))
    lm.model.tie_weights()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_scratch_answers_with_the_weights_that_the_model_has_now(change, capsys):
    torch.manual_seed(0)
    lm = gl.load("gpt2-mini")
    ids = lm.encode(SENTENCE)
    with torch.no_grad():
        before = lm.scratch(ids)
        for _ in range(2):  # the second time the link is not new any more
            change(lm)
            expected = lm.model(ids).logits
            got = lm.scratch(ids)
            assert got.dtype == expected.dtype
            assert got.shape == expected.shape
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=0)
    if change not in (to_other_dtype, CHANGES["to and fro"], resize):
        assert (got - before).abs().max() > 0.01, "the change must show, or the test shows nothing"
    capsys.readouterr()


def test_what_scores_and_writes_uses_the_present_weights():
    lm = gl.load("gpt2-mini")
    ids = lm.encode("Once upon a time there was a king")
    gl.generate_text(lm, "Once upon", max_new_tokens=2)
    for _ in range(3):
        train_a_step(lm)
    with torch.no_grad():
        library = lm.model(ids, labels=ids).loss.exp().item()
        greedy = lm.model.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None)
    assert gl.perplexity(lm, ids) == pytest.approx(library, rel=1e-4)
    assert gl.generate(lm, ids, max_new_tokens=8).sequences.tolist() == greedy.tolist()


def test_scratch_stays_the_same_object_and_keeps_what_it_was_taught_itself():
    lm = gl.load("gpt2-mini")
    ours = lm.scratch
    train_a_step(lm)
    assert lm.scratch is ours
    with torch.no_grad():
        ours.wte.weight[40] = 7
    assert lm.scratch.wte.weight[40].unique().tolist() == [7]


def test_scratch_says_when_the_model_is_no_gpt2_any_more():
    lm = gl.load("gpt2-mini")
    assert lm.scratch
    lm.model.lm_head.weight = torch.nn.Parameter(lm.model.lm_head.weight.detach().clone())
    with pytest.raises(ValueError, match=r"lm_head.weight unknown. GPT-2's head has no weights of its own"):
        _ = lm.scratch


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
    (folder / "config.json").write_text("<!DOCTYPE html>", "utf8")


def other_architecture(folder):
    change_config(folder, model_type="llama")


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf8")) | values), "utf8")


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def only_bin(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def html_weights(folder):
    (folder / "model.safetensors").write_text("<html>log in</html>", "utf8")


def pointer_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "utf8")


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
    (folder / "vocab.json").write_text("<html>", "utf8")


def relu(folder):
    change_config(folder, activation_function="relu")


def layers_scaled(folder):
    change_config(folder, scale_attn_by_inverse_layer_idx=True)


def wide_mlp(folder):
    change_config(folder, n_inner=80)
    rewrite(folder, lambda state: state.update({f"h.{i}.mlp.c_fc.weight": torch.ones(16, 80) for i in (0, 1)}))
    rewrite(folder, lambda state: state.update({f"h.{i}.mlp.c_fc.bias": torch.ones(80) for i in (0, 1)}))
    rewrite(folder, lambda state: state.update({f"h.{i}.mlp.c_proj.weight": torch.ones(80, 16) for i in (0, 1)}))


def own_head(folder):
    rewrite(folder, lambda state: state.update({"lm_head.weight": state["wte.weight"] + 1}))


def untied_head(folder):
    own_head(folder)
    change_config(folder, tie_word_embeddings=False)


def classifier(folder):
    change_config(folder, architectures=["GPT2ForSequenceClassification"])
    rewrite(folder, lambda state: state.update({"score.weight": torch.ones(2, 16)}))


def cross_attention(folder):
    change_config(folder, add_cross_attention=True)


def other_end(folder):
    change_config(folder, eos_token_id=7)


def too_much_padding(folder):
    pad_vocabulary(folder, 8449 + 64 * 9 - 1)


def odd_padding(folder):
    pad_vocabulary(folder, 8450)


def pad_vocabulary(folder, size):
    change_config(folder, vocab_size=size)
    more = 30 * torch.ones(size - 8449, 16)  # rows that would win every softmax
    rewrite(folder, lambda state: state.update({"wte.weight": torch.cat([state["wte.weight"], more])}))


def own_tokenizer(change, kind=None):
    """Spoil a folder by a tokenizer.json: of another type, or GPT-2's with one part changed."""

    def spoil(folder):
        from transformers import GPT2Tokenizer

        made = tokenizers.Tokenizer.from_str(GPT2Tokenizer.from_pretrained(str(folder)).backend_tokenizer.to_str())
        vocabulary = json.loads((folder / "vocab.json").read_text("utf8"))
        made = kind(vocabulary) if kind else made
        if change:
            change(made)
        made.save(str(folder / "tokenizer.json"))

    return spoil


def wordpiece(vocabulary):
    return tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="<|endoftext|>"))


def unigram(vocabulary):
    scores = [(token, -float(i)) for i, token in enumerate(sorted(vocabulary, key=vocabulary.get))]
    return tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=0))


def word_level(vocabulary):
    return tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<|endoftext|>"))


def lower_casing(tokenizer):
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()


def composing(tokenizer):
    tokenizer.normalizer = tokenizers.normalizers.NFC()


def metaspace(tokenizer):
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()


def space_in_front(tokenizer):
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)


def single_digits(tokenizer):
    parts = [tokenizers.pre_tokenizers.Digits(individual_digits=True)]
    parts.append(tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(parts)


def prefix_in_its_settings(folder):
    (folder / "tokenizer_config.json").write_text('{"add_prefix_space": true}', "utf8")


def vocabulary_with_byte_order_mark(folder):
    path = folder / "vocab.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def merges_with_byte_order_mark(folder):
    path = folder / "merges.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def config_with_byte_order_mark(folder):
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


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
        (relu, "activation_function='relu' is another architecture; GPT-2 has 'gelu_new'"),
        (layers_scaled, "scale_attn_by_inverse_layer_idx=True is another"),
        (wide_mlp, "n_inner=80 is another architecture"),
        (own_head, "lm_head.weight unknown. GPT-2's head has no weights of its own"),
        (untied_head, "lm_head.weight unknown"),
        (classifier, "hold score.weight.*architecture GPT2ForSequenceClassification"),
        (cross_attention, r"unknown, h.0.crossattention.* and \d+ more"),
        (other_end, "token 7 ends a text, but the tokenizer's '<|endoftext|>' is 8448".replace("|", r"\|")),
        (too_much_padding, "has 8,449 tokens, but the model 9,024"),
        (odd_padding, "has 8,449 tokens, but the model 8,450"),
        (own_tokenizer(None, wordpiece), "tokenizer.json is of type WordPiece, not BPE"),
        (own_tokenizer(None, unigram), "of type Unigram, not BPE"),
        (own_tokenizer(None, word_level), "of type WordLevel, not BPE"),
        (own_tokenizer(lower_casing), r"changes the text before it is cut \(Lowercase\)"),
        (own_tokenizer(composing), r"changes the text before it is cut \(NFC\)"),
        (own_tokenizer(metaspace), "cuts the text by Metaspace, not by ByteLevel alone"),
        (own_tokenizer(space_in_front), "cuts the text by ByteLevel with a space put in front"),
        (own_tokenizer(single_digits), "cuts the text by Sequence"),
        (prefix_in_its_settings, 'loses text: "It.*comes back as " It'),
        (vocabulary_with_byte_order_mark, "vocab.json begins with a byte order mark: save it as UTF-8 without"),
        (merges_with_byte_order_mark, "merges.txt begins with a byte order mark"),
        (config_with_byte_order_mark, "config.json begins with a byte order mark"),
    ],
)
def test_damaged_folder_is_refused_with_a_sentence_and_nothing_else(tiny, spoil, words, capfd):
    spoil(tiny)
    with pytest.raises(ValueError, match=words):
        gl.load(str(tiny))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize("size", [8512, 8896])
def test_a_vocabulary_padded_to_a_multiple_of_64_is_cut_back(tiny, size, capsys):
    """The padding's rows would win every softmax: with them, no answer would be right."""
    plain = gl.load(tiny)
    pad_vocabulary(tiny, size)
    lm = gl.load(tiny)
    assert f"without the {size - 8449} rows that pad its vocabulary" in capsys.readouterr().out.splitlines()[-1]
    assert len(lm.tokenizer) == lm.model.config.vocab_size == lm.scratch.config.vocab_size == 8449
    assert lm.model.lm_head.weight is lm.model.transformer.wte.weight
    ids = lm.encode(SENTENCE)
    with torch.no_grad():
        torch.testing.assert_close(lm.model(ids).logits, plain.model(ids).logits, rtol=1e-5, atol=1e-5)
        assert lm.scratch(ids).shape == (1, 6, 8449)


@pytest.mark.parametrize(
    "harmless",
    [
        lambda folder: own_tokenizer(None)(folder),
        lambda folder: own_tokenizer(lambda t: t.enable_truncation(4))(folder),
        lambda folder: own_tokenizer(lambda t: t.enable_padding(length=99))(folder),
        lambda folder: change_config(folder, activation_function="gelu_pytorch_tanh", n_inner=64),
        lambda folder: change_config(folder, eos_token_id=[8448, 50256], bos_token_id=None),
        lambda folder: rewrite(folder, lambda s: s.update({"lm_head.weight": s["wte.weight"].clone()})),
    ],
)
def test_what_differs_in_name_only_is_accepted_and_answers_alike(tiny, harmless):
    plain = gl.load(tiny)
    harmless(tiny)
    lm = gl.load(tiny)
    ids = plain.encode("I am a LARGE model, 1,000 words and more<|endoftext|>")
    assert lm.encode("I am a LARGE model, 1,000 words and more<|endoftext|>").tolist() == ids.tolist()
    with torch.no_grad():
        torch.testing.assert_close(lm.scratch(ids), plain.scratch(ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [50256, -1, None])
def test_special_ids_that_do_not_exist_become_the_tokenizers(tiny, wrong):
    change_config(tiny, eos_token_id=wrong, bos_token_id=wrong)
    lm = gl.load(tiny)
    for settings in (lm.model.config, lm.model.generation_config):
        assert settings.eos_token_id == settings.bos_token_id == settings.pad_token_id == 8448


def test_a_folders_own_way_of_generating_does_not_change_the_librarys_answers(tiny):
    ids = gl.load(tiny).encode(SENTENCE)
    settings = {"do_sample": True, "repetition_penalty": 1.9, "max_length": 8, "eos_token_id": 8448}
    (tiny / "generation_config.json").write_text(json.dumps(settings), "utf8")
    lm = gl.load(tiny)
    theirs = lm.model.generate(ids, max_new_tokens=12, do_sample=False)
    assert theirs.tolist() == gl.generate(lm, ids, max_new_tokens=12).sequences.tolist()


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
