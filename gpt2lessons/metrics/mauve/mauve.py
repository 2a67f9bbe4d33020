"""A small MAUVE, how far a set of machine texts is from a set of human ones, as an `evaluate` metric."""

import numpy as np
import torch

from gpt2lessons.metrics import base

ENOUGH = 1000


class Mauve(base.TextMetric):
    """MAUVE (Pillutla et al. 2021) with features of the loaded model: 1 where the two sets cannot be told apart.

    Each text becomes the model's last hidden state at its last token; principal components that keep 90 % of the
    variance are clustered with k-means; the two histograms over clusters are compared along a curve of mixtures,
    and MAUVE is the area under it. predictions[i] and references[i] are not compared with each other.

    The authors' package (mauve-text) differs in details: it normalizes features without centring them first, takes
    25 points of the curve instead of 100, and rounds the number of clusters, texts / 10, where it is cut off here.

    The authors use 5,000 texts on each side and features of GPT-2 large. With fewer than about 1,000 texts, or another
    feature model, the number can only rank sets of the same size measured in the same way, and `note` says so.
    """

    references = "one"
    source = "Pillutla et al. 2021, MAUVE: Measuring the Gap Between Neural Text and Human Text"

    def _measure(self, predictions, references, model=None, clusters=None, scale=5.0, seed=0, vectors=None):
        """`model` is a `LanguageModel`; `clusters` defaults to a tenth of the texts; `scale` is the paper's c = 5.

        `vectors`, an empty dict, keeps what was read: give it again with the same model, as long as its
        weights stay, and each text is read once in all calls.
        """
        base.check_model(model, "mauve")
        if not isinstance(model.model, torch.nn.Module):
            raise TypeError(f"mauve reads hidden states, and {model.name} has no weights: give another model")
        if len(predictions) < 4:
            raise ValueError(f"mauve compares sets of texts: give at least 4 on each side, not {len(predictions)}")
        human = [reference[0] for reference in references]
        # without `vectors` read anew in each call, because the weights may have changed since the last
        vectors = {} if vectors is None else vectors
        for what, texts in (("predictions", predictions), ("references", human)):
            for i, text in enumerate(texts):
                if text not in vectors:
                    vectors[text] = _features(model, text, f"{what}[{i}]")
        points = _reduced(np.stack([vectors[text] for text in [*predictions, *human]]))
        clusters = clusters or max(2, len(predictions) // 10)
        labels = k_means(points, clusters, seed=seed)
        machine, human = labels[: len(predictions)], labels[len(predictions) :]
        q, p = (np.bincount(side, minlength=clusters) / len(side) for side in (machine, human))
        small = f"{len(predictions)} texts on each side: a rough guide; published values use about 5,000"
        return (
            {"mauve": area(p, q, scale), "clusters": clusters} | ({"note": small} if len(predictions) < ENOUGH else {}),
            None,
            None,
        )


def _features(model, text, what):
    """Return the last hidden state (C,) at the last token of `text`, float64, of `model` in evaluation mode."""
    ids, network = model.encode(text) if text else None, model.model
    length, limit = 0 if ids is None else ids.shape[1], network.config.n_positions
    if not 0 < length <= limit:
        raise ValueError(
            f"{what} has {length} tokens: mauve reads 1 to {limit}; {'cut it' if length else 'leave it out'}"
        )
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            states = network(ids, output_hidden_states=True).hidden_states
    finally:
        network.train(training)
    return states[-1][0, -1].double().cpu().numpy()


def _reduced(points, keep=0.9):
    centred = points - points.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    centred = centred / np.where(length == 0, 1, length)
    u, s, _ = np.linalg.svd(centred - centred.mean(axis=0), full_matrices=False)
    share = np.cumsum(s**2) / max(np.sum(s**2), 1e-12)
    return (u * s)[:, : int(np.searchsorted(share, keep)) + 1]


def k_means(points, clusters, *, seed=0, starts=5, rounds=100):
    """Return the cluster (N,) of each point (N, D): the tightest of `starts` runs of Lloyd's k-means (k-means++)."""
    random, best = np.random.default_rng(seed), (np.inf, None)
    for _ in range(starts):
        centres = points[random.integers(len(points))][None]
        while len(centres) < clusters:
            distance = ((points[:, None] - centres) ** 2).sum(-1).min(1)
            weights = distance / distance.sum() if distance.sum() > 0 else None
            centres = np.vstack([centres, points[random.choice(len(points), p=weights)]])
        labels = None
        for _ in range(rounds):
            distance = ((points[:, None] - centres) ** 2).sum(-1)
            before, labels = labels, distance.argmin(1)
            if before is not None and (before == labels).all():
                break
            for k in set(labels.tolist()):
                centres[k] = points[labels == k].mean(0)
        if (spread := distance.min(1).sum()) < best[0]:
            best = (spread, labels)
    return best[1]


def area(p, q, scale=5.0, steps=100):
    """Return the area under the divergence curve of histograms `p` and `q` (both sum to 1)."""
    mixtures = np.linspace(1e-6, 1 - 1e-6, steps)
    x, y = [0.0], [1.0]
    for weight in mixtures:
        mixture = weight * p + (1 - weight) * q
        x.append(np.exp(-scale * _divergence(q, mixture)))
        y.append(np.exp(-scale * _divergence(p, mixture)))
    x, y = np.array([*x, 1.0]), np.array([*y, 0.0])
    order = np.lexsort((-y, x))
    return float(np.trapezoid(y[order], x[order]))


def _divergence(p, mixture):
    """Return KL(p ‖ mixture) in nats; where p is 0 nothing is added."""
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / mixture[inside])))
