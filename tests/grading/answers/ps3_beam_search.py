"""Answers to problem set 3."""

from answers.false_claim import FALSE_CLAIM

_ANSWER = "math.log(first[0] / second[0]) / math.log(first[1] / second[1])"
_LOOP = "for ids, total, family in sorted(candidates, key=lambda c: -c[1]):"
_REST = """    for ids, total, family in sorted(candidates, key=lambda c: -c[1]):
        if (ids, total) not in kept and len(kept) < num_beams:
            kept.append((ids, total))
"""

ANSWERS = {
    "q1": {
        "alternative": """
def turning_point(first, second):
    (a, n), (b, m) = first, second
    if n == m:
        return None
    low, high = -1000.0, 1000.0
    def gap(p):
        return (math.log(-a) - p * math.log(n)) - (math.log(-b) - p * math.log(m))
    if gap(low) > gap(high):
        low, high = high, low
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if gap(middle) < 0 else (low, middle)
    return middle
""",
        "mistakes": {
            "upside down": ([(_ANSWER, "math.log(first[1] / second[1]) / math.log(first[0] / second[0])")], "upside"),
            "wrong sign": ([(_ANSWER, "-" + _ANSWER)], "sign is wrong"),
            "zero for None": ([("return None", "return 0.0")], "return None"),
            "multiplied": ([(_ANSWER, "first[0] * second[1] / (second[0] * first[1])")], "not multiplied"),
            "difference of lengths": ([("math.log(first[1] / second[1])", "(first[1] - second[1])")], "by their diff"),
            "difference of sums": ([("math.log(first[0] / second[0])", "(first[0] - second[0])")], "by their diff"),
            "no logarithm": ([("math.log(first[0] / second[0])", "first[0] / second[0]")], "is missing"),
            "logarithm of a sum": ([("first[0] / second[0]", "first[0]")], "stops with ValueError"),
        },
    },
    "q2": {
        "alternative": """
def family_step(beams, log_probs, num_beams, max_children):
    best = log_probs.topk(min(max_children, log_probs.shape[1]))
    found = []
    for (ids, total), xs, tokens in zip(beams, best.values.tolist(), best.indices.tolist()):
        found += [(ids + (token,), total + x) for x, token in zip(xs, tokens)]
    found.sort(key=lambda pair: pair[1], reverse=True)
    return found[:num_beams]
""",
        "mistakes": {
            "no limit": ([("children[family] < max_children and ", "")], "limit on children is missing"),
            "cut too early": ([("key=lambda c: -c[1]):", "key=lambda c: -c[1])[:num_beams]:")], "too early"),
            "filled up": ([("    return kept", _REST + "    return kept")], "you fill up"),
            "each its own": (
                [(" and len(kept) < num_beams", ""), (_LOOP, _LOOP.replace("-c[1]", "(c[2], -c[1])"))],
                "compete for",
            ),
            "last token only": ([("key=lambda c: -c[1]", "key=lambda c: beams[c[2]][1] - c[1]")], "forgotten"),
            "worst": ([("key=lambda c: -c[1]", "key=lambda c: c[1]")], "the worst"),
            "totals of one token": (
                [("kept.append((ids, total))", "kept.append((ids, total - beams[family][1]))")],
                "lack",
            ),
            "worst first": ([("return kept", "return kept[::-1]")], "best first"),
            "new token only": ([("kept.append((ids, total))", "kept.append((ids[-1:], total))")], "come first"),
            "in place": ([("return kept", "beams[:] = kept\n    return kept")], "changes what it is given"),
        },
    },
    "q3": {
        "alternative": """
def may_stop(open_sums, finished_scores, num_beams, length, max_length, length_penalty):
    import heapq
    kept = heapq.nlargest(num_beams, finished_scores)
    for total in open_sums:
        for n in range(length, max_length + 1):
            if len(kept) < num_beams or total / n ** length_penalty > kept[-1]:
                return False
    return True
""",
        "mistakes": {
            "present length": ([("(length, max_length)", "(length,)")], "present length"),
            "greatest length": ([("in (length, max_length)", "in (max_length,)")], "greatest length"),
            "best finished": ([("reverse=True)[num_beams - 1]", "reverse=True)[0]")], "best finished text"),
            "too few finished": (
                [
                    ("if len(finished_scores) < num_beams:", "if not finished_scores:"),
                    ("[num_beams - 1]", "[:num_beams][-1]"),
                ],
                "needed before",
            ),
            "level": ([("best <= worst", "best < worst")], "draw level"),
            "worst open": ([("max(open_sums)", "min(open_sums)")], "best open text"),
            "all finished": (
                [("sorted(finished_scores, reverse=True)[num_beams - 1]", "min(finished_scores)")],
                "num_beams best",
            ),
            "waits for nothing": ([("        return True", "        return False")], "nothing to wait for"),
            "wrong way round": (
                [
                    ("return best <= worst", "return best > worst"),
                    ("return True", "return None"),
                    ("return False", "return True"),
                    ("return None", "return False"),
                ],
                "wrong way round",
            ),
            "a number": ([("return best <= worst", "return worst - best")], "should return a bool"),
        },
    },
    "q4": {
        "alternative": """
_toy = random_toy(CLASS["seed"], context=2)
def _search(n):
    return gl.beam_search(_toy, _toy.encode("w0 w1"), num_beams=n, max_new_tokens=3)
_one, _two, _every = _search(1), _search(2), _search(125)
def _lowest(text, n):
    row = _toy.next_probs(text)
    return min(math.log(p) + (_lowest(f"{text} {w}", n - 1) if n > 1 else 0) for w, p in row.items())
_least = _lowest("w0 w1", 3)
_mine = {
    "log-probability of what greedy": _one.hypotheses[0].log_prob,
    "of the most probable three": _every.hypotheses[0].log_prob,
    "least probable": _least,
    "2 beams needs": _two.tree.rows,
    "how many texts": len(_toy.words) ** 3,
    "how many nats": _two.hypotheses[0].log_prob - _one.hypotheses[0].log_prob,
}
_wrong = {n: v for n, (c, r) in REPORT.items() for w, v in _mine.items() if w in c and abs(v - r) > 0.01}
(false_claim,), (true_value,) = _wrong, _wrong.values()
""",
        "mistakes": FALSE_CLAIM,
    },
}
