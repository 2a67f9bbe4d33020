"""load(): the bundled gpt2-mini, the GPT-2 family, or any local folder, as a `LanguageModel`.

What is looked for, and where, is in `_find`; what can be wrong with a folder, and how it is said, in `folder`.
"""

import contextlib
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gpt2lessons import checksums
from gpt2lessons.checksums import ASSETS, MINI
from gpt2lessons.loading import folder as folders
from gpt2lessons.loading import hub

if TYPE_CHECKING:
    from gpt2lessons.gpt2 import GPT2

KAGGLE_INPUT = Path("/kaggle/input")


@dataclass(frozen=True, eq=False, repr=False)
class LanguageModel:
    """A GPT-2 and its tokenizer.

    `model`: transformers' `GPT2LMHeadModel` in eval mode, float64 for the bundled gpt2-mini (so that every processor
    gives the same digits and samples the same tokens), float32 for all others; `tokenizer`: transformers'
    `GPT2Tokenizer`, padding on the left; `name`; `source`: where it came from, in words.
    """

    model: Any
    tokenizer: Any
    name: str
    source: str

    def encode(self, text: str) -> torch.Tensor:
        """Return the token ids of `text`: LongTensor (1, T), where the model lies; `<|endoftext|>` is one token.

        A text longer than the context is encoded too; the model will refuse it. Raises `ValueError` for an empty text
        and for one that is not valid Unicode, `TypeError` if it is not a str.
        """
        if not isinstance(text, str):
            raise TypeError(f"encode takes one text (a str), but was given {type(text).__name__}: {text!r:.60}.")
        if not text:
            raise ValueError(
                "the text is empty: there is no token to start from. To start from nothing, encode "
                f"lm.tokenizer.eos_token, {self.tokenizer.eos_token!r}."
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the text has half of a surrogate pair at position {error.start}, which is no character. "
                "Read the text again with the right encoding."
            ) from None
        return torch.tensor([self.tokenizer.encode(text, verbose=False)], dtype=torch.long, device=self.model.device)

    def decode(self, ids: int | Sequence[int] | torch.Tensor) -> str:
        """Return the text of `ids`: one token id, a list of them, or a LongTensor (T,) or (1, T)."""
        ids = torch.as_tensor(ids, device="cpu")
        if ids.numel() == 0:
            return ""
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(f"decode takes token ids (integers), but was given {ids.dtype}.")
        if ids.dim() > 1 and ids.numel() != ids.shape[-1]:
            raise ValueError(
                f"decode takes one text, but was given {tuple(ids.shape)}. Decode row by row: decode(ids[0])."
            )
        ids, size = ids.flatten().tolist(), len(self.tokenizer)
        if bad := [i for i in ids if not 0 <= i < size]:
            raise ValueError(f"{self.name} has the token ids 0 to {size - 1:,}, but was given {bad[0]:,}.")
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    @property
    def version(self) -> str:
        """The version that a model of this course's own making names in its config.json, else ""."""
        return str(getattr(self.model.config, "model_version", ""))

    @property
    def scratch(self) -> "GPT2":
        """Our own GPT-2 with the same weights, in the same memory; `scratch(input_ids)` gives logits (B, T, V).

        It follows `model`: weights that were trained, loaded, moved, cast or resized since are those that answer. Ask
        for it again after such a change; it is the same object as long as memory, dtype and sizes are the same.
        Raises `ValueError` if `model` is no GPT-2 any more, with adapters or a head of its own for example.
        """
        from gpt2lessons.gpt2 import GPT2, Link

        link = self.__dict__.get("_link")
        if link is None or not link.holds():
            link = Link(GPT2.from_transformers(self.model, share=True), self.model)
            self.__dict__["_link"] = link  # the fields are frozen, this is none
        return link.ours

    def __repr__(self):
        return f"LanguageModel({self.name}, {self.model.num_parameters():,} parameters, {self.source})"


