"""Speculative decoding: a cheap draft guesses several tokens, the target model checks them all in one reading.

The rule is that of Leviathan, Kalman and Matias (2023, algorithm 1) and Chen and others (2023, algorithm 2): where the
target gives the guessed token the probability p and the draft gave it q, keep it with probability min(1, p/q);
otherwise draw from what p has more than q, and start again. What comes out follows the target's law exactly, however
bad the draft is. Greedy search is the special case in which p puts everything on one token.
"""

from dataclasses import dataclass

import torch

from gpt2lessons.adapters import logits_function, network_of
from gpt2lessons.decoding import processors
from gpt2lessons.decoding.drafts import PromptLookup, check_whole, early_exit
from gpt2lessons.decoding.stepper import check_prompt

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


@torch.no_grad()
def speculate(
    model,
    assistant,
    input_ids,
    *,
    max_new_tokens,
    num_assistant_tokens=4,
    do_sample=False,
    temperature=1.0,
    top_k=None,
    top_p=None,
    eos_token_id=None,
    generator=None,
    use_cache=True,
):
    """Continue one text `input_ids` (1, T) with the law of `model`, helped by `assistant`; return a `Speculated`.

    `model` and `assistant` are what `generate` takes (a `LanguageModel`, our GPT-2, a function ids (B, T) -> logits
    (B, T, V)), with the same token ids; the assistant may also be a `PromptLookup`. Each round proposes up to
    `num_assistant_tokens` ids. Temperature, top-k and top-p change both laws alike, and need do_sample=True. The text
    ends with `eos_token_id`. Without do_sample it is greedy search's, up to ties within the rounding of a logit.

    Raises `ValueError` or `TypeError` for what `generate` refuses, for more than one text, and for an assistant with
    another vocabulary.
    """
    check_prompt(model, input_ids, None, max_new_tokens)
    if len(input_ids) != 1:
        raise ValueError(
            f"input_ids has {len(input_ids)} texts, but speculation continues one: loop over ids[i : i + 1]."
        )
    check_whole(num_assistant_tokens, "num_assistant_tokens", 0)
    law, choose = _law(do_sample, temperature, top_k, top_p), _chooser(generator)
    ids, start, total = input_ids[0].tolist(), input_ids.shape[1], input_ids.shape[1] + max_new_tokens
    target = Reader(model, total, use_cache=use_cache)
    lookup = isinstance(assistant, PromptLookup)
    draft = None if lookup else Reader(assistant, total, use_cache=use_cache)
    rounds = []
    while len(ids) < total and (len(ids) == start or ids[-1] != eos_token_id):
        n = min(num_assistant_tokens, total - len(ids) - 1)
        proposed, q = (assistant.find(ids, n), None) if lookup else _propose(draft, ids, n, law, choose)
        p = law(target.read(ids + proposed, len(proposed) + 1))
        q = _certain(proposed, p.shape[1]) if q is None else q
        if q.shape[1] != p.shape[1]:
            raise ValueError(
                f"the assistant knows {q.shape[1]:,} tokens, the model {p.shape[1]:,}: their ids do not mean the same. "
                "Take a draft with the model's own tokenizer."
            )
        accepted, added = judge(proposed, p, q, choose)
        chances = [[float(rows[i, token]) for i, token in enumerate(proposed)] for rows in (p, q)]
        rounds.append(Round(proposed, accepted, added, *chances))
        new = [*proposed[:accepted], added]
        ids += new[: new.index(eos_token_id) + 1] if eos_token_id in new else new
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
        if choose(torch.tensor([chance, 1 - chance], dtype=torch.float64)) == 1:
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
        self._function = logits_function(self.network)

    def read(self, ids, last):
        """Read what is new in the list `ids`; return the logits (last, V) at its last positions."""
        self.calls += 1
        if self.cache is None:
            return self._function(torch.tensor([ids]))[0, -last:]
        new = torch.tensor([ids[self.cache.length :]])
        if last == 1:
            return self.network(new, cache=self.cache, last_only=True)[0]
        if new.shape[1] > last:  # a prompt: nobody asks for its logits, so the head is spared them
            self.network(new[:, :-last], cache=self.cache, last_only=True)
        return self.network(new[:, -last:], cache=self.cache)[0]

    def forget(self, length):
        """Keep the first `length` tokens only: a cache is rolled back by moving its end."""
        if self.cache is not None:
            self.cache.length = min(self.cache.length, length)


def _propose(reader, ids, n, law, choose):
    """Return n ids drawn one after another from a draft model, and what each was drawn from (n, V)."""
    proposed, rows = [], [torch.empty(0)]
    for _ in range(n):
        rows.append(law(reader.read(ids + proposed, 1))[0])
        proposed.append(choose(rows[-1]))
    return (proposed, torch.stack(rows[1:])) if n else ([], None)


def _certain(ids, size):
    """Rows (n, V) that put everything on one id each: the law of greedy search, and of a draft without chance."""
    return torch.nn.functional.one_hot(torch.as_tensor(ids, dtype=torch.long), size).double()


def _law(do_sample, temperature, top_k, top_p):
    """Return logits (n, V) -> probabilities (n, V), float64, after checking the settings on a dummy."""
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    off = [name for name, value in settings.items() if value not in (None, 1)]
    if off and not do_sample:
        raise ValueError(f"{off[0]} was set, but greedy search (do_sample=False) does not use it. Add do_sample=True.")

    def law(logits):
        logits = logits.double()
        if not do_sample:
            return _certain(logits.argmax(-1), logits.shape[1])
        logits = processors.keep_top_k(processors.apply_temperature(logits, temperature), top_k)
        return processors.keep_top_p(logits, top_p).softmax(-1)

    law(torch.zeros(1, 2))
    return law


def _chooser(generator):
    if generator is not None and not isinstance(generator, torch.Generator):
        kind = type(generator).__name__
        raise TypeError(f"generator is {kind}, but should be a torch.Generator: torch.Generator().manual_seed(0).")
    device = None if generator is None else generator.device

    def choose(weights):
        cumulated = weights.cumsum(-1)
        uniform = torch.rand(1, dtype=torch.float64, generator=generator, device=device).to(cumulated.device)
        uniform = uniform * cumulated[-1]
        return min(int(torch.searchsorted(cumulated, uniform, right=True)), len(weights) - 1)

    return choose


def _share(value, name):
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} is not allowed: it is a probability, from 0 to 1.")
