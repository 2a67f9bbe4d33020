"""GPT-2 from scratch: embeddings, blocks of attention and MLP, tied head, key-value cache.

The architecture is that of Radford et al. (2019), section 2.3, with the names of its checkpoint (`wte`, `wpe`, `h`,
`ln_1`, `attn.c_attn`, …). Letters in shapes: B batch, T positions, V vocabulary, C = n_embd, H heads, D = C / H.

There is no dropout: it only ever acts in training, and text is written without it.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

WIRING = {  # what transformers' configuration may say, GPT-2's own first
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "n_inner": (None,),  # or 4 C, which None means
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
}
TURNED = ("c_attn.weight", "c_fc.weight", "c_proj.weight")  # the checkpoint stores (in, out), nn.Linear (out, in)


@dataclass(frozen=True)
class GPT2Config:
    """The six numbers that fix a GPT-2; the defaults are the 124M model's. `ValueError` if H does not divide C."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    layer_norm_epsilon: float = 1e-5

    def __post_init__(self):
        if min(self.vocab_size, self.n_positions, self.n_embd, self.n_layer, self.n_head) < 1:
            raise ValueError(f"every size must be at least 1, but the configuration is {self}.")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd={self.n_embd} cannot be shared out evenly among n_head={self.n_head} heads.")


class KeyValueCache:
    """The keys and values of all `length` columns seen so far, in room for `max_length` reserved at once.

    `kv` is (n_layer, 2, B, H, max_length, D): new columns are written in place, so no step copies the old ones.
    It holds values, not their history: use it under `torch.inference_mode()` or `torch.no_grad()`.
    """

    def __init__(self, config, batch_size, max_length, *, dtype=None, device=None):
        if batch_size < 1 or max_length < 1:
            raise ValueError(f"batch_size and max_length should be at least 1, not {batch_size} and {max_length}.")
        rows = (batch_size, config.n_head, max_length, config.n_embd // config.n_head)
        self.kv = torch.empty((config.n_layer, 2, *rows), dtype=dtype, device=device)
        self.batch_size, self.max_length, self.length = batch_size, max_length, 0

    def append(self, layer, new):
        """Write keys and values `new` (2, B, H, T, D) after the cached ones; return all, (2, B, H, length + T, D)."""
        stored, end = self.kv[layer], self.length + new.shape[3]
        stored[:, :, :, self.length : end] = new
        return stored[:, :, :, :end]

    def select(self, rows):
        """Let row i become what row `rows[i]` was: LongTensor (B',) of row numbers, repeats allowed (beam search)."""
        if len(rows) == self.batch_size:
            used = self.kv[:, :, :, :, : self.length]
            used.copy_(used.index_select(2, rows))
        else:
            self.kv, self.batch_size = self.kv.index_select(2, rows), len(rows)


class Attention(nn.Module):
    """Every position gathers from itself and the positions before it, once per head."""

    def __init__(self, config, name):
        super().__init__()
        self.name, self.n_head, self.d_head = name, config.n_head, config.n_embd // config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)  # queries, keys and values in one multiplication
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x, mask, cache, layer, record):
        """Return (B, T, C) from `x` (B, T, C) and `mask`: see `GPT2.forward`."""
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.n_head, self.d_head).permute(2, 0, 3, 1, 4)  # (3, B, H, T, D)
        q, kv = qkv[0], qkv[1:]
        k, v = kv if cache is None else cache.append(layer, kv)
        if record is None:  # one fused kernel, which never writes the (T, T) patterns to memory
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and T > 1)
        else:  # the same, step by step
            scores = q @ k.transpose(-2, -1) / math.sqrt(self.d_head)  # (B, H, T, all positions)
            pattern = torch.softmax(scores + mask, dim=-1)
            heads = pattern @ v  # (B, H, T, D)
            steps = {"q": q, "k": k, "v": v, "scores": scores, "pattern": pattern, "heads": heads}
            record.update((f"{self.name}.{step}", value) for step, value in steps.items())
        joined = heads.transpose(1, 2).reshape(B, T, C)  # the heads' outputs side by side
        return _note(record, self.name, "out", self.c_proj(joined))


class MLP(nn.Module):
    """Every position for itself: four times as wide, the tanh form of GELU (Hendrycks & Gimpel 2016), and back."""

    def __init__(self, config, name):
        super().__init__()
        self.name = name
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x, record):
        """Return (B, T, C) from `x` (B, T, C)."""
        wide = _note(record, self.name, "c_fc", self.c_fc(x))  # (B, T, 4C)
        active = _note(record, self.name, "gelu", F.gelu(wide, approximate="tanh"))
        return _note(record, self.name, "out", self.c_proj(active))


