"""Answers to problem set 4."""

from answers.false_claim import FALSE_CLAIM

_BITS = "sum(tokens * math.log2(perplexity) for perplexity, tokens, _ in books) / size"
_EACH = "statistics.mean(n * math.log2(p) / len(x.encode('utf8')) for p, n, x in books)"
_MEAN = "sum(n for _, n, _ in books) * math.log2(sum(p * n for p, n, _ in books) / sum(n for _, n, _ in books)) / size"
_GAPS = "gaps = [b - a for a, b in zip(first, second, strict=True)]"
_FLIPPED = "sum(s * d for s, d in zip(flip, gaps, strict=True))"
_ERROR = "error = statistics.stdev(gaps) / math.sqrt(len(gaps))"
_APART = "error = math.hypot(statistics.stdev(values), statistics.stdev(best)) / math.sqrt(len(gaps))"

ANSWERS = {
    "q1": {
        "alternative": """
def bits_per_byte(books):
    surprisal, size = torch.zeros((), dtype=torch.float64), 0
    for perplexity, tokens, text in books:
        surprisal += tokens * torch.tensor(perplexity, dtype=torch.float64).log()
        size += len(bytes(text, "utf8"))
    if size == 0:
        raise ValueError("nothing to share out")
    return (surprisal / size).item() / math.log(2)
""",
        "mistakes": {
            "nats": ([("math.log2", "math.log")], "these are nats"),
            "characters": ([('len(text.encode("utf8"))', "len(text)")], "characters are no bytes"),
            "each its own": ([(_BITS, _EACH)], "of its own"),
            "no weights": ([("tokens * math", "math")], "more tokens has more"),
            "mean perplexity": ([(_BITS, _MEAN)], "surprisals add up"),
            "per token": ([("/ size", "/ sum(n for _, n, _ in books)")], "bits per token"),
            "perplexity per byte": ([(f"return {_BITS}", f"return 2 ** ({_BITS})")], "perplexity per byte"),
            "no logarithm": ([("math.log2(perplexity)", "perplexity")], "logarithm is missing"),
            "no byte, no error": ([("raise ValueError", "return print")], "raise a ValueError"),
        },
    },
    "q2": {
        "alternative": """
def sign_flip_p(first, second, flips):
    gaps = torch.tensor(second) - torch.tensor(first)
    sums = (torch.tensor(flips) * gaps).sum(1).abs()
    return (1 + int((sums >= gaps.sum().abs()).sum())) / (1 + len(flips))
""",
        "mistakes": {
            "ties": ([(">= measured", "> measured")], "exactly as large"),
            "one-sided": ([("abs(sum(gaps))", "sum(gaps)"), (f"abs({_FLIPPED})", _FLIPPED)], "other sign"),
            "not among the draws": ([("(1 + hits) / (1 + len(flips))", "hits / len(flips)")], "add 1 to both"),
            "the number": ([("(1 + hits) / (1 + len(flips))", "hits")], "is a share"),
            "the rest": (
                [("(1 + hits) / (1 + len(flips))", "1 - (1 + hits) / (1 + len(flips))")],
                "no hits",
            ),
            "medians": (
                [
                    ("abs(sum(gaps))", "abs(statistics.median(gaps))"),
                    (
                        "abs(sum(s * d for s, d in zip(flip, gaps, strict=True)))",
                        "abs(statistics.median([s * d for s, d in zip(flip, gaps, strict=True)]))",
                    ),
                ],
                "medians",
            ),
            "one setting's sign": (
                [(_FLIPPED, "sum(s * b - a for s, a, b in zip(flip, first, second, strict=True))")],
                "not the score of one setting",
            ),
            "half of it": ([("(1 + hits)", "hits")], "only what is added to the hits"),
            "in place": ([("return (1", "first.clear()\n    return (1")], "changes what it is given"),
        },
    },
    "q3": {
        "alternative": """
def contenders(distances, t):
    table = torch.tensor(list(distances.values()), dtype=torch.float64)
    gaps = table - table[table.mean(1).argmin()]
    low = gaps.mean(1) - t * (gaps.var(1, unbiased=True) / gaps.shape[1]).sqrt()
    return [name for name, end in zip(distances, low.tolist()) if end <= 0]
""",
        "mistakes": {
            "unpaired": ([(_ERROR, _APART)], "paired by book"),
            "divides by n": ([("statistics.stdev", "statistics.pstdev")], "n - 1"),
            "no root of n": ([(" / math.sqrt(len(gaps))", "")], "smaller error"),
            "variance": ([("statistics.stdev", "statistics.variance")], "variance"),
            "largest distance": ([("distances[min(", "distances[max(")], "smaller distances"),
            "own error": ([("stdev(gaps)", "stdev(values)")], "each setting's mean"),
            "winner's error": ([("stdev(gaps)", "stdev(best)")], "winner's mean"),
            "best first": (
                [("return found", "return sorted(found, key=lambda s: statistics.mean(distances[s]))")],
                "that of the dictionary",
            ),
            "one standard error": ([("t * error", "error")], "use t"),
            "without the winner": ([("<= 0:", "<= 0 and values != best:")], "itself is in the list"),
        },
    },
    "q4": {
        "alternative": """
_a, _b = torch.tensor(FIRST).double(), torch.tensor(SECOND).double()
_w = PASSAGE.split()
_said, _also = torch.tensor(ANN).double(), torch.tensor(BEN).double()
_same = (_said == _also).double().mean()
_chance = _said.mean() * _also.mean() + (1 - _said.mean()) * (1 - _also.mean())
_mine = {
    "perplexity": gl.scoring.perplexity(lm, lm.encode(CLASS["opening"])),
    "distinct": len({(x, y) for x, y in zip(_w[:-1], _w[1:])}) / len(_w[1:]),
    "error": ((_b - _a).var() / 12).sqrt().item(),
    "kappa": ((_same - _chance) / (1 - _chance)).item(),
    "share": (_b > _a).double().mean().item(),
    "mean gain": (_b - _a).mean().item(),
}
_wrong = {n: v for n, (c, r) in REPORT.items() for w, v in _mine.items() if w in c and abs(v - r) > 0.01}
(false_claim,), (true_value,) = _wrong, _wrong.values()
""",
        "mistakes": FALSE_CLAIM,
    },
}