def load(name: str | os.PathLike | None = None) -> LanguageModel:
    """Return a `LanguageModel`, and print which it is, why, and how to get another.

    `name`: "gpt2-mini" (bundled), "gpt2", "gpt2-medium", "gpt2-large", "distilgpt2", a model of the Hugging Face hub as
    "owner/model" or "owner/model@revision", or a folder. Without a name: the variable GPT2LESSONS_MODEL, else the real
    GPT-2 if this machine has it, else gpt2-mini. Only a name starts a download, with a progress bar. Each call returns
    a fresh copy, so that one may be changed without harm. Raises `ValueError` (`TypeError`) for a name without meaning
    and for a folder that holds no usable model, `ConnectionError` if the hub cannot be reached.
    """
    name, folder, source, why = _find(name)
    lm = _open(name, folder, source)
    other = 'the real GPT-2: gl.load("gpt2")' if folder == MINI else "another: gl.load(name) or GPT2LESSONS_MODEL"
    called = f"{name} {lm.version}".strip()
    print(f"{called} ({lm.model.num_parameters():,} parameters, {lm.source}), because {why}; for {other}")
    return lm


def gpt2_tokenizer():
    """Return GPT-2's own tokenizer, 50,257 tokens, bundled: a `GPT2Tokenizer`, padding on the left."""
    import transformers

    tokenizer = transformers.GPT2Tokenizer.from_pretrained(str(ASSETS / "gpt2-vocabulary"), local_files_only=True)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    tokenizer.name_or_path = "gpt2"  # not the folder: what is printed must not name this machine's paths
    return tokenizer


def _find(name):
    """Return (name, folder, where from, why this one)."""
    why = "you asked for it"
    if name is None and os.environ.get("GPT2LESSONS_MODEL"):
        name, why = os.environ["GPT2LESSONS_MODEL"], "GPT2LESSONS_MODEL says so"
    if name is None:
        found = _on_this_machine("gpt2")
        if found is None:
            _, others = _attached("gpt2")
            why = "this machine has no real GPT-2 yet"
            why += f" ({_listed(others)} of the Kaggle input has its shape only)" if others else ""
            return "gpt2-mini", MINI, "bundled with the course", why
        return "gpt2", *found, "this machine has it"
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"load takes the name of a model (a str), but was given {type(name).__name__}: {name!r:.60}.")
    if name == "gpt2-mini":
        return name, MINI, "bundled with the course", why
    if name in hub.FAMILY:
        checkpoint = hub.FAMILY[name]
        found = _on_this_machine(name) or _download(checkpoint.repo, checkpoint.revision, checkpoint.sha256)
        return name, *found, why
    folder = Path(os.path.expanduser(name))
    if str(name) and folder.is_dir():
        return folder.resolve().name, folder.resolve(), "a folder of yours", why
    if match := re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w.-]+))?", str(name)):
        repo, revision = match.groups()
        cached = hub.find_cached(repo, revision)
        if cached is not None and revision in (None, cached.name):
            return repo, cached, "from the Hugging Face cache", why
        return repo, *_download(repo, revision or "main"), why
    near = difflib.get_close_matches(str(name), ["gpt2-mini", *hub.FAMILY], n=2)
    raise ValueError(
        f"{str(name)!r} is no model that load() knows, and no folder here."
        + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")
        + f" Names: gpt2-mini, {', '.join(sorted(hub.FAMILY))}; or owner/model of the hub, or the path of a folder."
    )


def _on_this_machine(name):
    """Return (folder, where from) of a member of the family, or None; nothing is fetched."""
    found, others = _attached(name)
    if found is not None:
        folder, proof = found
        left = f"; of the same shape, but not taken: {_listed(others)}" if others else ""
        return folder, f"from the Kaggle input {folder.relative_to(KAGGLE_INPUT)}, {proof}{left}"
    checkpoint = hub.FAMILY[name]
    cached = hub.find_cached(checkpoint.repo, checkpoint.revision)
    return None if cached is None else (cached, "from the Hugging Face cache")


