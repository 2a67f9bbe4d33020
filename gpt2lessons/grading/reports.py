"""A colleague's report for each assignment: six numbers, one of them false, in an order that depends on the class.

Each claim is (sentence, true value, false value); the false value is what a plausible mistake gives, and is used for
one claim only. A claim whose false value is the true one, or close to it, is never chosen to be false: that holds for
claims that are the same in every class. In the reports on toys (sets 2 and 3) no false value
breaks a bound that the other claims or the size of the toy give, so nobody finds it without computing.
"""

import math
import random
import statistics
from itertools import pairwise

import gpt2lessons as gl
from gpt2lessons.toy import random_toy


def report(assignment, chosen):
    """Return [(claim, value)] in the order of the report."""
    makers = {"ps1": tokens_and_sizes, "ps2": sampling, "ps3": search, "ps4": evaluation}
    claims = makers[assignment[:3]](chosen)
    draw = random.Random(f"{assignment} {chosen['seed']}")
    draw.shuffle(claims)
    candidates = [i for i, (_, true, false) in enumerate(claims) if abs(true - false) > 0.02 * max(1, abs(true))]
    lie = draw.choice(candidates)
    return [(claim, false if i == lie else true) for i, (claim, true, false) in enumerate(claims)]


def tokens_and_sizes(chosen):
    """Claims about the model and what it makes of the opening."""
    lm = gl.load("gpt2-mini")
    config, opening, word = lm.model.config, chosen["opening"], chosen["word"]
    tokens, size = lm.encode(opening).shape[1], len(opening.encode("utf8"))
    whole = sum(p.numel() for p in lm.model.parameters())
    share = config.vocab_size * config.n_embd / whole
    pieces = [lm.encode(w).shape[1] for w in (word, " " + word)]
    cached = 2 * config.n_layer * tokens * config.n_embd
    return [
        ("how many bytes of the opening one token stands for, on average", size / tokens, size / len(opening.split())),
        (
            "how many tokens the word has at the beginning of a text",
            *pieces,
        ),
        ("the share of the parameters that the table wte holds", share, share),
        ("how many numbers the key-value cache holds after the opening", cached, cached // 2),
        ("how many attention weights of one head are not 0", tokens * (tokens + 1) // 2, tokens * tokens),
        ("the length of one head's query vector", *[config.n_embd // config.n_head] * 2),
    ]


def sampling(chosen):
    """Claims about drawing from a toy model."""
    toy = random_toy(chosen["seed"], vocab_size=6)
    row = {word: float(p) for word, p in toy.next_probs("w0").items()}
    probs = sorted(row.values(), reverse=True)
    cool, cooler, hot = ([p**power / sum(q**power for q in probs) for p in probs] for power in (2, 4, 0.5))
    nucleus = len(toy.next_probs("w0", top_p=0.7))
    first = max(row, key=row.get)
    both = float(toy.greedy("w0", 2).prob)
    third = sorted(map(float, toy.next_probs(f"w0 {first}").values()))[-2]
    return [
        ("the entropy of the next word after w0, in nats", toy.entropy("w0"), -sum(p * math.log(p) for p in hot)),
        ("the largest probability after w0 at temperature 0.5", cool[0], cooler[0]),
        ("the largest probability after w0 with top_k=3", probs[0] / sum(probs[:3]), probs[0] / sum(probs[:2])),
        ("how many words top_p=0.7 keeps after w0", nucleus, nucleus + 1),
        ("the probability of the two words that greedy search writes after w0", both, probs[0] * third),
        (
            "the probability that 10 draws after w0 never give its most probable word",
            (1 - probs[0]) ** 10,
            (1 - probs[1]) ** 10,
        ),
    ]


def search(chosen):
    """Claims about searching in a toy model, three words after w0 w1."""
    toy = random_toy(chosen["seed"], context=2)
    greedy, best, pair = toy.greedy("w0 w1", 3), toy.best_sequence("w0 w1", 3), toy.best_sequence("w0 w1", 2)
    longer = toy.greedy("w0 w1", 4)
    two = gl.beam_search(toy, toy.encode("w0 w1"), num_beams=2, max_new_tokens=3)
    gain = two.hypotheses[0].log_prob - greedy.log_prob
    least = [min(text.log_prob for text in toy.continuations("w0 w1", n)) for n in (3, 4)]
    return [
        ("the log-probability of what greedy search writes, in nats", greedy.log_prob, longer.log_prob),
        ("the log-probability of the most probable three words, in nats", best.log_prob, pair.log_prob),
        ("the log-probability of the least probable three words, in nats", *least),
        ("how many next-word distributions a search with 2 beams needs", two.tree.rows, two.tree.rows),
        ("how many texts of three words there are", 5**3, 5**3),
        (
            "how many nats more log-probable the result of 2 beams is than greedy's",
            gain,
            best.log_prob - greedy.log_prob,
        ),
    ]


def measured(chosen):
    """Return the made-up scores of two settings on the same twelve openings, and two judges' 40 made-up answers."""
    draw = random.Random(chosen["seed"])
    first = [round(draw.gauss(20, 4), 1) for _ in range(12)]
    second = [round(x + draw.gauss(1, 2), 1) for x in first]
    ann = [draw.random() < 0.7 for _ in range(40)]
    return first, second, ann, [a if draw.random() < 0.6 else draw.random() < 0.7 for a in ann]


def evaluation(chosen):
    """Claims about the opening, as the model scores it, a passage, two lists of scores and two judges."""
    lm = gl.load("gpt2-mini")
    first, second, ann, ben = measured(chosen)
    total = gl.scoring.token_log_probs(lm, lm.encode(chosen["opening"])).double().sum().item()
    scored = lm.encode(chosen["opening"]).shape[1] - 1
    words = gl.human.passages()[chosen["seed"] % 64].text.split()
    pairs = list(pairwise(words))
    gains = [b - a for a, b in zip(first, second, strict=True)]
    apart = math.hypot(statistics.stdev(first), statistics.stdev(second)) / 12**0.5
    wins, all_pairs = sum(gain > 0 for gain in gains), sum(b > a for a in first for b in second)
    agreed = sum(a == b for a, b in zip(ann, ben, strict=True)) / 40
    return [
        ("the perplexity of the opening", math.exp(-total / scored), math.exp(-total / (scored + 1))),
        ("distinct-2 of the words of PASSAGE", len(set(pairs)) / len(pairs), len(set(words)) / len(words)),
        (
            "the standard error of the mean of SECOND minus FIRST, opening by opening",
            statistics.stdev(gains) / 12**0.5,
            apart,
        ),
        ("Cohen's kappa of ANN and BEN", gl.metrics.cohen_kappa(ann, ben), agreed),
        ("the share of openings on which SECOND is higher", wins / 12, all_pairs / 144),
        ("the mean gain of SECOND over FIRST", statistics.mean(gains), statistics.median(gains)),
    ]
