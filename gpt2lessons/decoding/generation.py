"""The one decoding loop: greedy search and sampling, batched, cached, streaming, with a trace of every step.

Nothing is on unless it was asked for: `top_k=None` keeps every token, `eos_token_id=None` ends nothing. A setting
may be a tensor with one value per text, so that one batch can compare many settings.
"""

import functools

import torch

from gpt2lessons.decoding import processors
from gpt2lessons.decoding.stepper import Stepper, check_prompt
from gpt2lessons.decoding.trace import Generated, Step


@torch.no_grad()
def generate(
    model,
    input_ids,
    *,
    max_new_tokens,
    do_sample=False,
    temperature=1.0,
    top_k=None,
    top_p=None,
    min_p=None,
    typical_p=None,
    epsilon=None,
    repetition_penalty=1.0,
    no_repeat_ngram_size=0,
    attention_mask=None,
    num_return_sequences=1,
    eos_token_id=None,
    stop=None,
    generator=None,
    use_cache=True,
    trace=False,
    on_token=None,
):
    """Continue `input_ids` (B, T) by up to `max_new_tokens` tokens; return a `Generated`.

    `model` is a `LanguageModel` (its own GPT-2 answers), our GPT-2, a transformers model, or any function
    ids (B, T) -> logits (B, T, V). Without `do_sample` the most probable token is taken, with it one is drawn. The
    settings are applied in this order: repetition_penalty, no_repeat_ngram_size, temperature, top_k, top_p, min_p,
    typical_p, epsilon (see `processors`; the last six need do_sample=True); each is a number or a tensor (B,).

    `attention_mask` (B, T), 0 for padding, which stands on the left and is invisible to the model and to the
    repetition rules: every row comes out as it would alone. `num_return_sequences` samples per prompt stand in
    neighbouring rows. `eos_token_id`, an id or a list of ids, ends a row. `stop` ends it too: a list of token-id
    lists, each of which ends a row whose new tokens end with it, or a function new ids (list) -> bool.

    `generator` (default: torch's global one) gives the seed. What row r draws depends on the seed and r alone: the
    text is the same whatever the batch size or `max_new_tokens`. `on_token(step, tokens)` is called after each step
    with the new tokens (rows,). `trace=True` keeps a `Step` per token.

    Raises `ValueError` or `TypeError`, before the model is asked, for a setting that is not allowed or would do
    nothing, an unknown id, or more tokens than the model has positions; and if the model returns nan.
    """
    check_prompt(model, input_ids, attention_mask, max_new_tokens)
    rows = _check_rows(do_sample, num_return_sequences, len(input_ids))
    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "typical_p": typical_p}
    pipeline = _pipeline(
        rows,
        num_return_sequences,
        {"repetition_penalty": repetition_penalty, "no_repeat_ngram_size": no_repeat_ngram_size},
        {**sampling, "epsilon": epsilon},
        do_sample,
    )
    ends, stops = _ends(eos_token_id), _stops(stop)
    steps = Stepper(
        model,
        input_ids,
        max_length=input_ids.shape[1] + max_new_tokens,
        attention_mask=attention_mask,
        use_cache=use_cache,
    )
    uniforms = _uniforms(generator, rows, max_new_tokens).to(input_ids.device) if do_sample else None
    length = input_ids.shape[1]
    lengths = torch.full((rows,), max_new_tokens)
    active = torch.ones(rows, dtype=torch.bool, device=input_ids.device)
    chosen_log_probs, kept_steps = [], [] if trace else None
    logits = steps.read()
    steps.repeat(num_return_sequences)
    logits = logits.repeat_interleave(num_return_sequences, 0) if num_return_sequences > 1 else logits
    if int(input_ids.max()) >= logits.shape[1]:
        raise ValueError(
            f"input_ids contain {int(input_ids.max())}, but the model's logits know ids up to {logits.shape[1] - 1}. "
            "Was the text encoded with another model's tokenizer?"
        )
    for step in range(max_new_tokens):
        scores, stages = logits, {"model": logits}
        try:
            for name, process in pipeline:
                scores = stages[name] = process(scores, steps.history)
        except ValueError:
            _explain(logits, step)
            raise
        tokens = _draw(scores, uniforms[:, step]) if do_sample else scores.argmax(-1)
        log_probs = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
        if not log_probs.isfinite().all():
            _explain(logits, step)
            raise ValueError(f"at step {step} a token was chosen to which the model gives probability 0.")
        all_active = (not ends and not stops) or bool(active.all())
        if not all_active:
            tokens = torch.where(active, tokens, ends[0] if ends else tokens.new_zeros(()))
            log_probs = log_probs.masked_fill(~active, 0)
        chosen_log_probs.append(log_probs)
        if trace:
            kept_steps.append(Step(stages, tokens, active.clone()))
        steps.add(tokens)
        if on_token is not None:
            on_token(step, tokens)
        if ends or stops:
            ended = active & _ended(steps.ids[:, length:], tokens, ends, stops, active)
            lengths[ended.cpu()] = step + 1
            active = active & ~ended
            if not active.any():
                break
        if step + 1 < max_new_tokens:
            logits = steps.read()
    sequences = steps.ids.clone()
    lengths = lengths.to(sequences.device)
    return Generated(sequences, sequences[:, length:], lengths, torch.stack(chosen_log_probs, 1), kept_steps)


