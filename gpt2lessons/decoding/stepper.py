"""Reads a batch of texts token by token, so that decoding loops need not know what kind of model answers.

`Stepper(model, input_ids, …)` gives the logits after the prompt, then after each further token: with a key-value cache
where the model has one, and with left padding treated rightly for every kind of model.
"""

import numbers

import torch

from gpt2lessons.adapters import (
    context_length,
    evaluating,
    logits_function,
    network_of,
    vocabulary_size,
    warn_of_padding,
)
from gpt2lessons.decoding.arguments import check_whole


class Stepper:
    """The state of one batch of texts: `ids` (B, T) so far and `mask` (B, T), or None where nothing is padded.

    `read()` reads what is new and returns the logits (B, V), float32 or float64, for the token that follows;
    `add(tokens)` adds one token to each row; `repeat(n)` and `select(rows)` copy or reorder rows (samples, beams).
    """

    def __init__(self, model, input_ids, *, max_length, attention_mask=None, use_cache=True):
        self.network = network_of(model)
        self.length = input_ids.shape[1]
        self._ids = input_ids.new_empty(len(input_ids), max_length)
        self._ids[:, : self.length] = input_ids
        self._mask = None
        if attention_mask is not None and not attention_mask.all():
            self._mask = attention_mask.new_ones(self._ids.shape, dtype=torch.long)
            self._mask[:, : self.length] = attention_mask
        self._cache = None
        # functions, not methods: a method kept here would hold this object, and its cache would outlive it
        if hasattr(self.network, "new_cache"):
            self._read = Stepper._read_ours
            self._cache = self.network.new_cache(len(input_ids), max_length) if use_cache else None
        elif hasattr(self.network, "prepare_inputs_for_generation"):
            self._read = Stepper._read_transformers
        else:
            self._read, use_cache = Stepper._read_function, False
            self._function = logits_function(self.network)
        self._cached, self._seen = use_cache, 0

    @property
    def ids(self):
        """The texts so far, LongTensor (B, T); a view that the next step may change."""
        return self._ids[:, : self.length]

    @property
    def mask(self):
        """1 for a token, 0 for padding, LongTensor (B, T), or None where nothing is padded."""
        return None if self._mask is None else self._mask[:, : self.length]

    @property
    def history(self):
        """`ids` with -1 in place of padding: what the repetition rules look at."""
        return self.ids if self._mask is None else self.ids.masked_fill(self.mask == 0, -1)

    def read(self):
        """Read what has not been read yet; return the logits (B, V) for the token that follows."""
        start = self._seen if self._cached else 0
        logits = self._read(self, self._ids[:, start : self.length])[:, -1]
        self._seen = self.length
        return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()

    def add(self, tokens):
        """Add `tokens` (B,), one to each row."""
        self._ids[:, self.length] = tokens
        self.length += 1

    def repeat(self, times):
        """Follow each row by `times` - 1 copies of itself."""
        if times > 1:
            self.select(torch.arange(len(self._ids), device=self._ids.device).repeat_interleave(times))

    def select(self, rows):
        """Let row i become what row `rows[i]` was: LongTensor of row numbers, repeats allowed."""
        self._ids = self._ids[rows]
        self._mask = None if self._mask is None else self._mask[rows]
        if self._cache is None:
            return
        if hasattr(self._cache, "reorder_cache"):
            self._cache.reorder_cache(rows)
        else:
            self._cache.select(rows)

    def _read_ours(self, ids):
        return self.network(ids, attention_mask=self.mask, cache=self._cache, last_only=True)

    def _read_transformers(self, ids):
        more = {}
        if self._mask is not None:  # transformers counts positions from the mask in generate only
            positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            more = {"attention_mask": self.mask, "position_ids": positions}
        cache = {"past_key_values": self._cache, "use_cache": self._cached}
        with evaluating(self.network):
            out = self.network(ids, logits_to_keep=1, **cache, **more)
        self._cache = out.past_key_values if self._cached else None
        return out.logits

    def _read_function(self, ids):
        if self._mask is None:
            return self._function(ids)[:, -1:].clone()  # a view would keep all T rows of logits alive in a trace
        # a plain function knows nothing of padding: rows with equally much of it are read together, without it
        padding = (self.mask == 0).sum(1)
        last = {}
        for n in padding.unique().tolist():
            rows = (padding == n).nonzero().flatten()
            last |= zip(rows.tolist(), self._function(ids[rows, n:])[:, -1], strict=True)
        return torch.stack([last[i] for i in range(len(ids))])[:, None]