class Block(nn.Module):
    """x + Attention(LayerNorm(x)), then x + MLP(LayerNorm(x)): the LayerNorms stand before, not after ("pre-LN")."""

    def __init__(self, config, name):
        super().__init__()
        self.name = name
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config, f"{name}.attn")
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config, f"{name}.mlp")

    def forward(self, x, mask, cache, layer, record):
        """Return the residual stream (B, T, C) after this block."""
        normed = _note(record, self.name, "ln_1", self.ln_1(x))
        x = _note(record, self.name, "mid", x + self.attn(normed, mask, cache, layer, record))
        normed = _note(record, self.name, "ln_2", self.ln_2(x))
        return _note(record, self.name, "out", x + self.mlp(normed, record))


class GPT2(nn.Module):
    """GPT-2: token ids (B, T) in, logits (B, T, V) out. `GPT2(config)` starts from GPT-2's random initialisation."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)  # also the head: see the last line of forward
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config, f"h.{i}") for i in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # 2 * n_layer matrices write to the residual stream: start them smaller
                std = 0.02 / math.sqrt(2 * config.n_layer) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, input_ids, *, attention_mask=None, cache=None, last_only=False, record=None):
        """Return logits (B, T, V), or (B, 1, V) of the last position if `last_only`.

        `input_ids` (B, T) integers; `attention_mask` (B, cached + T), 1 for a token, 0 for padding, from which the
        positions are counted, so that padding may stand on the left; `cache` from `new_cache`: these T positions see
        it and are added to it; `record`, a dict to be filled with every intermediate tensor by name, in order.
        Raises `ValueError` or `TypeError` if a shape or dtype is wrong, an id unknown, or the text too long.
        """
        start = 0 if cache is None else cache.length
        _check(input_ids, attention_mask, cache, start, self.config, self.wte.weight.device)
        T, end = input_ids.shape[1], start + input_ids.shape[1]
        positions = slice(start, end)
        if attention_mask is not None:
            positions = (attention_mask.long().cumsum(-1)[:, start:] - 1).clamp(min=0)
        # a single new token sees everything, and the fused kernel knows the causal mask: neither needs a tensor
        plain = attention_mask is None and record is None and (T == 1 or start == 0)
        mask = None if plain else self._mask(attention_mask, start, end)
        try:
            tokens = self.wte(input_ids)
        except IndexError:
            span = f"{input_ids.min()} to {input_ids.max()}, but this model knows 0 to {self.config.vocab_size - 1}"
            raise ValueError(f"the ids run from {span}. Do they come from another model's tokenizer?") from None
        places = self.wpe.weight[positions]  # (T, C), or (B, T, C) with padding
        x = _note(record, "", "wte", tokens) + _note(record, "", "wpe", places)
        x = _note(record, "", "embeddings", x)
        for layer, block in enumerate(self.h):
            x = block(x, mask, cache, layer, record)
        if cache is not None:
            cache.length = end
        x = _note(record, "", "ln_f", self.ln_f(x[:, -1:] if last_only else x))
        return _note(record, "", "logits", F.linear(x, self.wte.weight))

    def new_cache(self, batch_size, max_length):
        """Return an empty `KeyValueCache` for `batch_size` rows of up to `max_length` columns, padding included."""
        weight = self.wte.weight
        return KeyValueCache(self.config, batch_size, max_length, dtype=weight.dtype, device=weight.device)

    def _mask(self, attention_mask, start, end):
        """Return 0 where a position (row) may look, -inf where not: (1 or B, 1, T, end)."""
        columns = torch.arange(end, device=self.wte.weight.device)
        rows = columns[start:, None]
        visible = (columns <= rows)[None, None]
        if attention_mask is not None:  # padding sees itself, or softmax would divide 0 by 0
            visible = visible & attention_mask.bool()[:, None, None] | (columns == rows)
        return torch.zeros_like(visible, dtype=self.wte.weight.dtype).masked_fill(~visible, -math.inf)

    @classmethod
    def from_transformers(cls, model, *, share=False):
        """Return our GPT-2 with a copy of the weights of `model`, a transformers `GPT2LMHeadModel`.

        `share`: let `model` use the copies too, so that only the token embeddings are in memory twice (their order
        differs, and it can save its own order only): a `Link` sees when those of `model` change.
        Raises `ValueError` if a tensor is missing, unknown or of the wrong shape, or the wiring is not GPT-2's. The
        copies do not require gradients, so that a forward pass keeps nothing; `.requires_grad_(True)` trains them.
        """
        config = check_architecture(model)
        with torch.device("meta"):  # shapes without memory: the weights come from the checkpoint
            ours = cls(config)
        found = _weights(model)
        for name, weight in found.items():
            weight = weight.detach().t() if name.endswith(TURNED) else weight.detach()
            found[name] = weight.clone() if name == "wpe.weight" else _in_reading_order(weight)
        ours.load_state_dict(found, assign=True)
        for name, parameter in model.named_parameters() if share else ():
            own = found[name.removeprefix("transformer.")]
            if name == "transformer.wte.weight":  # a copy, or it would keep the whole file that it came from in memory
                parameter.data = parameter.data.clone()
            else:
                parameter.data = own.t() if name.endswith(TURNED) else own
        return ours.requires_grad_(False).eval()


class Link:
    """`ours` and the transformers model `theirs` whose memory it shares: do both still have the same weights?"""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs
        self._note()

    def holds(self):
        """Return False if a weight of `theirs` was exchanged, moved, cast or resized: then `ours` must be made anew.

        What is changed in place changes in both, but for the token embeddings, which are there twice: those are
        compared by torch's count of changes and by their first column (some write around the count, through `.data`),
        and copied again. A single number written through `.data` elsewhere in them is not seen.
        """
        weights = _weights(self.theirs)
        if self._places(weights) != self._known:
            return False
        embeddings = weights["wte.weight"].detach()
        if _version(embeddings) != self._version or not torch.equal(embeddings[:, 0], self._column):
            with torch.no_grad():
                self.ours.wte.weight.copy_(embeddings)
            self._note()
        return True

    def _note(self):
        weights = _weights(self.theirs)
        self._known = self._places(weights)
        self._version, self._column = _version(weights["wte.weight"]), weights["wte.weight"].detach()[:, 0].clone()

    def _places(self, weights):
        return [(name, p.data_ptr(), p.dtype, p.device, p.shape) for name, p in weights.items()]


def _version(weight):
    return None if weight.is_inference() else weight._version


def _weights(model):
    """Return {our name: parameter} of a transformers model; named_parameters lists a tied head once, as wte."""
    return {name.removeprefix("transformer."): p for name, p in model.named_parameters()}


def check_architecture(model):
    """Return the `GPT2Config` of a transformers `GPT2LMHeadModel`.

    Raises `ValueError` that names what is not as in GPT-2: another wiring, a tensor missing, unknown, or of the wrong
    shape.
    """
    theirs = model.config
    for setting, allowed in WIRING.items():
        allowed = (4 * theirs.n_embd, None) if setting == "n_inner" else allowed
        if (value := getattr(theirs, setting, allowed[0])) not in allowed:
            raise ValueError(f"{setting}={value!r} is another architecture; GPT-2 has {allowed[0]!r}.")
    config = GPT2Config(**{name: getattr(theirs, name) for name in GPT2Config.__dataclass_fields__})
    with torch.device("meta"):
        expected = {name: tuple(parameter.shape) for name, parameter in GPT2(config).named_parameters()}
    found = _weights(model)
    if wrong := sorted(expected.keys() ^ found.keys()):
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        sides = ["unknown" if name in found else "missing" for name in wrong[:3]]
        head = " GPT-2's head has no weights of its own: it is wte." if "lm_head.weight" in found else ""
        raise ValueError(
            f"not GPT-2's tensors: {', '.join(map(' '.join, zip(wrong[:3], sides, strict=True)))}{more}.{head}"
        )
    for name, weight in found.items():
        turned = tuple(reversed(weight.shape)) if name.endswith(TURNED) else tuple(weight.shape)
        if turned != expected[name]:
            raise ValueError(f"{name} should be {expected[name]}, but is {turned}.")
    return config


def _in_reading_order(weight):
    # same numbers, same shape: but a CPU multiplies one vector by a matrix with more rows than columns faster if it
    # lies in memory column by column (the head: twice as fast), and one with fewer rows if it lies row by row
    if weight.dim() == 2 and weight.shape[0] > weight.shape[1]:
        return weight.t().clone(memory_format=torch.contiguous_format).t()
    return weight.clone(memory_format=torch.contiguous_format)


def _note(record, place, name, tensor):
    if record is not None:
        record[f"{place}.{name}".lstrip(".")] = tensor
    return tensor


def _check(input_ids, attention_mask, cache, start, config, device):
    if (kind := getattr(input_ids, "dtype", type(input_ids).__name__)) not in (torch.long, torch.int):
        raise TypeError(f"input_ids should be a tensor of whole numbers (torch.long), not {kind}.")
    if input_ids.dim() != 2 or input_ids.shape[1] == 0:
        raise ValueError(f"input_ids should be (B, T), T at least 1, not {tuple(input_ids.shape)}; one text: ids[None]")
    if input_ids.device != device:
        raise ValueError(
            f"input_ids lie on {input_ids.device}, the weights on {device}: input_ids.to({str(device)!r})."
        )
    B, end = input_ids.shape[0], start + input_ids.shape[1]
    if attention_mask is not None and (attention_mask.shape != (B, end) or attention_mask.is_floating_point()):
        given = f"{tuple(attention_mask.shape)} of {attention_mask.dtype}"
        raise ValueError(f"attention_mask should be {(B, end)} of whole numbers, 1 token, 0 padding, not {given}.")
    tokens = end if attention_mask is None or end <= config.n_positions else int(attention_mask.sum(-1).max())
    if tokens > config.n_positions:
        limit = f"{config.n_positions:,} positions: keep its last tokens, or ask for fewer new ones"
        raise ValueError(f"the text has {tokens:,} tokens, but this model has {limit}.")
    if cache is not None and (cache.batch_size != B or cache.max_length < end):
        room = f"{cache.batch_size} rows and {cache.max_length:,} columns"
        raise ValueError(f"the cache has room for {room}, but {B} and {end:,} are needed: ask new_cache for more.")
