"""How a GPT-2 is trained: the loss, the schedule, the two optimizers, the loop, and a checkpoint to go on from.

This is how `gpt2-mini` was made, and what lesson 12 runs for one minute. Muon (Jordan et al. 2024) moves the matrices
inside the blocks: it makes all directions of a gradient equally strong before it follows it. AdamW (Loshchilov &
Hutter 2019) moves everything else: embeddings, biases, LayerNorms. The learning rate rises in a straight line
(warm-up), stays, and falls in a straight line to nothing; or it falls from the top along a cosine.
"""

import contextlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from gpt2lessons import checksums
from gpt2lessons.gpt2 import TURNED


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; rates are peaks, `warmup` and `decay` are shares of the steps.

    `rows_at_once`: how many rows go through the model together; the gradients of one step's parts are added up, so it
    changes memory and speed, not the result (but for rounding). `bf16`: compute in bfloat16, keep weights in float32.
    `dropout`: see below; worth it where each text is read many times. `compiled`: torch compiles the blocks first,
    which makes them faster on a GPU. `schedule`: "linear", as above, or "cosine", which has no use for `decay`.
    `validate_every`: so many steps between two looks at validation texts (0: none); `patience`: see `Validation`.
    """

    steps: int
    rows: int = 16
    context: int = 512
    muon_lr: float = 0.02
    adamw_lr: float = 0.003
    weight_decay: float = 0.01
    warmup: float = 0.02
    decay: float = 0.4
    rows_at_once: int = 4
    clip: float = 1.0
    dropout: float = 0.0
    bf16: bool = True
    compiled: bool = False
    seed: int = 0
    schedule: str = "linear"
    validate_every: int = 0
    patience: int = 0

    def __post_init__(self):
        if min(self.steps, self.rows, self.context, self.rows_at_once) < 1:
            raise ValueError(f"steps, rows, context and rows_at_once are at least 1, but the recipe is {self}.")
        if not all(0 <= rate < math.inf for rate in (self.muon_lr, self.adamw_lr, self.weight_decay)):
            raise ValueError(f"rates and weight decay are finite and at least 0, but the recipe is {self}.")
        if not self.clip > 0:
            raise ValueError(f"clip is above 0, but the recipe is {self}.")
        if not 0 <= self.seed < 10**12:
            raise ValueError(f"seed is a whole number, at least 0 and below 10^12, but the recipe is {self}.")
        if not (self.warmup >= 0 and self.decay >= 0 and self.warmup + self.decay <= 1):
            raise ValueError(f"warmup and decay are shares of the steps, together at most 1, but the recipe is {self}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share, at least 0 and below 1, but the recipe is {self}.")
        if self.schedule not in ("linear", "cosine"):
            raise ValueError(f"schedule is 'linear' or 'cosine', but the recipe is {self}.")
        if min(self.validate_every, self.patience) < 0 or self.patience > 0 == self.validate_every:
            raise ValueError(
                "validate_every and patience are at least 0, and patience needs something to wait for, validate_every "
                f"above 0, but the recipe is {self}."
            )

    def rate(self, step):
        """Return the learning rate of `step` (0 first) as a share of its peak: up, level, down to nearly 0."""
        rising = self.warmup * self.steps
        if self.schedule == "cosine" and step >= rising:
            return (1 + math.cos(math.pi * (step - rising) / (self.steps - rising))) / 2
        falling = self.decay * self.steps
        upwards = (step + 1) / rising if rising else 1.0
        downwards = (self.steps - step) / falling if falling and self.schedule == "linear" else 1.0
        return min(1.0, upwards, downwards)


@dataclass(frozen=True)
class Progress:
    """What one step showed: `loss` (nats per token, before it, under dropout), `rate`, tokens and seconds so far.

    `validation`: the loss on the validation rows after the step, where one was due, else None.
    """

    step: int
    loss: float
    rate: float
    tokens: int
    seconds: float
    validation: float | None = None


def loss_of(logits, targets):
    """Return the mean cross-entropy in nats: −log p of `targets` (B, T), predicted by `logits` (B, T, V)."""
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def optimizers(model, recipe):
    """Return [Muon for the matrices inside the blocks, AdamW for all other parameters of our `GPT2`].

    A `muon_lr` of 0 asks for AdamW alone, without weight decay: it then moves the matrices, too.
    """
    if not recipe.muon_lr:
        return [_adamw(model.parameters(), recipe)]
    inside = {name for name, p in model.named_parameters() if p.dim() == 2 and name.startswith("h.")}
    matrices = [p for name, p in model.named_parameters() if name in inside]
    others = [p for name, p in model.named_parameters() if name not in inside]
    muon = torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay, momentum=0.95)
    muon.param_groups[0]["peak"] = recipe.muon_lr
    return [muon, _adamw(others, recipe)]


def _adamw(parameters, recipe):
    adamw = torch.optim.AdamW(parameters, lr=recipe.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0)
    adamw.param_groups[0]["peak"] = recipe.adamw_lr
    return adamw


@contextlib.contextmanager
def dropout(model, share):
    """While this lasts and the model is in training mode, leave out a random `share` of what is written to its stream.

    What embeddings, attentions and MLPs add is set to 0 at random places, the rest made larger in proportion
    (Srivastava et al. 2014), where GPT-2 did it (`embd_pdrop`, `resid_pdrop`). So no place can be relied on.
    """
    hooks = [
        model.h[0].register_forward_pre_hook(
            lambda block, given: (F.dropout(given[0], share, block.training), *given[1:]),
        )
    ]
    for part in [part for block in model.h for part in (block.attn, block.mlp)]:
        hooks.append(part.register_forward_hook(lambda part, _, out: F.dropout(out, share, part.training)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def train_step(model, rows, found, recipe, step):
    """Make one step of the optimizers `found` on `rows` (B, T+1) and return the mean loss before it, in nats per token.

    Raises `FloatingPointError`, before any weight has changed, if the loss is no number.
    """
    device = model.wte.weight.device
    half = recipe.bf16 and (device.type == "cuda" or _multiplies_bf16())
    total = 0.0
    for part in rows.split(recipe.rows_at_once):
        part = part.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16) if half else contextlib.nullcontext():
            logits = model(part[:, :-1])
        loss = loss_of(logits, part[:, 1:]) * (len(part) / len(rows))
        loss.backward()
        total += loss.item()
    if not math.isfinite(total):
        for optimizer in found:
            optimizer.zero_grad()
        raise FloatingPointError(f"the loss of step {step} is {total}: the learning rate may be too high.")
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    for optimizer in found:
        group = optimizer.param_groups[0]
        group["lr"] = group["peak"] * recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    return total


def run(model, batches, recipe, *, found=None, after=None, validation=None):
    """Train `model` (our `GPT2`) in place; yields a `Progress` after each step: the caller may look, print, stop.

    `batches[step]` is (rows, context + 1). `found`: the optimizers, needed by who wants to save them; `after`: the
    `Progress` to go on after, from `load_state`; `validation`, a `Validation`: asked where it is due, it may end the
    training. While it is suspended or done the model is ready to be used.
    """
    found = found or optimizers(model, recipe)
    first, tokens, before = (after.step + 1, after.tokens, after.seconds) if after else (0, 0, 0.0)
    started = time.monotonic()
    with dropout(model, recipe.dropout) if recipe.dropout else contextlib.nullcontext():
        for block in model.h if recipe.compiled else ():
            block.compile()
        for step in range(first, recipe.steps):
            if validation is not None and validation.is_over:
                break
            rows = batches[step]
            model.requires_grad_(True).train()
            try:
                with _random_state(recipe, step):
                    loss = train_step(model, rows, found, recipe, step)
            finally:
                model.requires_grad_(False).eval()
            tokens += rows.numel() - len(rows)
            due = validation is not None and validation.is_due(step, recipe.steps)
            looked = validation.look(model) if due else None
            yield Progress(step, loss, recipe.rate(step), tokens, before + time.monotonic() - started, looked)
    if validation is not None:
        validation.restore(model)


def save_state(path, model, found, progress, validation=None):
    """Write weights, optimizers' memory, the last `Progress` and what `validation` remembers; whole or not at all."""
    tensors = {f"model.{name}": p for name, p in model.named_parameters()}
    for number, optimizer in enumerate(found):
        for index, memory in optimizer.state_dict()["state"].items():
            tensors |= {f"{number}.{index}.{key}": torch.as_tensor(value) for key, value in memory.items()}
    metadata = {"progress": json.dumps(asdict(progress))}
    if validation is not None:
        tensors |= {f"best.{name}": p for name, p in validation.best.items()}
        metadata["validation"] = json.dumps(validation.numbers())
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    part = Path(path).with_suffix(".part")
    save_file(tensors, part, metadata=metadata)
    part.replace(path)


