"""What a model's folder must hold for the course to answer rightly with it.

All else is refused here, before anything is computed, in one sentence that names the difference.
"""

import json
from pathlib import Path

from gpt2lessons.gpt2 import check_architecture

PADDED_TO, MOST_PADDING = 64, 512  # a vocabulary is made longer to a multiple of 64, which graphics cards like
# upper case, digits, white space, a letter made of two characters, four bytes, the special token
_PROBE = "It's MCMXC:  3,141.59 naïve e\u0301 \t\n\n I'll say 你好 🙂 ﬁne<|endoftext|> The end"


def check_files(name, folder):
    """Raise `ValueError` that says what is wrong with the folder's files, or what is missing."""
    config = read_config(folder, name)
    if config.get("model_type") != "gpt2":
        kind = config.get("model_type") or "nothing"
        raise ValueError(f"the model in {folder} is of type {kind!r}; this course loads models of type 'gpt2' only.")
    if not isinstance(config.get("vocab_size"), int):
        raise ValueError(f"{folder / 'config.json'} does not say the vocab_size.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        if (folder / "pytorch_model.bin").exists():
            raise ValueError(
                f"{folder} has pytorch_model.bin but no model.safetensors. A .bin file can run code when it is opened, "
                "so this course does not. Take a copy of the model with safetensors, or convert it where you trust it."
            )
        raise ValueError(f"{folder} has no weights: model.safetensors is missing. Copy it there, or download again.")
    for path in weights:
        _check_safetensors(path)
    if not (folder / "tokenizer.json").is_file() and not all(
        (folder / f).is_file() for f in ("vocab.json", "merges.txt")
    ):
        raise ValueError(
            f"{folder} has no tokenizer: tokenizer.json is missing, or vocab.json and merges.txt. Copy them there."
        )
    for path in [*folder.glob("*.json"), *folder.glob("merges.txt")]:
        _refuse_byte_order_mark(path)


def read_config(folder, name):
    """Return what config.json in `folder` says, a dict; `name`: what to download again if it is damaged."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} is not the folder of a model: it has no config.json.") from None
    except ValueError:
        _refuse_byte_order_mark(path)
        raise ValueError(
            f"{path} is not JSON; it begins with {path.read_bytes()[:20]!r}. Download {name} again."
        ) from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} is JSON, but not a model's configuration. Download {name} again.")
    return config


def _refuse_byte_order_mark(path):
    with path.open("rb") as file:
        if file.read(3) == b"\xef\xbb\xbf":
            raise ValueError(
                f"{path} begins with a byte order mark: save it as UTF-8 without one. An editor put it there."
            )


def _check_safetensors(path):
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        start = path.read_bytes()[:16] if path.stat().st_size < 10_000 else b""
        if start.startswith(b"version https://"):
            problem = "is a pointer of Git LFS, not the weights (run: git lfs pull)"
        elif start.lstrip().startswith(b"<"):
            problem = "is a web page, not weights"
        else:
            problem = f"is damaged or cut off ({path.stat().st_size:,} bytes; {error})"
        raise ValueError(f"{path} {problem}. Delete it and download it again.") from error


def check_tokenizer(tokenizer, folder):
    """Raise `ValueError` unless `tokenizer`, transformers' `GPT2Tokenizer` of that folder, reads text as its file says.

    transformers takes the vocabulary of any tokenizer.json and reads it as byte-level BPE, whatever the file says.
    """
    from tokenizers import Tokenizer

    ids = tokenizer.encode(_PROBE)
    if (folder / "tokenizer.json").is_file():
        theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
        theirs.no_padding()
        theirs.no_truncation()
        if theirs.encode(_PROBE, add_special_tokens=False).ids != ids:
            raise ValueError(
                f"the tokenizer of {folder} is not GPT-2's: {_difference(json.loads(theirs.to_str()))}. "
                "This course reads byte-level BPE only, cut and written as GPT-2's."
            )
    if (back := tokenizer.decode(ids, clean_up_tokenization_spaces=False)) != _PROBE:
        place = next((i for i, (a, b) in enumerate(zip(_PROBE, back, strict=False)) if a != b), len(back))
        raise ValueError(
            f"the tokenizer of {folder} loses text: {_PROBE[place:]!r:.20} comes back as {back[place:]!r:.20}. "
            "GPT-2's byte-level BPE gives every text back."
        )


def _difference(state):
    """Return in words what of a tokenizer.json is not as in GPT-2's."""
    if state["model"]["type"] != "BPE":
        return f"tokenizer.json is of type {state['model']['type']}, not BPE"
    if state["normalizer"]:
        return f"tokenizer.json changes the text before it is cut ({state['normalizer']['type']})"
    cut = state["pre_tokenizer"] or {"type": "nothing"}
    if cut["type"] != "ByteLevel" or cut["add_prefix_space"]:
        extra = " with a space put in front" if cut.get("add_prefix_space") else ""
        return f"tokenizer.json cuts the text by {cut['type']}{extra}, not by ByteLevel alone"
    return "its tokenizer.json and its other files encode the same text differently"


def check_weights(model, report, folder):
    """Raise `ValueError` unless `model`, a `GPT2LMHeadModel` loaded from `folder`, is a whole GPT-2 and nothing more.

    `report`: what transformers says about missing and unexpected weights.
    """
    try:
        check_architecture(model)
    except ValueError as error:
        raise ValueError(f"the model in {folder} is not a GPT-2 as this course builds it: {error}") from None
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"the weights in {folder} are not complete: {len(missing)} are missing, first {missing[0]}.")
    if unknown := sorted(report["unexpected_keys"]):
        kind = ", ".join(getattr(model.config, "architectures", None) or ["unknown"])
        raise ValueError(
            f"the weights in {folder} hold {unknown[0]}, for which a GPT-2 that writes text has no place: config.json "
            f"names the architecture {kind}."
        )
    if bad := [n for n, p in model.named_parameters() if not p.isfinite().all()]:
        raise ValueError(f"the weights in {folder} are damaged: {bad[0]} has values that are not finite numbers.")


def fit_vocabulary(model, tokenizer, folder):
    """Leave out the embeddings that only pad the vocabulary to a multiple of 64; return how many those were.

    They stand for no token, but would take part in every softmax. Raises `ValueError` for any other difference between
    the sizes of model and tokenizer, and if the two disagree about the token that ends a text.
    """
    size, known = model.config.vocab_size, len(tokenizer)
    if size != known and (size % PADDED_TO or not 0 < size - known < MOST_PADDING):
        raise ValueError(
            f"the tokenizer in {folder} has {known:,} tokens, but the model {size:,}: "
            "they do not belong together, or a tokenizer file is damaged."
        )
    if size != known:
        model.resize_token_embeddings(known, mean_resizing=False)
    end = model.config.eos_token_id
    ends = end if isinstance(end, list) else [end]
    if any(i is not None and 0 <= i < known for i in ends) and tokenizer.eos_token_id not in ends:
        raise ValueError(
            f"{folder / 'config.json'} says that token {end} ends a text, but the tokenizer's {tokenizer.eos_token!r} "
            f"is {tokenizer.eos_token_id}. Give both the same."
        )
    return size - known