def generate_text(lm, prompt, *, max_new_tokens=40, seed=None, stop=None, eos_token_id="tokenizer", **settings):
    """Continue the text `prompt`; return prompt and continuation, or a list of them if num_return_sequences > 1.

    `seed` is a whole number (default: torch's global generator). The text ends at the tokenizer's end-of-text token
    (`eos_token_id=None`: goes on) and after the first of the strings `stop` (one or a list) that the continuation
    contains. `settings` are those of `generate`.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"prompt is a {type(prompt).__name__}, but should be one text. For ids there is generate.")
    stops = [] if stop is None else list(stop) if isinstance(stop, list | tuple) else [stop]
    if not all(isinstance(s, str) and s for s in stops):
        raise TypeError(f"stop={stop!r} is not allowed: it is a string, or a list of strings, none of them empty.")
    eos = lm.tokenizer.eos_token_id if eos_token_id == "tokenizer" else eos_token_id
    ids = lm.encode(prompt)
    g = generate(
        lm,
        ids,
        max_new_tokens=max_new_tokens,
        eos_token_id=eos,
        stop=(lambda new: any(s in lm.decode(new) for s in stops)) if stops else None,
        generator=None if seed is None else torch.Generator().manual_seed(seed),
        **settings,
    )
    texts = []
    for row, n in zip(g.new_tokens.tolist(), g.lengths.tolist(), strict=True):
        new = row[:n]
        text = lm.decode(new[:-1] if new[-1] in _ends(eos) else new)
        cuts = [text.index(s) + len(s) for s in stops if s in text]
        texts.append(prompt + text[: min(cuts, default=None)])
    return texts if len(texts) > 1 else texts[0]


def _pipeline(rows, copies, always, sampling, do_sample):
    """Return [(name, function (logits, history) -> logits)] of the active settings; each is tried on a dummy first."""
    rules = {
        "repetition_penalty": lambda x, ids, value: processors.penalize_repetition(x, ids, value),
        "no_repeat_ngram_size": lambda x, ids, value: processors.ban_repeated_ngrams(x, ids, value),
        "temperature": lambda x, ids, value: processors.apply_temperature(x, value),
        "top_k": lambda x, ids, value: processors.keep_top_k(x, value),
        "top_p": lambda x, ids, value: processors.keep_top_p(x, value),
        "min_p": lambda x, ids, value: processors.keep_min_p(x, value),
        "typical_p": lambda x, ids, value: processors.keep_typical(x, value),
        "epsilon": lambda x, ids, value: processors.keep_epsilon(x, value),
    }
    neutral = {"repetition_penalty": 1, "no_repeat_ngram_size": 0, "temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}
    neutral |= {"typical_p": 1, "epsilon": 0}
    active = []
    for name, value in {**always, **sampling}.items():
        if isinstance(value, torch.Tensor) and value.ndim == 1 and len(value) * copies == rows:
            value = value.repeat_interleave(copies)
        if value is None and name in sampling and name != "temperature":
            continue
        rule = functools.partial(rules[name], value=value)
        rule(torch.zeros(rows, 2), torch.zeros(rows, 1, dtype=torch.long))
        if isinstance(value, torch.Tensor) or value != neutral[name]:
            active.append((name, rule))
    off = [name for name, _ in active if name in sampling]
    if off and not do_sample:
        raise ValueError(
            f"{off[0]} was set, but greedy search (do_sample=False) always takes the most probable token, so it would "
            f"do nothing. Add do_sample=True, or leave {', '.join(off)} out."
        )
    return active


def _check_rows(do_sample, copies, batch):
    if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
        raise ValueError(f"num_return_sequences={copies!r} is not allowed: it is a whole number of at least 1.")
    if copies > 1 and not do_sample:
        raise ValueError(
            f"num_return_sequences={copies} without do_sample=True would give {copies} times the same text. "
            "Add do_sample=True, or ask beam_search for several hypotheses."
        )
    return batch * copies


def _uniforms(generator, rows, steps):
    """Return a number in [0, 1) for each row and step, float64; row r's depend on the generator's seed and r alone."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator is {type(generator).__name__}, but should be a torch.Generator: "
            "torch.Generator().manual_seed(0)."
        )
    # one draw, however many rows: what the generator gives afterwards does not depend on the batch either
    device = None if generator is None else generator.device
    seed = torch.randint(2**32, (1,), generator=generator, device=device).item()
    # from here on by the processor's dice, so that every device writes the same text
    seeds = torch.randint(2**32, (rows,), generator=torch.Generator("cpu").manual_seed(seed), device="cpu").tolist()
    dice = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    return torch.stack([torch.rand(steps, dtype=torch.float64, generator=d, device="cpu") for d in dice])


