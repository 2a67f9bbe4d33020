"""One view of everything that can continue a text: token ids in, logits out.

The course scores and continues text with a `LanguageModel`, with our own GPT-2, with a transformers model, or with
any function. Here, and only here, they become the same thing.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

_PLACES = (str(Path(__file__).parent), str(Path(torch.__file__).parent))  # whose lines are nobody's own


class WithModel(Protocol):
    """What has a network inside: a `LanguageModel`."""

    @property
    def model(self) -> Any:
        """The network."""


# what the course scores and continues text with, for type hints: see `logits_function`
Model = WithModel | Callable[..., Any]


def logits_function(model):
    """Return `f(input_ids (B, T)) -> logits (B, T, V)` for `model`, in evaluation mode, without gradients.

    `model` is a `LanguageModel` (its own GPT-2, `scratch`, answers), our GPT-2, a transformers model, or a callable
    that gives logits (a tensor, or an object with `.logits`). Raises TypeError if it is none of these, and
    ValueError if the logits have another shape.
    """
    network = network_of(model)
    if not callable(network):
        raise TypeError(
            f"a model is a LanguageModel, a GPT-2, or a function from ids to logits, not {type(network).__name__}"
        )

    def logits_of(input_ids):
        with evaluating(network), torch.no_grad():
            output = network(input_ids)
        logits = getattr(output, "logits", output)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 3 or logits.shape[:2] != input_ids.shape:
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ValueError(f"for ids {tuple(input_ids.shape)} the model must return logits (B, T, V), not {shape}")
        return logits

    return logits_of


@contextlib.contextmanager
def evaluating(network):
    """Put `network` into evaluation mode (no dropout) for a while; it gets its own mode back, whatever happens."""
    if not isinstance(network, torch.nn.Module) or not network.training:
        yield
        return
    network.eval()
    try:
        yield
    finally:
        network.train()


def network_of(model):
    """Return what computes: the own GPT-2 of a `LanguageModel`, anything else as it is."""
    return model.scratch if hasattr(type(model), "scratch") else model


def context_length(model):
    """Return how many tokens `model` can read at once, `n_positions`, or None where nothing limits it."""
    return _configured(model, "n_positions")


def vocabulary_size(model):
    """Return how many token ids `model` knows, or None where it does not say."""
    inner = model.model if hasattr(type(model), "scratch") else model
    return _configured(model, "vocab_size") or getattr(inner, "vocab_size", None)


def beginning_token(model):
    """Return the id that stands before a text (`<|endoftext|>` in GPT-2), or None if `model` does not know one."""
    return _configured(model, "bos_token_id")


def end_token(model):
    """Return the id that ends a text (`<|endoftext|>` in GPT-2), or None if `model` does not know one."""
    token = _configured(model, "eos_token_id")
    return token[0] if isinstance(token, list) else token


def warn_of_padding(model: Any, input_ids: torch.Tensor) -> None:
    """Warn if `input_ids` (B, T), given without a mask, look padded: what is padding would be read as text.

    They do where rows begin with different numbers of the padding token, or end so with at least two. (It is the token
    that ends a text, too: a single one may be meant.) The warning names the caller's line, so each line is told once.
    """
    pad = _configured(model, "pad_token_id")
    if pad is None or len(input_ids) < 2:
        return
    is_pad = (input_ids == pad).long()
    before, after = is_pad.cumprod(1).sum(1), is_pad.flip(1).cumprod(1).sum(1)
    if (before != before[0]).any() or ((after != after[0]).any() and after.max() > 1):
        place = "begin" if (before != before[0]).any() else "end"
        frame, level = sys._getframe(1), 2
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_PLACES):
            frame, level = frame.f_back, level + 1
        warnings.warn(
            f"some rows {place} with padding tokens, but no attention_mask was given, so that padding is read as text. "
            "Give attention_mask, 0 for padding.",
            stacklevel=level,
        )


def device_of(model):
    """Return the device on which the weights of `model` lie, or None where it has none (a function)."""
    inner = model.model if hasattr(type(model), "scratch") else model
    weights = next(inner.parameters(), None) if isinstance(inner, torch.nn.Module) else None
    return None if weights is None else weights.device


def _configured(model, name):
    inner = model.model if hasattr(type(model), "scratch") else model
    return getattr(getattr(inner, "config", None), name, None)
