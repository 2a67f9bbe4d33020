"""How probable a model finds a given text: log-probabilities of its tokens, surprisal, perplexity, bits per byte.

A token is scored by the logits one position earlier, so the first token of a text has nothing to be predicted from:
it is left out, or, with `add_bos=True`, predicted from GPT-2's `<|endoftext|>`. Texts longer than the context are
read through a window that moves on by `stride` tokens; every token is scored once, by the window that reaches it
first (the strided method of transformers' page "Perplexity of fixed-length models").
"""

import math

import torch

from gpt2lessons.adapters import beginning_token, context_length, device_of, logits_function, warn_of_padding

_TOKENS_AT_ONCE = 512  # of GPT-2's 50,257 logits, 100 MB


def token_log_probs(
    model, input_ids, *, stride=None, add_bos=False, attention_mask=None, context=None, bos_token_id=None
):
    """Return the log-probability, in nats, of each token of `input_ids` (B, T) given the tokens before it.

    `input_ids` may also be one text, if `model` is a `LanguageModel`, which has the tokenizer. The result is
    (B, T-1), for tokens 1 … T-1; with `add_bos=True` it is (B, T). `attention_mask` (B, T), 1 for text and 0 for
    padding at the left or the right: padding is neither read nor scored and gets 0, and so does the first token of a
    left-padded row. (Ids that look padded get a warning without it.) `context` shortens the model's context
    (default: all of it); texts longer than that need `stride`, the number of tokens by which the window moves
    (1 … context). With stride = context neighbouring windows share one token, so that no token goes unpredicted.

    Raises ValueError for ids of another shape, a row with fewer than two tokens (`add_bos`: none), a mask with
    holes, or a text longer than the context without `stride`; `bos_token_id` is needed where the model has none.
    TypeError for a text where the model has no tokenizer, and for a list of texts.
    """
    input_ids, mask = _checked(model, input_ids, attention_mask)
    if attention_mask is None:
        warn_of_padding(model, input_ids)
    lengths = mask.sum(1)
    least = 1 if add_bos else 2
    if (lengths < least).any():
        row = int((lengths < least).nonzero()[0])
        what = "no token" if lengths[row] == 0 else "one token, and nothing comes before it to predict it from"
        remedy = "give a text" if add_bos else "give a longer text, or add_bos=True to predict the first token as well"
        raise ValueError(f"row {row} has {what}; {remedy}")
    starts = mask.int().argmax(1)
    columns = torch.arange(input_ids.shape[1], device=input_ids.device)
    # a causal model never looks to the right, so padding there needs neither mask nor shifted positions
    rows = input_ids.gather(1, (columns + starts[:, None]).clamp(max=len(columns) - 1))
    rows = torch.where(columns < lengths[:, None], rows, 0)
    if add_bos:
        bos = beginning_token(model) if bos_token_id is None else bos_token_id
        if bos is None:
            raise ValueError("add_bos=True needs the id of the beginning token: give bos_token_id")
        rows = torch.cat([torch.full_like(rows[:, :1], bos), rows], dim=1)
    scores = _windows(model, rows, stride, context)
    scored = torch.arange(scores.shape[1], device=scores.device) < (lengths + add_bos - 1)[:, None]
    scores = torch.where(scored, scores, 0)
    # back to the columns of input_ids: a row that starts at column s has its first score there (add_bos) or after
    targets = columns if add_bos else columns[1:]
    source = targets - starts[:, None] - (0 if add_bos else 1)
    back = scores.gather(1, source.clamp(0, scores.shape[1] - 1))
    return torch.where((source >= 0) & (source < (lengths + add_bos - 1)[:, None]), back, 0)


def surprisal(model, input_ids, *, unit="bits", **settings):
    """Return how surprising each token is: −log₂ p (`unit="bits"`) or −ln p (`"nats"`).

    Shapes, further arguments and errors are those of `token_log_probs`; a text will do for ids here too.
    """
    units = {"bits": math.log(2), "nats": 1.0}
    if unit not in units:
        raise ValueError(f"unit is 'bits' or 'nats', not {unit!r}")
    return token_log_probs(model, input_ids, **settings) / -units[unit]


def perplexity(model, input_ids, *, prompt_length=0, attention_mask=None, add_bos=False, per_row=False, **settings):
    """Return exp(−mean log p) over the scored tokens of all rows, a float; `per_row=True`: of each row, (B,).

    `input_ids` (B, T), or one text as in `token_log_probs`: `perplexity(lm, "Once upon a time")`. The first
    `prompt_length` tokens of each row (an int, or one for each row; padding not counted) are read but not scored.
    Without `add_bos` the first token is not scored either. `stride`, `context`, `bos_token_id` and errors as in
    `token_log_probs`; ValueError also if a row has no token left to score.
    """
    log_probs = token_log_probs(model, input_ids, attention_mask=attention_mask, add_bos=add_bos, **settings)
    _, mask = _checked(model, input_ids, attention_mask)
    prompt = torch.as_tensor(prompt_length, device=mask.device)
    if (
        prompt.is_floating_point()
        or prompt.ndim > 1
        or (prompt.ndim and len(prompt) != len(mask))
        or (prompt < 0).any()
    ):
        raise ValueError(
            f"prompt_length is a count of tokens, or one for each of the {len(mask)} rows, not {prompt_length}"
        )
    number = mask.cumsum(1)  # 1 for the first token of a row
    scored = mask & (number > prompt.reshape(-1, 1)) & (number > (0 if add_bos else 1))
    counts = scored.sum(1)
    if (counts == 0).any():
        row = int((counts == 0).nonzero()[0])
        raise ValueError(
            f"row {row}: a prompt_length of {int(prompt.expand(len(mask))[row])} leaves none of its "
            f"{int(mask[row].sum())} tokens to score; give a shorter prompt_length"
        )
    scored = scored if add_bos else scored[:, 1:]
    total = torch.where(scored, log_probs, 0).double().sum(1)
    if per_row:
        return (-total / counts).exp()
    # in torch, because math.exp raises where the result is too large for a float
    return (-total.sum() / counts.sum()).exp().item()


