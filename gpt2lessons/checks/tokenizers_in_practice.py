"""Checks of the deeper notebook on tokenizers in practice: a padded batch, and text that arrives in pieces."""

from itertools import pairwise

import torch

from gpt2lessons.bpe import BPE
from gpt2lessons.checks.frame import WrongError, exercise


@exercise("A batch, padded on the left")
def pad_left(answer):
    """Examine `answer(rows, pad_id) -> (input_ids, attention_mask, position_ids)`, three LongTensors (B, T)."""
    pad = 99
    rows = [[5, 6, 7, 8], [pad, 3], [4, pad, 2]]  # the padding id may also be a real token: pad = end of text
    before = [list(row) for row in rows]
    got = answer(rows, pad)
    if rows != before:
        raise WrongError("your function changed the rows that it was given.", hint="Build new lists: [0] * n + row.")
    if not isinstance(got, tuple) or len(got) != 3:
        raise WrongError("three results are asked for: input_ids, attention_mask, position_ids.", hint="return a, b, c")
    for name, tensor in zip(("input_ids", "attention_mask", "position_ids"), got, strict=True):
        if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.long:
            kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise WrongError(f"{name} should be a tensor of whole numbers (torch.long), not {kind}.")
        if tensor.shape != (3, 4):
            hint = "As many columns as the longest row has tokens."
            raise WrongError(f"{name} should have shape (3, 4), but has {tuple(tensor.shape)}.", hint=hint)
    ids, mask, positions = (tensor.tolist() for tensor in got)
    if ids[1] == [pad, 3, pad, pad]:
        hint = "The next token is read from the last column, which must be a real token."
        raise WrongError("the padding stands on the right.", hint=hint)
    if ids != [[5, 6, 7, 8], [pad, pad, pad, 3], [pad, 4, pad, 2]]:
        raise WrongError(f"input_ids is {ids}.", hint="In every row: padding first, then all its tokens in order.")
    if mask == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]]:
        raise WrongError("the mask is upside down.", hint="1 stands for a real token, 0 for padding.")
    if mask == [[int(i != pad) for i in row] for row in ids]:
        hint = "The padding id may occur inside a text: it is the end-of-text token. Count lengths, do not compare ids."
        raise WrongError("a real token was taken for padding.", hint=hint)
    if mask != [[1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]]:
        raise WrongError(f"attention_mask is {mask}.", hint="1 for each real token, 0 for each padding token.")
    if positions == [[0, 1, 2, 3]] * 3:
        hint = "Each text should begin at position 0, as it would without padding."
        raise WrongError("the padding is counted as positions.", hint=hint)
    real = [[p for p, m in zip(*pair, strict=True) if m] for pair in zip(positions, mask, strict=True)]
    if real == [[1, 2, 3, 4], [1, 2], [1, 2, 3]]:
        raise WrongError("positions begin at 1.", hint="GPT-2's first position is 0.")
    if real != [[0, 1, 2, 3], [0, 1], [0, 1, 2]]:
        raise WrongError(
            f"the real tokens have the positions {real}.", hint="Count the ones of the mask from the left."
        )
    if min(map(min, positions)) < 0:
        hint = "Masked or not, a position is looked up in the table, and −1 is not in it."
        raise WrongError("a padding token has a negative position.", hint=hint)
    return "padded on the left, masked, and every text begins at position 0."


@exercise("Text that arrives in pieces")
def stream_text(answer):
    """Examine `answer(tokens) -> list of str`: what to print after each token (bytes), whole characters only."""
    for text in ("I am naïve 🙂.", "你好", "𓀀a", "plain"):
        tokens = [BPE.gpt2().token_bytes[i] for i in BPE.gpt2().encode(text)]
        _examine_stream(text, tokens, answer(list(tokens)))
    text = "é🙂"
    tokens = [bytes([b]) for b in text.encode()]
    _examine_stream(text, tokens, answer(list(tokens)))
    return "each character appears as soon as its last byte is there, and never a broken one."


def _examine_stream(text, tokens, got):
    if isinstance(got, str) or not all(isinstance(g, str) for g in got):
        raise WrongError("the result should be a list with one str per token.", hint="Use '' where nothing is ready.")
    got = list(got)
    if len(got) != len(tokens):
        raise WrongError(f"{len(tokens)} tokens came, but {len(got)} strings were returned.", hint="One per token.")
    if any("\ufffd" in g for g in got):
        hint = "A token may end inside a character. Keep its bytes until the rest has come."
        raise WrongError(f"{text!r} is shown as {got}: with broken characters.", hint=hint)
    if any("\\x" in g for g in got):
        raise WrongError(
            f"{text!r} is shown as {got}: with the bytes written out.", hint="Wait for the whole character."
        )
    if len(got) > 1 and got[-1] == text and not any(got[:-1]):
        raise WrongError("nothing appears before the last token.", hint="Return what is whole after each token.")
    if any(later.startswith(earlier) and earlier for earlier, later in pairwise(got)) and "".join(got) != text:
        hint = "What has been printed stays on the screen: return only what is new."
        raise WrongError(f"{text!r} is shown as {got}: parts are repeated.", hint=hint)
    if len("".join(got)) < len(text):
        hint = "Bytes that cannot be shown yet must not be thrown away."
        raise WrongError(f"{text!r} is shown as {got}: characters are missing.", hint=hint)
    if "".join(got) != text:
        raise WrongError(
            f"the strings joined are {''.join(got)!r}, but the text is {text!r}.", hint="The bytes are UTF-8."
        )
    ready = [_whole(b"".join(tokens[: i + 1])) for i in range(len(tokens))]
    new = [now[len(before) :] for before, now in pairwise(["", *ready])]
    if got != new:
        raise WrongError(
            f"{text!r} is shown as {got}, but {new} is possible.", hint="Show a character once it is whole."
        )


def _whole(data):
    return data.decode("utf8", errors="ignore")  # what is cut off here is the unfinished end
