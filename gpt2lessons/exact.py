"""Exact answers for toy models: a continuation with its probability, and what each sampler draws from.

Plain Python, in fractions wherever no power is involved. Written from the definitions and transformers' rules for ties,
not with `processors.py`, so that it can judge it.
"""

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Continuation:
    """New words after a prompt: `ids` (tuple), `words` (tuple), exact `prob` (Fraction), `log_prob` (nats)."""

    ids: tuple
    words: tuple
    prob: Fraction

    @property
    def log_prob(self):
        """The natural logarithm of `prob`, -inf for an impossible continuation."""
        return log(self.prob)

    def score(self, length_penalty=1.0):
        """Return log_prob / length ** length_penalty, by which beam search ranks what is finished."""
        return self.log_prob / len(self.ids) ** length_penalty


def log(p):
    """Return the natural logarithm of a float or Fraction, -inf for 0; works for fractions too small for a float."""
    if not p:
        return -math.inf
    return math.log(p.numerator) - math.log(p.denominator) if isinstance(p, Fraction) else math.log(p)


def sampler_probs(probs, *, temperature=1, top_k=None, top_p=None, min_p=None, typical_p=None, epsilon=None):
    """Return what a sampler draws from, given the model's `probs` (a list that sums to 1); ties as in transformers.

    The steps are applied in this order, each renormalised. Fractions stay fractions until a temperature is set.
    Temperature: powers 1/temperature. Top-k: the k most probable, and whatever ties with the k-th. Top-p: the
    smallest set whose mass reaches top_p (Holtzman et al. 2020). Min-p: at least min_p times the largest (Nguyen
    et al. 2024). Typical: surprisal nearest to the entropy until typical_p is reached (Meister et al. 2023).
    Epsilon: at least epsilon, or the largest (Hewitt et al. 2022). A temperature that is not above 0 raises
    `ValueError`.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}; for its limit 0, use greedy")
    if temperature != 1:
        # powers of p/max p, so that nothing overflows at a low temperature
        probs = _renormalise([float(p / max(probs)) ** (1 / temperature) for p in probs])
    everyone = range(len(probs))
    if top_k is not None:
        threshold = sorted(probs, reverse=True)[min(top_k, len(probs)) - 1]
        probs = _keep(probs, [i for i in everyone if probs[i] >= threshold])  # ties with the k-th stay
    if top_p is not None:
        # the smallest set that reaches top_p; of equals the later word comes first, as transformers sorts them
        kept, mass, limit = [], 0, Fraction(str(top_p))
        for i in sorted(everyone, key=lambda i: (-probs[i], -i)):
            if mass < limit:
                kept.append(i)
            mass += probs[i]
        probs = _keep(probs, kept)
    if min_p is not None:
        probs = _keep(probs, [i for i in everyone if probs[i] >= Fraction(str(min_p)) * max(probs)])
    if typical_p is not None:
        entropy = -sum(float(p) * log(p) for p in probs if p)
        gap = {i: abs(-log(probs[i]) - entropy) for i in everyone if probs[i]}
        mass, last = 0, 0.0
        for i in sorted(gap, key=gap.get):
            if mass < typical_p:
                last = gap[i]
            mass += probs[i]
        probs = _keep(probs, [i for i in gap if gap[i] <= last + 1e-12])
    if epsilon is not None:
        floor = min(Fraction(str(epsilon)), max(probs))
        probs = _keep(probs, [i for i in everyone if probs[i] >= floor])
    return probs


def _keep(probs, kept):
    return _renormalise([p if i in kept else 0 * p for i, p in enumerate(probs)])


def _renormalise(weights):
    total = sum(weights)
    return [w / total for w in weights]
