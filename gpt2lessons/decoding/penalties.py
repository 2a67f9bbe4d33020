"""Logits in, logits out, with a look at the text so far: penalties for repetition, bans, biases.

The functions take logits (B, V) and the ids so far (B, T), in which padding is an id below 0, and
return new logits (B, V). Those under `@setting(…)` are keywords of `generate`, applied in this order.
"""

import torch

from gpt2lessons.decoding.arguments import check_ids, check_logits
from gpt2lessons.decoding.settings import setting


@setting(
    "repetition_penalty",
    allowed="a number above 0 (1 changes nothing)",
    valid=lambda penalty: (penalty > 0) & (penalty < torch.inf),
    neutral=1,
    short="penalty",
    sampling=False,
)
def penalize_repetition(logits, input_ids, penalty):
    """Make the tokens of `input_ids` (B, T) less probable: positive logits are divided by `penalty`, others multiplied.

    `penalty` > 0; 1 changes nothing, below 1 rewards repetition. Ids below 0 stand for padding and
    are ignored. It depends on a constant added to the logits, which changes nothing else.
    Keskar, McCann, Varshney, Xiong & Socher 2019, "CTRL", section 4.1 (which divides always; with a
    negative logit that would be a reward, so that transformers, and we, multiply).
    """
    padded, ids = _with_padding_column(logits, input_ids)
    seen = padded.gather(1, ids)
    changed = torch.where(seen < 0, seen * penalty, seen / penalty)
    return padded.scatter(1, ids, changed)[:, :-1].contiguous()


@setting(
    "frequency_penalty",
    allowed="a finite number (0 changes nothing)",
    valid=lambda penalty: abs(penalty) < torch.inf,
    neutral=0,
    short="frequency",
    sampling=False,
)
def penalize_frequency(logits, input_ids, penalty):
    """Subtract `penalty` from a token's logit for each time it stands in `input_ids` (B, T).

    0 changes nothing, a negative penalty rewards repetition. Ids below 0 are ignored.
    OpenAI's API reference, "frequency and presence penalties".
    """
    return logits - penalty * _counts(logits, input_ids)


@setting(
    "presence_penalty",
    allowed="a finite number (0 changes nothing)",
    valid=lambda penalty: abs(penalty) < torch.inf,
    neutral=0,
    short="presence",
    sampling=False,
)
def penalize_presence(logits, input_ids, penalty):
    """Subtract `penalty` once from the logit of every token that stands in `input_ids` (B, T).

    0 changes nothing, a negative penalty rewards repetition. Ids below 0 are ignored.
    OpenAI's API reference, "frequency and presence penalties".
    """
    return logits - penalty * (_counts(logits, input_ids) > 0)


@setting(
    "no_repeat_ngram_size",
    allowed="a whole number of at least 1, or 0 for no ban",
    valid=lambda size: size >= 0,
    neutral=0,
    whole=True,
    short="no repeat",
    sampling=False,
)
def ban_repeated_ngrams(logits, input_ids, ngram_size):
    """Remove every token that would complete an n-gram which `input_ids` (B, T) contains already.

    `ngram_size` 0 bans nothing; 1 bans every token that has occurred. Ids below 0 stand for padding.
    Where nothing at all would be left, the row stays as it was (transformers would remove everything).
    Paulus, Xiong & Socher 2017, "A deep reinforced model for abstractive summarization", section 2.5.
    """
    if not isinstance(ngram_size, torch.Tensor):
        return _ban_ngrams_of_size(logits, input_ids, ngram_size)
    out = logits.clone()
    for size in ngram_size.unique().tolist():
        rows = (ngram_size == size).squeeze(1)
        if size > 0:
            out[rows] = _ban_ngrams_of_size(logits[rows], input_ids[rows], size)
    return out


def ban_words(logits, input_ids, words):
    """Remove every token that would complete one of `words`, a list of lists of token ids.

    `logits` (B, V), `input_ids` (B, T). A word of one token is removed always. Where nothing at all
    would be left, the row stays as it was. A word has several spellings in tokens (with and without a
    space before it); each needs its own list.
    """
    check_logits(logits)
    check_ids(logits, input_ids)
    _check_words(words, logits.shape[1])
    out = logits.clone()
    for *before, last in words:
        length = len(before)
        if input_ids.shape[1] < length:
            continue
        end = input_ids[:, input_ids.shape[1] - length :]
        hit = (end == end.new_tensor(before)).all(-1)
        out[:, last] = out[:, last].masked_fill(hit, -torch.inf)
    return torch.where(out.amax(-1, keepdim=True).isfinite(), out, logits)


def add_bias(logits, bias):
    """Add `bias` {token id: number} to the logits (B, V); -inf removes a token, unless it is the last one left."""
    check_logits(logits)
    if not isinstance(bias, dict):
        kind = type(bias).__name__
        raise TypeError(f"logit_bias is a {kind}, but should be a dict: {{token id: number}}.")
    out = logits.clone()
    for token, number in bias.items():
        if not 0 <= token < logits.shape[1]:
            raise ValueError(f"logit_bias has the id {token}, but the logits know 0 to {logits.shape[1] - 1}.")
        if not number < torch.inf:
            raise ValueError(f"logit_bias[{token}] is {number}, but should be a finite number or -inf.")
        out[:, token] += number
    return torch.where(out.amax(-1, keepdim=True).isfinite(), out, logits)


def _with_padding_column(logits, input_ids):
    """Return logits (B, V + 1) and ids in which padding (below 0) points to the column past the vocabulary."""
    size = logits.shape[1]
    return torch.nn.functional.pad(logits, (0, 1)), input_ids.where(input_ids >= 0, size)


def _counts(logits, input_ids):
    """Return how often each token stands in `input_ids`, (B, V), in the type of the logits."""
    padded, ids = _with_padding_column(torch.zeros_like(logits), input_ids)
    return padded.scatter_add(1, ids, padded.new_ones(ids.shape))[:, :-1]


def _ban_ngrams_of_size(logits, input_ids, n):
    length, size = input_ids.shape[1], logits.shape[1]
    if length < n:
        return logits.clone()
    windows = input_ids.unfold(1, n, 1)  # (B, T - n + 1, n)
    prefix = input_ids[:, length + 1 - n :]
    real = (prefix >= 0).all(-1, keepdim=True)
    match = (windows[..., :-1] == prefix[:, None]).all(-1) & real
    last = windows[..., -1]
    last = last.where(match & (last >= 0), size)  # what is not banned goes to a column of its own
    banned = torch.zeros(len(logits), size + 1, dtype=torch.bool, device=logits.device)
    banned.scatter_(1, last, True)
    out = logits.masked_fill(banned[:, :-1], -torch.inf)
    return torch.where(out.amax(-1, keepdim=True).isfinite(), out, logits)


def _check_words(words, size):
    good = isinstance(words, list | tuple) and all(
        isinstance(word, list | tuple) and word and all(isinstance(i, int) for i in word) for word in words
    )
    if not good:
        raise TypeError(
            f"bad_words={words!r} is not allowed: it is a list of token-id lists, such as [[464], [262, 995]]."
        )
    unknown = [i for word in words for i in word if not 0 <= i < size]
    if unknown:
        raise ValueError(f"bad_words has the id {unknown[0]}, but the logits know 0 to {size - 1}.")
