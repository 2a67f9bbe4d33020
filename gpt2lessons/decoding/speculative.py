"""Speculative decoding: a cheap draft guesses several tokens, the target model checks them all in one reading.

The rule is that of Leviathan, Kalman and Matias (2023, algorithm 1) and Chen and others (2023, algorithm 2): where the
target gives the guessed token the probability p and the draft gave it q, keep it with probability min(1, p/q);
otherwise draw from what p has more than q, and start again. What comes out follows the target's distribution exactly,
however bad the draft is. Greedy search is the special case in which p puts everything on one token.
"""

from dataclasses import dataclass

import torch

from gpt2lessons.adapters import device_of, logits_function, network_of, vocabulary_size
from gpt2lessons.decoding import processors
from gpt2lessons.decoding.arguments import check_generator, check_whole
from gpt2lessons.decoding.drafts import PromptLookup, early_exit
from gpt2lessons.decoding.settings import active_settings, with_advice, with_signature
from gpt2lessons.decoding.stepper import check_ids_of_prompt, check_prompt, read_ends

__all__ = [
    "PromptLookup",
    "Reader",
    "Round",
    "Speculated",
    "early_exit",
    "expected_speedup",
    "expected_tokens",
    "judge",
    "overlap",
    "residual",
    "speculate",
]


@dataclass(frozen=True)
class Round:
    """One round: the ids `proposed`, how many of them were `accepted` from the left, and the id the target `added`.

    `p` and `q` are the target's and the draft's probabilities of each proposed id. The added id replaces the first
    refused one, or follows the last if none was refused.
    """

    proposed: list
    accepted: int
    added: int
    p: list
    q: list


@dataclass(frozen=True, eq=False)
class Speculated:
    """What `speculate` wrote: `sequences` (1, T + N) with the prompt, `new_tokens` (1, N) without, and each `Round`.

    `model_calls` and `assistant_calls` count how often each model was asked; `tokens_per_call` is N over the target's.
    """

    sequences: torch.Tensor
    new_tokens: torch.Tensor
    rounds: list
    model_calls: int
    assistant_calls: int

    @property
    def tokens_per_call(self):
        """New tokens per reading by the target: 1 is plain decoding."""
        return self.new_tokens.shape[1] / self.model_calls


@with_signature(sampling=True)
@with_advice
@torch.no_grad()
def speculate(
    model,
    assistant,
    input_ids,
    *,
    max_new_tokens,
    num_assistant_tokens=4,
    do_sample=False,
    eos_token_id=None,
    generator=None,
    use_cache=True,
    **settings,
):
    """Continue one text `input_ids` (1, T) as `model` would, helped by `assistant`; return a `Speculated`.

    `model` and `assistant` are what `generate` takes (a `LanguageModel`, our GPT-2, a function ids (B, T) -> logits
    (B, T, V)), with the same token ids; the assistant may also be a `PromptLookup`. Each round proposes up to
    `num_assistant_tokens` ids. `settings` (temperature, top_k, top_p and the other filters of
    `processors`) change both distributions alike, and need do_sample=True. The text ends with `eos_token_id`, an id
    or a list of ids. Without do_sample it is greedy search's, up to ties within the rounding of a logit.

    Raises `ValueError` or `TypeError` for what `generate` refuses, for more than one text, and for an assistant with
    another vocabulary.
    """
    check_prompt(model, input_ids, None, max_new_tokens)
    if len(input_ids) != 1:
        raise ValueError(
            f"input_ids has {len(input_ids)} texts, but speculation continues one: loop over ids[i : i + 1]."
        )
    check_whole(num_assistant_tokens, "num_assistant_tokens", 0)
    ends = read_ends(eos_token_id, vocabulary_size(model))
    distribution, choose = _distribution(do_sample, settings), _chooser(generator)
    ids, start, total = (
        input_ids[0].tolist(),
        input_ids.shape[1],
        input_ids.shape[1] + max_new_tokens,
    )
    target = Reader(model, total, use_cache=use_cache)
    lookup = isinstance(assistant, PromptLookup)
    draft = None if lookup else Reader(assistant, total, use_cache=use_cache)
    rounds = []
    while len(ids) < total and (len(ids) == start or ids[-1] not in ends):
        n = min(num_assistant_tokens, total - len(ids) - 1)
        proposed, q = (assistant.find(ids, n), None) if lookup else _propose(draft, ids, n, distribution, choose)
        p = distribution(target.read(ids + proposed, len(proposed) + 1))
        check_ids_of_prompt(input_ids, p.shape[1])
        read_ends(eos_token_id, p.shape[1])
        q = _certain(torch.tensor(proposed, dtype=torch.long, device=p.device), p.shape[1]) if q is None else q
        if q.shape[1] != p.shape[1]:
            raise ValueError(
                f"the assistant knows {q.shape[1]:,} tokens, the model {p.shape[1]:,}: their ids do not mean the same. "
                "Take a draft with the model's own tokenizer."
            )
        accepted, added = judge(proposed, p, q, choose)
        chances = [[float(rows[i, token]) for i, token in enumerate(proposed)] for rows in (p, q)]
        rounds.append(Round(proposed, accepted, added, *chances))
        new = [*proposed[:accepted], added]
        for token in new:
            ids.append(token)
            if token in ends:
                break
        for reader in (target, draft):
            if reader is not None:
                reader.forget(len(ids) - 1)
    sequences = input_ids.new_tensor([ids])
    calls = 0 if lookup else draft.calls
    return Speculated(sequences, sequences[:, start:], rounds, target.calls, calls)


