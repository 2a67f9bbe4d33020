"""The one decoding loop: greedy search and sampling, batched, cached, streaming, with a trace of every step.

Nothing is on unless it was asked for: `top_k=None` keeps every token, `eos_token_id=None` ends
nothing. A setting may be a tensor with one value per text, so that one batch can compare many settings.
"""

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gpt2lessons.adapters import Model, end_token, vocabulary_size
from gpt2lessons.decoding import pipeline
from gpt2lessons.decoding.arguments import check_generator, check_whole
from gpt2lessons.decoding.settings import active_settings, with_advice, with_signature
from gpt2lessons.decoding.stepper import Stepper, check_ids_of_prompt, check_prompt, read_ends
from gpt2lessons.decoding.trace import Generated, Step

if TYPE_CHECKING:
    from gpt2lessons.loading.models import LanguageModel


@with_signature()
@with_advice
@torch.no_grad()
def generate(
    model: Model,
    input_ids: torch.Tensor,
    *,
    max_new_tokens: int,
    do_sample: bool = False,
    attention_mask: torch.Tensor | None = None,
    num_return_sequences: int = 1,
    eos_token_id: int | Sequence[int] | None = None,
    stop: Sequence[Sequence[int]] | Callable[[list[int]], bool] | None = None,
    min_new_tokens: int = 0,
    bad_words: Sequence[Sequence[int]] | None = None,
    logit_bias: dict[int, float] | None = None,
    penalize_prompt: bool = True,
    processors: Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    trace: bool = False,
    on_token: Callable[[int, torch.Tensor], object] | None = None,
    **settings: float | torch.Tensor | None,
) -> Generated:
    """Continue `input_ids` (B, T) by up to `max_new_tokens` tokens; return a `Generated`.

    `model` is a `LanguageModel` (its own GPT-2 answers), our GPT-2, a transformers model, or any
    function ids (B, T) -> logits (B, T, V). Without `do_sample` the most probable token is taken,
    with it one is drawn.

    `settings` are those of the table `processors.SETTINGS`, applied in its order: repetition_penalty,
    frequency_penalty, presence_penalty, no_repeat_ngram_size; then, with do_sample=True only,
    temperature, top_h, top_k, top_p, min_p, typical_p, epsilon, eta. Each is a number or a tensor (B,).
    `penalize_prompt=False` lets the three penalties count new tokens only. `bad_words` (lists of ids),
    `logit_bias` {id: number} and `min_new_tokens` (no end token before) are applied before temperature.
    `processors` are functions of your own, (logits (B, V), ids (B, T)) -> logits (B, V), applied last;
    padding among the ids is -1.

    `attention_mask` (B, T), 0 for padding, which stands on the left and is invisible to the model and
    to the repetition rules: every row comes out as it would alone. `num_return_sequences` samples per
    prompt stand in neighbouring rows. `eos_token_id`, an id or a list of ids, ends a row. `stop` ends
    it too: a list of token-id lists, each of which ends a row whose new tokens end with it, or a
    function new ids (list) -> bool. After its end a row is filled with `eos_token_id` (the first of
    several), else with the model's own end token, else with 0.

    `generator` (default: torch's global one) gives the seed. What row r draws depends on the seed and
    r alone: the text is the same whatever the batch size or `max_new_tokens`. `on_token(step, tokens)`
    is called after each step with the new tokens (rows,). `trace=True` keeps a `Step` per token.

    Raises `ValueError` or `TypeError`, before the model is asked, for a setting that is not allowed or
    would do nothing, an unknown id, or more tokens than the model has positions; and if the model
    returns nan.
    """
    # 1. check: whatever can be wrong is said before the model is asked
    check_prompt(model, input_ids, attention_mask, max_new_tokens)
    check_whole(min_new_tokens, "min_new_tokens", 0, max_new_tokens)
    check_generator(generator)
    rows = _count_rows(len(input_ids), num_return_sequences, do_sample)
    settings = {name: _per_row(value, num_return_sequences) for name, value in settings.items()}
    active = active_settings(settings, rows=rows, do_sample=do_sample)
    ends = read_ends(eos_token_id, vocabulary_size(model))
    stops = _read_stops(stop)
    prompt_length = input_ids.shape[1]
    processes = [
        *pipeline.penalties(active, 0 if penalize_prompt else prompt_length),
        *pipeline.bans(bad_words, logit_bias, ends, prompt_length, min_new_tokens),
        *pipeline.filters(active),
        *pipeline.own(processors),
    ]

    # 2. prepare: the prompt is read once, however many texts continue it
    texts = Stepper(
        model,
        input_ids,
        max_length=prompt_length + max_new_tokens,
        attention_mask=attention_mask,
        use_cache=use_cache,
    )
    logits = texts.read().repeat_interleave(num_return_sequences, 0)
    texts.repeat(num_return_sequences)
    check_ids_of_prompt(input_ids, logits.shape[1])
    read_ends(ends, logits.shape[1])
    device = input_ids.device
    uniforms = _uniforms(generator, rows, max_new_tokens).to(device) if do_sample else None
    filling = _filling(model, ends)
    running = torch.ones(rows, dtype=torch.bool, device=device)
    lengths = torch.full((rows,), max_new_tokens, device=device)
    log_probs, steps = [], []

    # 3. loop: logits -> pipeline -> choose -> record -> stop
    for step in range(max_new_tokens):
        stages = {"model": logits}
        scores = logits
        try:
            for name, process in processes:
                scores = stages[name] = process(scores, texts.history)
        except ValueError:
            _check_answer(logits, step)
            raise

        tokens = _draw(scores, uniforms[:, step]) if do_sample else scores.argmax(-1)
        chosen = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        if not chosen.isfinite().all():
            _check_answer(logits, step)
            raise ValueError(f"at step {step} a token was chosen to which the model gives probability 0.")

        tokens = torch.where(running, tokens, filling)
        log_probs.append(chosen.masked_fill(~running, 0))
        if trace:
            steps.append(Step(stages, tokens, running.clone()))
        texts.add(tokens)
        if on_token is not None:
            on_token(step, tokens)

        if ends or stops:
            ended = running & _ended(texts.ids[:, prompt_length:], ends, stops, running)
            lengths[ended] = step + 1
            running = running & ~ended
            if not running.any():
                break
        if step + 1 < max_new_tokens:
            logits = texts.read()

    sequences = texts.ids.clone()
    return Generated(
        sequences,
        sequences[:, prompt_length:],
        lengths,
        torch.stack(log_probs, 1),
        steps if trace else None,
    )


