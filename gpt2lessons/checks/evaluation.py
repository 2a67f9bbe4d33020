"""Checks of lesson 11: perplexity from logits, of several continuations, clipped precision, BLEU, the leak."""

import math
from collections import Counter

import torch

from gpt2lessons.checks.frame import WrongError, call_untouched, exercise, expect_number, refuse

_SHIFT = "The logits at position t say what the model expects at position t + 1. Which position scores token 0?"


@exercise("Perplexity from logits")
def perplexity_from_logits(answer):
    """Examine `answer(logits (T, V), input_ids (T,)) -> perplexity` of one text, the first token unscored."""
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    ids = torch.tensor([3, 0, 0, 4, 2, 1])
    got = call_untouched(lambda x: answer(x, ids.clone()), logits)
    log_probs = logits.log_softmax(-1)
    here = log_probs[torch.arange(6), ids]  # what each position says about its own token
    right = log_probs[torch.arange(5), ids[1:]]
    back = log_probs[torch.arange(1, 6), ids[:-1]]
    raw = logits[torch.arange(5), ids[1:]]
    mistakes = {
        "the labels are not shifted: every token is scored by the logits at its own place": (
            (-here.mean()).exp(),
            _SHIFT,
        ),
        "not shifted, with the first token left out": ((-here[1:].mean()).exp(), _SHIFT),
        "shifted the wrong way: tokens are scored by the logits that come after them": ((-back.mean()).exp(), _SHIFT),
        "this is the mean surprisal in nats, not yet the perplexity": (-right.mean(), "One function is missing."),
        "this is 1 / perplexity": (right.mean().exp(), "Surprisal is −log p: mind the sign."),
        "surprisal in nats was raised as a power of 2": (2 ** (-right.mean()), "Logarithm and power share their base."),
        "the surprisals were added up, but not divided by their number": ((-right.sum()).exp(), "Mean, then exp."),
        "the sum was divided by the number of tokens, but one of them was not scored": (
            (-right.sum() / 6).exp(),
            "How many tokens had something before them?",
        ),
        "the mean was taken of 1/p, not of the surprisal": ((-right).exp().mean(), "Mean first, exp last."),
        "logits were taken for log-probabilities": ((-raw.mean()).exp(), "What makes probabilities of logits?"),
    }
    refuse(got, mistakes)
    expect_number(got, (-right.mean()).exp().item(), "the perplexity")
    even = answer(torch.zeros(4, 7, dtype=torch.float64), torch.tensor([0, 1, 2, 6]))
    expect_number(even, 7.0, "the perplexity of a model that finds seven tokens equally probable")
    return "a model that wavers between seven equally probable tokens has perplexity 7."


@exercise("Score the continuations, all of them together")
def continuation_perplexity(answer):
    """Examine `answer(log_probs, prompt_lengths) -> perplexity` pooled over texts, prompts not scored.

    `log_probs[i]` (T - 1,) are those of tokens 1 … T-1 of text i; its first `prompt_lengths[i]` tokens are prompt.
    """
    rows = [
        torch.tensor([-0.5, -4.0, -1.0, -2.0, -0.25, -1.5]),
        torch.tensor([-3.0, -0.125, -5.0]),
        torch.tensor([-1.0, -2.5, -0.75, -3.5, -2.0]),
    ]
    prompts = [3, 1, 4]
    got = answer([row.clone() for row in rows], list(prompts))
    scored = [row[n - 1 :] for row, n in zip(rows, prompts, strict=True)]
    late = [row[n:] for row, n in zip(rows, prompts, strict=True)]
    each = [(-s.mean()).exp() for s in scored]
    mistakes = {
        "the prompts are scored too": ((-torch.cat(rows).mean()).exp(), "Which entries of log_probs belong to it?"),
        "only the prompts are scored": (
            (-torch.cat([row[: n - 1] for row, n in zip(rows, prompts, strict=True)]).mean()).exp(),
            "Keep what comes after the prompt.",
        ),
        "the first token of each continuation is missing": (
            (-torch.cat(late).mean()).exp(),
            "log_probs[0] belongs to token 1, because token 0 is not scored. Where does token number n stand?",
        ),
        "this is the mean of the texts' perplexities: one odd text can dominate it": (
            sum(each) / 3,
            "Collect all tokens first: one mean, one exp.",
        ),
        "every text counts the same, however short it is": (
            (-sum(s.mean() for s in scored) / 3).exp(),
            "Collect all tokens first: one mean, one exp.",
        ),
        "only the last text is scored": (each[-1], "All texts count."),
        "only the first text is scored": (each[0], "All texts count. Does the return stand inside the loop?"),
        "this is the mean surprisal, not yet the perplexity": (-torch.cat(scored).mean(), "One function is missing."),
        "this is 1 / perplexity": (torch.cat(scored).mean().exp(), "Surprisal is −log p: mind the sign."),
    }
    refuse(got, mistakes)
    expect_number(got, (-torch.cat(scored).mean()).exp().item(), "the perplexity of the three continuations")
    return "exp of one mean over all continuation tokens; the prompts are read, but not scored."