def load_state(path, model, found, validation=None):
    """Put what `save_state` wrote into `model`, optimizers, `validation`; return the `Progress` to go on after."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    progress = Progress(**json.loads(metadata["progress"]))
    tensors = load_file(path)
    if validation is not None:
        vars(validation).update(json.loads(metadata["validation"]))
        device = model.wte.weight.device
        best = {name.removeprefix("best."): t.to(device) for name, t in tensors.items() if name.startswith("best.")}
        validation.best = best
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    model.load_state_dict(weights)
    for number, optimizer in enumerate(found):
        whole = optimizer.state_dict()
        for name, tensor in tensors.items():
            if name.startswith(f"{number}."):
                _, index, key = name.split(".")
                whole["state"].setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(whole)
    return progress


def write_model(model, folder, *, tokenizer_files, version, dtype=torch.float16):
    """Write our `GPT2` as a folder that `load()` and transformers open: safetensors, config, tokenizer, checksums."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, p in model.named_parameters():
        weight = p.detach().t() if name.endswith(TURNED) else p.detach()
        tensors[f"transformer.{name}"] = weight.to("cpu", dtype).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    eos = model.config.vocab_size - 1
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new"}
    config |= asdict(model.config) | {"bos_token_id": eos, "eos_token_id": eos, "tie_word_embeddings": True}
    config |= {"attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0, "dtype": str(dtype).removeprefix("torch.")}
    _write_json(folder / "config.json", config | {"model_version": version})
    _write_json(folder / "generation_config.json", {"bos_token_id": eos, "eos_token_id": eos})
    for file in tokenizer_files:
        (folder / file.name).write_bytes(file.read_bytes())
    listed = ["config.json", "generation_config.json", "model.safetensors", *(file.name for file in tokenizer_files)]
    sums = "".join(f"{checksums.digest(folder / name)}  {name}\n" for name in sorted(listed))
    (folder / "SHA256SUMS").write_text(sums, "utf8")


@contextlib.contextmanager
def _random_state(recipe, step):
    """Let dropout depend on seed and step alone, so that going on after a stop changes nothing; leave torch's own."""
    with torch.random.fork_rng(enabled=recipe.dropout > 0):
        if recipe.dropout:
            torch.manual_seed(1_000_003 * recipe.seed + step)
        yield


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf8")


def _multiplies_bf16():
    """Return whether this processor multiplies bfloat16 in hardware; where it does not, it is slower than float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