def generate_text(
    lm: "LanguageModel",
    prompt: str,
    *,
    max_new_tokens: int = 40,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    eos_token_id: int | Sequence[int] | str | None = "tokenizer",
    **settings: Any,
) -> str | list[str]:
    """Continue the text `prompt`; return prompt and continuation, or a list of them if num_return_sequences > 1.

    `seed` is a whole number (default: torch's global generator). The text ends at the tokenizer's
    end-of-text token (`eos_token_id=None`: goes on) and after the first of the strings `stop` (one or
    a list) that the continuation contains. `settings` are those of `generate`.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"prompt is a {type(prompt).__name__}, but should be one text. For ids there is generate.")
    stops = [] if stop is None else list(stop) if isinstance(stop, list | tuple) else [stop]
    if not all(isinstance(s, str) and s for s in stops):
        raise TypeError(f"stop={stop!r} is not allowed: it is a string, or a list of strings, none of them empty.")
    eos = lm.tokenizer.eos_token_id if eos_token_id == "tokenizer" else eos_token_id
    result = generate(
        lm,
        lm.encode(prompt),
        max_new_tokens=max_new_tokens,
        eos_token_id=eos,
        stop=(lambda new: any(s in lm.decode(new) for s in stops)) if stops else None,
        generator=_seeded(seed),
        **settings,
    )
    ends = read_ends(eos, None)
    texts = []
    for row, length in zip(result.new_tokens.tolist(), result.lengths.tolist(), strict=True):
        new = row[:length]
        text = lm.decode(new[:-1] if new[-1] in ends else new)
        cuts = [text.index(s) + len(s) for s in stops if s in text]
        texts.append(prompt + text[: min(cuts, default=None)])
    return texts if len(texts) > 1 else texts[0]


def _count_rows(batch, copies, do_sample):
    copies = check_whole(copies, "num_return_sequences", 1)
    if copies > 1 and not do_sample:
        raise ValueError(
            f"num_return_sequences={copies} without do_sample=True would give {copies} times the same "
            "text. Add do_sample=True, or ask beam_search for several hypotheses."
        )
    return batch * copies


def _per_row(value, copies):
    """Repeat a setting that has one value per prompt, so that it has one per row."""
    if isinstance(value, torch.Tensor) and value.ndim == 1:
        return value.repeat_interleave(copies)
    return value


def _read_stops(stop):
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
            f"stop={stop!r} is not allowed: it is a list of token-id lists, such as [[13], [198, 198]], "
            "or a function new ids -> bool. Strings go to generate_text."
        )
    return [lambda new, s=list(s): new[-len(s) :] == s for s in stop]


def _filling(model, ends):
    """The token that fills a row after its end."""
    if ends:
        return ends[0]
    own = end_token(model)
    return 0 if own is None else own


def _seeded(seed):
    if seed is None:
        return None
    try:
        return torch.Generator("cpu").manual_seed(operator.index(seed))
    except TypeError:
        raise TypeError(f"seed={seed!r} is not allowed: it is a whole number, or None.") from None


def _uniforms(generator, rows, steps):
    """Return a number in [0, 1) for each row and step, float64; row r's depend on the generator's seed and r alone."""
    # one number is drawn, however many rows there are: what the generator gives next does not depend on the batch
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(2**32, (1,), generator=generator, device=device).item()
    # from here on by the processor, so that every device writes the same text
    seeder = torch.Generator("cpu").manual_seed(seed)
    seeds = torch.randint(2**32, (rows,), generator=seeder, device="cpu").tolist()
    streams = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    return torch.stack([torch.rand(steps, dtype=torch.float64, generator=s, device="cpu") for s in streams])


def _draw(scores, uniform):
    """Draw one token (B,) per row: the first whose cumulative probability, in the order of ids, exceeds `uniform`."""
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    cumulative = weights.cumsum(-1, dtype=torch.float64)
    target = uniform[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return tokens.clamp(max=scores.shape[1] - 1)  # nan points past the end; it is reported by who called


def _ended(new, ends, stops, running):
    """Which rows (B,) end with the last of the `new` tokens (B, N)."""
    ended = torch.zeros_like(running)
    if ends:
        ended = torch.isin(new[:, -1], new.new_tensor(ends))
    if stops:
        hits = [
            alive and any(stop(row) for stop in stops)
            for row, alive in zip(new.tolist(), running.tolist(), strict=True)
        ]
        ended = ended | torch.tensor(hits, device=ended.device)
    return ended


def _check_answer(logits, step):
    """Raise `ValueError` if the model's logits are at fault."""
    wrong = (~logits.amax(-1).isfinite()).nonzero()
    if not len(wrong):
        return
    row = int(wrong[0])
    raise ValueError(
        f"at step {step} the model returned {logits[row].amax().item()} among the logits of row {row}. "
        "Allowed are finite numbers, and -inf for some tokens. Check the model's weights and its input."
    )