def _draw(scores, uniform):
    """Draw one token (B,) per row: the first whose cumulated probability, in the order of ids, exceeds `uniform`."""
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    cumulated = weights.cumsum(-1, dtype=torch.float64)
    tokens = torch.searchsorted(cumulated, uniform[:, None] * cumulated[:, -1:], right=True)[:, 0]
    return tokens.clamp(max=scores.shape[1] - 1)  # nan points past the end; it is reported by who called


def _ends(eos_token_id):
    ends = [] if eos_token_id is None else eos_token_id
    ends = list(ends) if isinstance(ends, list | tuple) else [ends]
    if not all(isinstance(e, int) and not isinstance(e, bool) for e in ends):
        raise TypeError(f"eos_token_id={eos_token_id!r} is not allowed: it is a token id, a list of them, or None.")
    return ends


def _stops(stop):
    """Return functions new ids (list) -> bool."""
    if stop is None:
        return []
    if callable(stop):
        return [stop]
    good = isinstance(stop, list | tuple) and all(
        isinstance(s, list | tuple) and s and all(isinstance(i, int) for i in s) for s in stop
    )
    if not good:
        raise TypeError(
            f"stop={stop!r} is not allowed: it is a list of token-id lists, such as [[13], [198, 198]], or a function "
            "new ids -> bool. Strings go to generate_text."
        )
    return [lambda new, s=list(s): new[-len(s) :] == s for s in stop]


def _ended(new, tokens, ends, stops, active):
    ended = torch.isin(tokens, tokens.new_tensor(ends)) if ends else torch.zeros_like(active)
    if stops:
        rows = new.tolist()
        hits = [bool(a) and any(stop(row) for stop in stops) for row, a in zip(rows, active.tolist(), strict=True)]
        ended |= torch.tensor(hits, device=ended.device)
    return ended


def _explain(logits, step):
    """Raise `ValueError` if the model's logits are at fault."""
    wrong = (~logits.amax(-1).isfinite()).nonzero()
    if not len(wrong):
        return
    row = int(wrong[0])
    raise ValueError(
        f"at step {step} the model returned {logits[row].amax().item()} among the logits of row {row}. Allowed are "
        "finite numbers, and -inf for some tokens. Check the model's weights and its input."
    )
