"""Checks of the deeper notebook on tokenizers in practice: a pattern for numbers, a padded batch, streaming."""

from itertools import pairwise

import regex
import torch

from gpt2lessons.bpe import BPE, PATTERN
from gpt2lessons.checks.frame import WrongError, exercise


@exercise("Numbers in threes")
def number_pattern(answer):
    """Examine `answer`: a pattern that cuts as GPT-2's does, but numbers into groups of at most three digits."""
    if not isinstance(answer, str):
        raise WrongError(f"the pattern should be a str, not {type(answer).__name__}.")
    try:
        pattern = regex.compile(answer)
    except regex.error as error:
        raise WrongError(f"this is no regular expression: {error}.") from None
    if pattern.groups:
        raise WrongError("the pattern has groups, and findall returns those only.", hint="Write (?:…) for a group.")
    for text in ("It's a test, isn't it?  Yes!\n\n\tfine", "naïve  🙂!!", "we'll  see   "):
        old = regex.findall(PATTERN, text)
        if pattern.findall(text) != old:
            hint = "Change the part for numbers only; the order of the others matters too."
            raise WrongError(f"{text!r} has no number; it should be cut as before, into {old}.", hint=hint)
    for text in ("in 1234567 years", "7 of 42", "a1b22c", " 2024-01-31", "١٢٣٤ ½"):
        _examine_pieces(text, pattern.findall(text))
    return "1234567 is now 123, 456 and 7, and nothing else changed. Some later models cut numbers like this."


def _examine_pieces(text, pieces):
    if "".join(pieces) != text:
        if not text.isascii():
            hint = r"\p{N} stands for the digits of every script, [0-9] for ten of them."
            raise WrongError(f"{text!r} lost its numbers, which are not written with 0 to 9.", hint=hint)
        hint = "Every character must belong to a piece, whatever its script and however short the number."
        raise WrongError(f"of {text!r} only {''.join(pieces)!r} is left: characters were lost.", hint=hint)
    digits = [len(regex.findall(r"\p{N}", p)) for p in pieces]
    if max(digits) > 3:
        piece = pieces[digits.index(max(digits))]
        raise WrongError(
            f"{piece!r} is still one piece of {max(digits)} digits.", hint="Limit how often \\p{N} repeats."
        )
    expected = regex.findall(PATTERN.replace(r"\p{N}+", r"\p{N}{1,3}"), text)
    if pieces == expected:
        return
    if max(digits) < max(len(regex.findall(r"\p{N}", p)) for p in expected):
        raise WrongError(
            f"{text!r} is cut into {pieces}: groups shorter than need be.", hint="At most three, not fewer."
        )
    if any(p.isspace() for p in pieces) and not any(p.isspace() for p in expected):
        raise WrongError(f"{text!r} is cut into {pieces}: a space lost its number.", hint="Keep the ' ?' in front.")
    raise WrongError(f"{text!r} should be cut into {expected}, not {pieces}.", hint="Change the part for numbers only.")


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