def bits_per_byte(lm, text, *, add_bos=True, **settings):
    """Return −log₂ p(text) divided by its length in UTF-8 bytes: comparable between tokenizers, unlike perplexity.

    `lm` is a `LanguageModel`. With `add_bos=True` (the default here) the whole text is predicted; with False the
    first token is not, and its bytes are not counted. Settings and errors as in `token_log_probs`.
    """
    input_ids = lm.encode(text)
    bits = surprisal(lm, input_ids, add_bos=add_bos, **settings).double().sum().item()
    # GPT-2's tokens are sequences of bytes, and its vocabulary writes each byte as one character
    skipped = "" if add_bos else lm.tokenizer.convert_ids_to_tokens(input_ids[0].tolist())[0]
    return bits / (len(text.encode("utf8")) - len(skipped))


def _checked(model, input_ids, attention_mask):
    """Return ids (B, T) as a LongTensor and the mask as booleans (B, T); lists go where the model lies."""
    if isinstance(input_ids, str):
        if isinstance(model, str) or not hasattr(model, "encode"):
            raise TypeError(
                f"a text needs a LanguageModel, which has the tokenizer, not {type(model).__name__}: "
                "perplexity(gl.load(), text), or give token ids (B, T)"
            )
        input_ids = model.encode(input_ids) if input_ids else torch.empty(1, 0)
    elif isinstance(input_ids, list | tuple) and any(isinstance(text, str) for text in input_ids):
        raise TypeError(
            "input_ids is a list of texts, but is one text or token ids (B, T). Score text by text, or all at "
            'once with gl.metrics.load("perplexity").compute(predictions=texts, model=lm)'
        )
    elif not isinstance(input_ids, torch.Tensor):
        input_ids = torch.as_tensor(input_ids, device=device_of(model))
    if input_ids.numel() == 0:
        raise ValueError("there is no token to score: the text is empty")
    if input_ids.ndim != 2 or input_ids.is_floating_point() or input_ids.dtype == torch.bool:
        raise ValueError(f"input_ids must be whole numbers (B, T), not {input_ids.dtype} {tuple(input_ids.shape)}")
    if attention_mask is None:
        return input_ids.long(), torch.ones_like(input_ids, dtype=torch.bool)
    mask = torch.as_tensor(attention_mask, device=input_ids.device).bool()
    if mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask {tuple(mask.shape)} must have the shape of input_ids {tuple(input_ids.shape)}"
        )
    if (mask.int().diff(dim=1) > 0).sum(1).add(mask[:, 0]).max() > 1:
        raise ValueError("attention_mask has a hole: padding stands at the left or the right of a row, never inside")
    return input_ids.long(), mask


def _windows(model, rows, stride, context):
    """Return log-probabilities (B, T-1) of tokens 1 … T-1 of `rows` (B, T), without padding to the left."""
    logits_of, limit = logits_function(model), context_length(model)
    length = rows.shape[1]
    if context is not None and (context < 2 or (limit and context > limit)):
        raise ValueError(f"context is 2 to {limit or '∞'} tokens for this model, not {context}")
    limit = context or limit or length
    if length > limit and stride is None:
        raise ValueError(
            f"{length} tokens (a beginning token counted) do not fit into a context of {limit}; "
            f"give stride (for example {max(1, limit // 2)}) to read them through a moving window, or cut the text"
        )
    if stride is not None and not 1 <= stride <= limit:
        raise ValueError(f"stride is 1 to {limit} (the context), not {stride}")
    limit = min(limit, length)
    step = min(stride or limit, limit - 1)
    starts = range(0, length - limit + 1, step)  # of the windows that are full; they are read as one batch
    full = torch.stack([rows[:, start : start + limit] for start in starts], dim=1)
    scores = _target_log_probs(logits_of, full.flatten(0, 1)).unflatten(0, full.shape[:2])
    pieces = [scores[:, 0], *(scores[:, i, -step:] for i in range(1, len(starts)))]
    done, begin = starts[-1] + limit, starts[-1] + step
    if done < length:
        pieces.append(_target_log_probs(logits_of, rows[:, begin:])[:, done - begin - 1 :])
    return torch.cat(pieces, dim=1)


def _target_log_probs(logits_of, window):
    """Return log p of tokens 1 … T-1 of `window` (B, T), in groups of rows that fit into memory."""
    pieces = []
    for group in window.split(max(1, _TOKENS_AT_ONCE // window.shape[1])):
        logits = logits_of(group)[:, :-1]
        logits = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
        chosen = logits.gather(2, group[:, 1:, None])[..., 0]
        pieces.append(chosen - logits.logsumexp(-1))
    return torch.cat(pieces)