def judge(proposed, p, q, choose):
    """Return (number accepted, id added) for n `proposed` ids, the target's `p` (n + 1, V) and the draft's `q` (n, V).

    `choose(weights)` draws an index with probabilities proportional to weights; all chance is in it.
    """
    for i, token in enumerate(proposed):
        chance = min(1.0, float(p[i, token] / q[i, token]))
        if choose(p.new_tensor([chance, 1 - chance], dtype=torch.float64)) == 1:
            return i, choose(residual(p[i], q[i]))
    return len(proposed), choose(p[len(proposed)])


def residual(p, q):
    """Return what to draw from after a refusal: max(0, p - q), made to sum to 1; `p` and `q` are (…, V)."""
    left = (p - q).clamp(min=0)
    mass = left.sum(-1, keepdim=True)
    return torch.where(mass > 0, left / mass, p)  # nothing left: p equals q, and no refusal but one by rounding


def overlap(p, q):
    """Return the chance (…) that a token drawn from `q` (…, V) is accepted: sum of min(p, q), 1 - total variation."""
    return torch.minimum(p, q).sum(-1)


def expected_tokens(alpha, n):
    """Return how many tokens a round of `n` proposals gives on average if each is accepted with chance `alpha`.

    1 + alpha + … + alpha^n, the last one added by the target (Leviathan and others 2023, equation 1).
    """
    _share(alpha, "alpha")
    return float(sum(alpha**k for k in range(n + 1)))


def expected_speedup(alpha, n, cost):
    """Return tokens per round over its time, in steps of the target: `expected_tokens` / (n · cost + 1).

    `cost` is the time of a draft's step over the target's. Reading n + 1 tokens is taken to cost what one costs
    (Leviathan and others 2023, theorem 3.8), which is true only below the ridge of the roofline.
    """
    if not cost >= 0:
        raise ValueError(f"cost={cost!r} is not allowed: it is a ratio of times, 0 or more.")
    return expected_tokens(alpha, n) / (n * cost + 1)


class Reader:
    """Reads one growing text, several tokens at once, and can forget its end; `calls` counts the readings."""

    def __init__(self, model, max_length, *, use_cache=True):
        self.network, self.calls = network_of(model), 0
        cached = use_cache and hasattr(self.network, "new_cache")
        self.cache = self.network.new_cache(1, max_length) if cached else None
        self._function, self._device = logits_function(self.network), device_of(model)

    def read(self, ids, last):
        """Read what is new in the list `ids`; return the logits (last, V) at its last positions."""
        self.calls += 1
        if self.cache is None:
            return self._function(torch.tensor([ids], device=self._device))[0, -last:]
        new = torch.tensor([ids[self.cache.length :]], device=self._device)
        if last == 1:
            return self.network(new, cache=self.cache, last_only=True)[0]
        if new.shape[1] > last:  # a prompt: nobody asks for its logits, so the head is spared them
            self.network(new[:, :-last], cache=self.cache, last_only=True)
        return self.network(new[:, -last:], cache=self.cache)[0]

    def forget(self, length):
        """Keep the first `length` tokens only: a cache is rolled back by moving its end."""
        if self.cache is not None:
            self.cache.length = min(self.cache.length, length)


def _propose(reader, ids, n, distribution, choose):
    """Return n ids drawn one after another from a draft model, and what each was drawn from (n, V)."""
    proposed, rows = [], []
    for _ in range(n):
        rows.append(distribution(reader.read(ids + proposed, 1))[0])
        proposed.append(choose(rows[-1]))
    return (proposed, torch.stack(rows)) if n else ([], None)


def _certain(ids, size):
    """Rows (n, V) that put everything on one of `ids` (n,) each: greedy search's distribution, and a sure draft's."""
    return torch.nn.functional.one_hot(ids, size).double()


def _distribution(do_sample, settings):
    """Return logits (n, V) -> probabilities (n, V), float64, after checking the settings."""
    filters = [name for name, each in processors.SETTINGS.items() if each.sampling]
    active = active_settings(settings, do_sample=do_sample, names=filters)

    def distribution(logits):
        logits = logits.double()
        if not do_sample:
            return _certain(logits.argmax(-1), logits.shape[1])
        for setting, value in active:
            logits = setting.apply(logits, None, value)
        return logits.softmax(-1)

    return distribution


def _chooser(generator):
    check_generator(generator)
    device = "cpu" if generator is None else generator.device

    def choose(weights):
        cumulated = weights.cumsum(-1)
        uniform = torch.rand(1, dtype=torch.float64, generator=generator, device=device).to(cumulated.device)
        uniform = uniform * cumulated[-1]
        return min(int(torch.searchsorted(cumulated, uniform, right=True)), len(weights) - 1)

    return choose


def _share(value, name):
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} is not allowed: it is a probability, from 0 to 1.")
