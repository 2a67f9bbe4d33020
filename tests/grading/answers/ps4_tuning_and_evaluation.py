"""Answers to problem set 4."""

from answers.false_claim import FALSE_CLAIM

_GAIN = "math.fsum(second[i] - first[i] for i in draw)"
_WIN = "0.5 if abs(gain) < 1e-9 else gain > 0"
_EACH = "return statistics.mean(math.exp(-sum(x) / len(t.split())) for x, t in texts)"

ANSWERS = {
    "q1": {
        "alternative": """
def word_perplexity(texts):
    surprisal, words = torch.zeros((), dtype=torch.float64), 0
    for log_probs, text in texts:
        surprisal -= torch.tensor(log_probs, dtype=torch.float64).sum()
        words += len(text.split())
    if words == 0:
        raise ValueError("no words")
    return (surprisal / words).exp().item()
""",
        "mistakes": {
            "per token": ([("len(text.split()) for _, text", "len(x) for x, _")], "per token"),
            "mean of perplexities": (
                [("return math.exp(-sum(sum(log_probs) for log_probs, _ in texts) / words)", _EACH)],
                "of its own",
            ),
            "no sign": ([("math.exp(-sum", "math.exp(sum")], "sign is missing"),
            "powers of two": ([("math.exp(", "2 ** (")], "powers of 2"),
            "single spaces": ([("text.split()", "text.split(' ')")], "two spaces"),
            "first token left out": ([("sum(log_probs)", "sum(log_probs[1:])")], "leave it out"),
            "no exponential": ([("math.exp(", "(")], "exponential"),
            "per character": ([("text.split()", "text")], "per character"),
            "no word, no error": ([("raise ValueError", "return print")], "raise a ValueError"),
        },
    },
    "q2": {
        "alternative": """
def share_of_wins(first, second, draws):
    a, b, picks = torch.tensor(first).double(), torch.tensor(second).double(), torch.tensor(draws)
    gain = (b - a)[picks].mean(1)
    return ((gain > 1e-9).double() + 0.5 * (gain.abs() <= 1e-9)).mean().item()
""",
        "mistakes": {
            "ties lose": ([(_WIN, "gain > 1e-9")], "equal count half"),
            "ties win": ([(_WIN, "gain > -1e-9")], "not as wins"),
            "first wins": ([("second[i] - first[i]", "first[i] - second[i]")], "first wins"),
            "other openings": (
                [
                    ("for draw in draws", "for n, draw in enumerate(draws)"),
                    (_GAIN, "sum(second[i] for i in draws[(n + 1) % len(draws)]) - sum(first[i] for i in draw)"),
                ],
                "the same openings",
            ),
            "medians": (
                [(_GAIN, "statistics.median([second[i] for i in draw]) - statistics.median([first[i] for i in draw])")],
                "medians",
            ),
            "no resampling": (
                [("for draw in draws", "draws = [[i] for i in range(len(first))]\n    for draw in draws")],
                "count openings",
            ),
            "each opening once": ([("for i in draw)", "for i in set(draw))")], "counts twice"),
            "number of wins": ([(" / len(draws)", "")], "the share"),
            "opening by opening": (
                [("for draw in draws", "draws = [[i] for draw in draws for i in draw]\n    for draw in draws")],
                "opening by opening",
            ),
        },
    },
    "q3": {
        "alternative": """
def careful_choice(distances):
    def mean_and_error(values):
        v = torch.tensor(values, dtype=torch.float64)
        return v.mean().item(), (v.var(unbiased=True) / len(v)).sqrt().item()
    table = sorted((mean_and_error(v), t) for t, v in distances.items())
    (best, error), _ = table[0]
    return min(t for (mean, _), t in table if mean <= best + error)
""",
        "mistakes": {
            "divides by n": ([("statistics.stdev", "statistics.pstdev")], "n - 1"),
            "no root of n": ([(" / math.sqrt(len(distances[best]))", "")], "smaller error"),
            "own error": (
                [
                    (
                        "mean <= limit",
                        "mean - statistics.stdev(distances[t]) / math.sqrt(len(distances[t])) <= means[best]",
                    )
                ],
                "each setting's own",
            ),
            "highest temperature": ([("return min(", "return max(")], "lowest temperature was"),
            "largest distance": ([("best = min(", "best = max(")], "smaller distances"),
            "best mean": (
                [("return min(t for", "return best if limit else (t for")],
                "best mean",
            ),
            "variance": ([("statistics.stdev", "statistics.variance")], "variance"),
            "1.96 errors": ([("+ statistics", "+ 1.96 * statistics")], "not 1.96"),
            "the mean": (
                [("return min(t for", "return limit if limit else (t for")],
                "not right for",
            ),
        },
    },
    "q4": {
        "alternative": """
_x = gl.scoring.token_log_probs(lm, lm.encode(CLASS["opening"])).double()
_a, _b = torch.tensor(FIRST).double(), torch.tensor(SECOND).double()
_mine = {
    "perplexity": gl.scoring.perplexity(lm, lm.encode(CLASS["opening"])),
    "bits": gl.scoring.surprisal(lm, lm.encode(CLASS["opening"])).mean().item(),
    "error": (_a.var() / 12).sqrt().item(),
    "gain": (_b - _a).mean().item(),
    "share": (_b > _a).double().mean().item(),
    "nats": _x.sum().item(),
}
_wrong = {n: v for n, (c, r) in REPORT.items() for w, v in _mine.items() if w in c and abs(v - r) > 0.01}
(false_claim,), (true_value,) = _wrong, _wrong.values()
""",
        "mistakes": FALSE_CLAIM,
    },
}
