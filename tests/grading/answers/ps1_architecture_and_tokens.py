"""Answers to problem set 1."""

from answers.false_claim import FALSE_CLAIM

_HELD = "max(begin, first) < min(begin + len(piece), last)"

ANSWERS = {
    "q1": {
        "alternative": """
def block_parameters(n_embd, n_head, n_kv_head):
    size = n_embd // n_head
    shapes = [(n_embd, n_head * size), (n_embd, n_kv_head * size), (n_embd, n_kv_head * size), (n_embd, n_embd)]
    shapes += [(n_embd, 4 * n_embd), (4 * n_embd, n_embd)]
    return sum(a * b + b for a, b in shapes) + 4 * n_embd
""",
        "mistakes": {
            "no biases": ([("n_embd + 1)", "n_embd + 0)")], "biases are missing"),
            "one LayerNorm": ([("2 * 2 * n_embd", "2 * n_embd")], "two of them"),
            "no LayerNorm": ([(" + norms", "")], "LayerNorms are missing"),
            "no output projection": ([(" + output", "")], "output projection"),
            "queries shared": ([("n_embd + 2 * shared", "3 * shared")], "queries are not shared"),
            "keys but no values": ([("2 * shared", "shared")], "one of them is missing"),
            "heads of one number": ([("n_kv_head * (n_embd // n_head)", "n_kv_head")], "not one number"),
            "not shared": ([("n_kv_head * (n_embd // n_head)", "n_embd")], "is not used"),
            "a text": ([("return inputs + output + mlp + norms", "return str(inputs)")], "should return a int"),
            "printed": ([("return inputs + output + mlp + norms", "print(inputs + output + mlp + norms)")], "print"),
        },
    },
    "q2": {
        "alternative": """
def window_pattern(q, k, window):
    B, H, T, D = q.shape
    out = torch.zeros(B, H, T, T)
    for t in range(T):
        first = max(0, t - window + 1)
        scores = (q[:, :, t : t + 1] * k[:, :, first : t + 1]).sum(-1) * D ** -0.5
        out[:, :, t, first : t + 1] = scores.softmax(-1)
    return out
""",
        "mistakes": {
            "one too long": ([("back >= window", "back > window")], "one position too long"),
            "one too short": ([("back >= window", "(back >= window - 1) & (back > 0)")], "one position too short"),
            "sees the future": ([("(back < 0) | (back >= window)", "back.abs() >= window")], "sees later ones"),
            "no window": ([(" | (back >= window)", "")], "window is missing"),
            "not scaled": ([(" / math.sqrt(q.shape[-1])", "")], "not scaled"),
            "divided by D": ([("math.sqrt(q.shape[-1])", "q.shape[-1]")], "divided by D"),
            "mask after softmax": (
                [("scores.masked_fill(", "scores.softmax(-1).masked_fill("), ("-torch.inf).softmax(-1)", "0)")],
                "before the softmax",
            ),
            "exchanged": ([("q @ k.transpose", "k @ q.transpose")], "exchanged"),
            "in place": (
                [
                    ("scores = q @ k.transpose(-1, -2) / math", "q /= math"),
                    ("(q.shape[-1])", "(q.shape[-1])\n    scores = q @ k.transpose(-1, -2)"),
                ],
                "changes what it is given",
            ),
        },
    },
    "q3": {
        "alternative": """
def tokens_of(pieces, start, end):
    owner = [i for i, piece in enumerate(pieces) for _ in piece]
    character = -1
    found = set()
    for byte, i in zip(b"".join(pieces), owner):
        character += byte & 0xC0 != 0x80
        if start <= character < end:
            found.add(i)
    return sorted(found)
""",
        "mistakes": {
            "bytes are characters": ([('len(text[:place].encode("utf8"))', "place")], "each were one byte"),
            "whole tokens only": (
                [
                    (
                        "max(begin, first) < min(begin + len(piece), last)",
                        "first <= begin and begin + len(piece) <= last",
                    )
                ],
                "only a part",
            ),
            "end included": ([("in (start, end)", "in (start, end + 1)")], "at `end`"),
            "touching": (
                [
                    (
                        "max(begin, first) < min(begin + len(piece), last)",
                        "begin <= last and begin + len(piece) >= first",
                    )
                ],
                "only touches",
            ),
            "from 1": ([("found.append(i)", "found.append(i + 1)")], "count from 0"),
            "first and last": ([("return found", "return [found[0], found[-1]] if found else []")], "begin and end"),
            "the tokens": ([("found.append(i)", "found.append(piece)")], "indices are asked for"),
            "begins inside": (
                [(_HELD, "first <= begin < last")],
                "begin inside",
            ),
            "decodes each token": (
                """
def tokens_of(pieces, start, end):
    found, begin = [], 0
    for i, piece in enumerate(pieces):
        length = len(piece.decode("utf8"))
        if max(begin, start) < min(begin + length, end):
            found.append(i)
        begin += length
    return found
""",
                "UnicodeDecodeError|stops with",
            ),
        },
    },
    "q4": {
        "alternative": """
_p = {n: w.numel() for n, w in lm.model.named_parameters()}
_ids = lm.encode(CLASS["opening"])
_mine = {
    "bytes of": len(CLASS["opening"].encode()) / _ids.numel(),
    "tokens the word": lm.encode(CLASS["word"]).numel(),
    "share": _p["transformer.wte.weight"] / sum(_p.values()),
    "numbers the": 2 * _ids.numel() * lm.model.config.n_embd * lm.model.config.n_layer,
    "weights of one head": int(torch.ones(_ids.numel(), _ids.numel()).tril().sum()),
    "length of one": lm.model.config.n_embd / lm.model.config.n_head,
}
_wrong = {n: v for n, (c, r) in REPORT.items() for w, v in _mine.items() if w in c and abs(v - r) > 0.005}
(false_claim,), (true_value,) = _wrong, _wrong.values()
""",
        "mistakes": FALSE_CLAIM,
    },
}