def check_prompt(model, input_ids, attention_mask, max_new_tokens):
    """Raise `ValueError` or `TypeError` unless `model` can continue `input_ids` (B, T) by `max_new_tokens` tokens."""
    if not isinstance(input_ids, torch.Tensor) or input_ids.dtype != torch.long:
        given = f"dtype {input_ids.dtype}" if isinstance(input_ids, torch.Tensor) else type(input_ids).__name__
        raise TypeError(
            f"input_ids is {given}, but should be a LongTensor (B, T) of token ids. "
            "lm.encode(text) makes one; so does torch.tensor([[...]])."
        )
    if input_ids.ndim != 2 or 0 in input_ids.shape:
        hint = " One text is ids[None]." if input_ids.ndim == 1 and len(input_ids) else ""
        empty = " A text needs at least one token to start from: encode more than ''." if not input_ids.numel() else ""
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}, but should be (B, T).{hint}{empty}")
    check_whole(max_new_tokens, "max_new_tokens", 1)
    size = vocabulary_size(model)
    low, high = int(input_ids.min()), int(input_ids.max())
    if low < 0 or (size is not None and high >= size):
        known = f"0 to {size - 1}" if size is not None else "0 and up"
        raise ValueError(
            f"input_ids run from {low} to {high}, but this model's ids are {known}. "
            "Was the text encoded with another model's tokenizer?"
        )
    longest = input_ids.shape[1]
    if attention_mask is not None:
        longest = _longest(input_ids, attention_mask)
    limit = context_length(model)
    if limit is not None and longest + max_new_tokens > limit:
        advice = f"Ask for {limit - longest} new tokens or fewer, or cut the prompt."
        if longest >= limit:
            advice = f"Cut the prompt: its last {limit - 1} tokens, ids[:, {1 - limit}:], leave room for one."
        raise ValueError(
            f"{longest} tokens of prompt and max_new_tokens={max_new_tokens} make {longest + max_new_tokens}, but this "
            f"model reads at most {limit}. {advice}"
        )
    if attention_mask is None:
        warn_of_padding(model, input_ids)


def read_ends(eos_token_id, size):
    """Return the end tokens as a list of ids; raise `TypeError` or `ValueError` unless they are ids below `size`."""
    ends = [] if eos_token_id is None else eos_token_id
    ends = list(ends) if isinstance(ends, list | tuple | set) else [ends]
    if not all(isinstance(end, numbers.Integral) and not isinstance(end, bool) for end in ends):
        raise TypeError(f"eos_token_id={eos_token_id!r} is not allowed: it is a token id, a list of them, or None.")
    known = "0 and up" if size is None else f"0 to {size - 1}"
    for end in ends:
        if end < 0 or (size is not None and end >= size):
            raise ValueError(
                f"eos_token_id={end} would never end a text: this model's ids are {known}. "
                "Take the id from its own tokenizer, or None to go on."
            )
    return [int(end) for end in ends]


def check_ids_of_prompt(input_ids, size):
    """Raise `ValueError` unless the ids fit logits of `size` tokens; for models that do not say their size."""
    if int(input_ids.max()) >= size:
        raise ValueError(
            f"input_ids contain {int(input_ids.max())}, but the model's logits know ids up to {size - 1}. "
            "Was the text encoded with another model's tokenizer?"
        )


def _longest(input_ids, mask):
    if not isinstance(mask, torch.Tensor) or mask.shape != input_ids.shape:
        given = tuple(mask.shape) if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise ValueError(
            f"attention_mask is {given}, but should be a tensor of input_ids' shape {tuple(input_ids.shape)}."
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("attention_mask has other values than 1 (a token) and 0 (padding).")
    if not (mask[:, -1] == 1).all() or (mask.long().diff(dim=1) < 0).any():
        raise ValueError(
            "attention_mask has padding on the right of a text or inside it, but a text is continued at its right end: "
            "pad on the left (tokenizer.padding_side = 'left')."
        )
    return int(mask.sum(1).max())