@exercise("Clipped precision")
def clipped_precision(answer):
    """Examine `answer(candidate, reference, n) -> float`: the share of the candidate's n-grams that count."""
    # the mistakes on `telling` all give different numbers; `plain` catches what only works there
    telling = ("the cat the cat the cat ran on on", "on the cat sat the dog and a cat the mat")
    plain = ("a b c", "a b d")
    for texts, n in ((telling, 1), (telling, 2), (plain, 1), (plain, 2)):
        candidate, reference = (text.split() for text in texts)
        got = answer(list(candidate), list(reference), n)
        mine, theirs = _ngrams(candidate, n), _ngrams(reference, n)
        shared, total = (mine & theirs).total(), mine.total()
        found = sum(c for g, c in mine.items() if g in theirs)
        first, second = _ngrams(candidate, 1), _ngrams(reference, 1)
        mistakes = {
            "the counts are not clipped: an n-gram that the candidate repeats counts every time": (
                found / total,
                "An n-gram of the reference can be used once only: take the smaller of the two counts.",
            ),
            "every n-gram counts once, however often it occurs": (
                len(set(mine) & set(theirs)) / len(mine),
                "Counter, not set: an n-gram that stands twice in both texts counts twice.",
            ),
            "every shared n-gram counts once, but the candidate's are all counted": (
                len(set(mine) & set(theirs)) / total,
                "Counter, not set: an n-gram that stands twice in both texts counts twice.",
            ),
            "this is recall: it was divided by the n-grams of the reference": (
                shared / theirs.total(),
                "Precision asks how much of the candidate is right.",
            ),
            "it was divided by the number of words, not of n-grams": (
                shared / len(candidate),
                "How many n-grams does a text of so many words have?",
            ),
            "n is ignored: these are single words": (
                (first & second).total() / first.total(),
                "A bigram is two neighbouring words.",
            ),
            "this is the F1 of ROUGE, not precision": (
                2 * shared / (total + theirs.total()),
                "Divide by the candidate's n-grams alone.",
            ),
        }
        truth = shared / total
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - truth) > 1e-9})
        what = f"the clipped {n}-gram precision of {' '.join(candidate)!r} against {' '.join(reference)!r}"
        expect_number(got, truth, what)
    return "shared n-grams, each used once, divided by the candidate's."


@exercise("BLEU by hand")
def bleu(answer):
    """Examine `answer(candidate, reference) -> score` from 0 to 100 of two lists of words, without smoothing."""
    target = "the small boat came home at dusk and the old man slept"
    for text in (f"{target} in the boat at home", "the boat came home at dusk and the the man"):
        candidate, reference = text.split(), target.split()
        got = answer(list(candidate), list(reference))
        c, r = len(candidate), len(reference)
        counts = [(_ngrams(candidate, n), _ngrams(reference, n)) for n in (1, 2, 3, 4)]
        p = [(mine & theirs).total() / mine.total() for mine, theirs in counts]
        loose = [sum(k for g, k in mine.items() if g in theirs) / mine.total() for mine, theirs in counts]
        geometric, penalty = math.prod(p) ** 0.25, min(1.0, math.exp(1 - r / c))
        truth = 100 * penalty * geometric
        mistakes = {
            "the brevity penalty is missing": (100 * geometric, "The candidate is shorter than the reference."),
            "the brevity penalty rewards here: it must never exceed 1": (
                100 * math.exp(1 - r / c) * geometric,
                "A candidate that is long enough is not penalised, and not rewarded.",
            ),
            "the penalty compares the lengths the wrong way round": (
                100 * min(1.0, math.exp(1 - c / r)) * geometric,
                "Short candidates are to be penalised.",
            ),
            "the penalty is the ratio of the lengths, without the exponential": (
                100 * min(1.0, c / r) * geometric,
                "exp(1 − r/c) for a candidate of c words and a reference of r.",
            ),
            "the precisions were averaged arithmetically": (
                100 * penalty * sum(p) / 4,
                "BLEU takes the geometric mean: the fourth root of the product.",
            ),
            "the precisions were multiplied, but no root was taken": (100 * penalty * math.prod(p), "Fourth root."),
            "the precisions are not clipped": (
                100 * penalty * math.prod(loose) ** 0.25,
                "The candidate repeats a word more often than the reference has it.",
            ),
            "the scale is 0 to 1": (penalty * geometric, "sacrebleu's runs from 0 to 100."),
            "only single words and pairs are counted": (100 * penalty * (p[0] * p[1]) ** 0.5, "n runs from 1 to 4."),
        }
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - truth) > 1e-6})
        expect_number(got, truth, f"the BLEU of a candidate of {c} words against a reference of {r}")
    zero = answer(list("abcde"), list("vwxyz"))
    if zero != 0:
        raise WrongError(f"two texts without a common word score 0, not {zero!r}.", hint="A product with a 0 in it.")
    return "clipped precisions, geometric mean, brevity penalty."


@exercise("The leak")
def words_written(answer):
    """Examine `answer(reference_words, rouge1) -> number`: how many words the model wrote after the reference."""
    for n, m in ((30, 100), (12, 20), (50, 75)):
        f = 2 * n / (n + m)
        got = answer(n, f)
        mistakes = {
            "this is the length of the whole text, prompt included": (
                m,
                "How many of those words did the model write?",
            ),
            "the score was taken for precision": (
                n / f - n,
                "rouge_score prints F1 = 2·P·R / (P + R), and R = 1 here.",
            ),
            "the score was taken for precision, and the prompt was counted as written": (
                n / f,
                "rouge_score prints F1 = 2·P·R / (P + R), and R = 1 here.",
            ),
            "this is prompt and reference and continuation together": (n + m, "Solve F1 = 2N / (N + M) for M first."),
            "the score was taken for the share of the text that the model wrote": (n * f, "Solve F1 = 2N / (N + M)."),
            "the sign is the wrong way round": (n - m, "The whole text is longer than the prompt."),
        }
        refuse(got, {k: v for k, v in mistakes.items() if abs(v[0] - (m - n)) > 1e-6})
        expect_number(got, float(m - n), f"what was written after {n} words at ROUGE-1 = {f:.4f}", tolerance=1e-3)
    return "the score depends on two lengths and on nothing that was written."


def _ngrams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