def _attached(name):
    """Return ((folder, what proves it) or None, folders that only have its shape) of Kaggle's input.

    Every fine-tune has the shape. The checksum decides, where one is known; else what the folder is called.
    """
    checkpoint, alike = hub.FAMILY[name], []
    for folder, _, files in os.walk(KAGGLE_INPUT):
        if "config.json" in files and hub.is_complete(Path(folder)):
            with contextlib.suppress(ValueError):
                config = folders.read_config(Path(folder), folder)
                shape = [config.get(key) for key in ("model_type", "vocab_size", "n_layer", "n_embd")]
                if shape == ["gpt2", 50257, checkpoint.n_layer, checkpoint.n_embd]:
                    alike.append(Path(folder))
    ends = re.compile(rf"(?:.*[^a-z0-9])?{name}")  # "openai-gpt2", but neither "distilgpt2" nor "gpt2-poems"
    called = [f for f in sorted(alike) if any(map(ends.fullmatch, map(str.lower, f.relative_to(KAGGLE_INPUT).parts)))]
    alike = called + [folder for folder in sorted(alike) if folder not in called]
    found = None
    for folder in alike if checkpoint.sha256 else ():
        weights = folder / "model.safetensors"
        if weights.is_file() and checksums.digest(weights) == checkpoint.sha256:
            found = folder, "its checksum right"
            break
    if found is None and called:
        found = called[0], "which is called so" + (", but has another checksum" if checkpoint.sha256 else "")
    return found, [folder for folder in alike if found is None or folder != found[0]]


def _listed(folders):
    more = f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return ", ".join(str(folder.relative_to(KAGGLE_INPUT)) for folder in folders[:3]) + more


def _download(repo, revision, sha256=None):
    from tqdm.auto import tqdm

    with contextlib.ExitStack() as stack:
        bar = None

        def show(done, total):
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(tqdm(desc=repo, total=total, unit="B", unit_scale=True))
            bar.update(done - bar.n)

        folder = hub.download(repo, revision, sha256=sha256, on_progress=show)
    return folder, f"fetched from the hub at {folder.name[:7]}"


def _open(name, folder, source):
    """Read a folder; whatever is wrong with it becomes a sentence."""
    import transformers

    if int(transformers.__version__.partition(".")[0]) < 5:
        raise ImportError(
            f"transformers {transformers.__version__} is too old for this course, which needs 5.0 or newer. Run "
            'pip install "transformers>=5.0" and start the kernel again; python -m gpt2lessons doctor looks further.'
        )
    if folder == MINI:
        checksums.demand(folder, "the bundled model is")
    folders.check_files(name, folder)
    transformers.utils.logging.disable_progress_bar()
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity(transformers.utils.logging.CRITICAL)  # what it would say, we say below
    try:
        tokenizer = transformers.GPT2Tokenizer.from_pretrained(str(folder), local_files_only=True)
        model, report = transformers.GPT2LMHeadModel.from_pretrained(
            str(folder),
            dtype=torch.float64 if folder == MINI else torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        if "ignore_mismatched_sizes" in reason:
            reason = "the weights have other shapes than config.json says"
        raise ValueError(f"the model in {folder} cannot be loaded: {reason}") from error
    finally:
        transformers.utils.logging.set_verbosity(before)
    folders.check_tokenizer(tokenizer, folder)
    folders.check_weights(model, report, folder)
    if padding := folders.fit_vocabulary(model, tokenizer, folder):
        source += f", without the {padding} rows that pad its vocabulary"
    return LanguageModel(_prepare(model, tokenizer, name), tokenizer, name, source)


def _prepare(model, tokenizer, name):
    """Set what lessons need so that batches are right and the library has nothing to warn about."""
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    tokenizer.model_max_length = model.config.n_positions
    end, begin = tokenizer.eos_token_id, model.config.bos_token_id
    begin = begin if isinstance(begin, int) and 0 <= begin < len(tokenizer) else end  # else an id that does not exist
    ids = {"bos_token_id": begin, "eos_token_id": end, "pad_token_id": end}
    for setting, token_id in ids.items():
        setattr(model.config, setting, token_id)
    # a folder's own way of generating would change what transformers answers, but not what the lessons build
    model.generation_config = type(model.generation_config)(**ids)
    tokenizer.name_or_path = model.name_or_path = (
        name  # not the folder: what is printed must not name this machine's paths
    )
    model.loss_type = "ForCausalLM"  # GPT-2's config names none, which the library reports at the first loss
    return model.eval()
