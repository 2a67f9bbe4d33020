"""What the decoding loop returns: the texts, and on request every step on the way to them.

What a `Step` can tell (entropy, rank, mass, …) is computed when it is asked for, so that keeping a trace costs little
more than the memory of its logits.
"""

import functools
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, eq=False)
class Step:
    """What happened at one step, for every row of the batch (B below counts all rows).

    `stages` maps "model" to the model's logits (B, V), then the name of each active setting to the logits after it, in
    order of application. `token` (B,) was chosen; `active` (B,) is False for rows that had ended before.
    """

    stages: dict[str, torch.Tensor]
    token: torch.Tensor
    active: torch.Tensor

    @property  # not kept, like `probs`: both are as large as the logits, and there is a step for every token
    def model_log_probs(self) -> torch.Tensor:
        """Log-probabilities (B, V) under the model itself, nats."""
        return self.stages["model"].log_softmax(-1)

    @property
    def probs(self) -> torch.Tensor:
        """The distribution (B, V) after all settings: sampling draws from it, greedy search takes its largest."""
        return self._final.softmax(-1)

    @functools.cached_property
    def entropy(self) -> torch.Tensor:
        """Entropy (B,) of the model's distribution, nats."""
        return torch.special.entr(self.model_log_probs.exp()).sum(-1)

    @functools.cached_property
    def kept(self) -> torch.Tensor:
        """How many tokens are left after all settings, LongTensor (B,)."""
        return self._final.isfinite().sum(-1)

    @functools.cached_property
    def kept_mass(self) -> torch.Tensor:
        """The probability (B,) that the model gives to the tokens that are left."""
        return self.model_log_probs.exp().masked_fill(self._final.isinf(), 0).sum(-1)

    @functools.cached_property
    def rank(self) -> torch.Tensor:
        """The rank (B,) of the chosen token in the model's distribution: 1 is the most probable, ties share a rank."""
        logits = self.stages["model"]
        return (logits > logits.gather(1, self.token[:, None])).sum(-1) + 1

    @functools.cached_property
    def log_prob(self) -> torch.Tensor:
        """Log-probability (B,) of the chosen token under the model itself, nats; 0 for rows that had ended."""
        return self.model_log_probs.gather(1, self.token[:, None])[:, 0].masked_fill(~self.active, 0)

    def top(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the `n` most probable tokens of the model: ids (B, n) and their probabilities (B, n)."""
        log_probs, ids = self.model_log_probs.topk(min(n, self.model_log_probs.shape[1]))
        return ids, log_probs.exp()

    @property
    def _final(self):
        return next(reversed(self.stages.values()))


@dataclass(frozen=True, eq=False)
class Generated:
    """The texts that `generate` wrote.

    `sequences` (rows, T + N) with the prompt, `new_tokens` (rows, N) without; `lengths` (rows,) counts new tokens until
    and with the end; `log_probs` (rows, N) of each chosen token under the model itself, nats, 0 after the end;
    `trace`, a list of N `Step`s if asked for, else None. After its end a row is filled up with the end token.
    """

    sequences: torch.Tensor
    new_tokens: torch.Tensor
    lengths: torch.Tensor
    log_probs: torch.Tensor
    trace: list[Step] | None = field(default=None, repr=False)
