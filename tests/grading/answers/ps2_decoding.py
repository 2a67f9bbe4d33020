"""Answers to problem set 2."""

from answers.false_claim import FALSE_CLAIM

ANSWERS = {
    "q1": {
        "alternative": """
def keep_within(logits, n):
    out = torch.full_like(logits, -float("inf"))
    for b, row in enumerate(logits.tolist()):
        mean = sum(row) / len(row)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row))
        for v, x in enumerate(row):
            if max(row) - x <= n * deviation:
                out[b, v] = x
    return out
""",
        "mistakes": {
            "strictly above": ([("logits < bar", "logits <= bar")], "exactly at the bar"),
            "one bar for the batch": (
                [
                    ("logits.max(dim=-1, keepdim=True).values", "logits.max()"),
                    ("logits.std(dim=-1, correction=0, keepdim=True)", "logits.std(correction=0)"),
                ],
                "own best token",
            ),
            "divides by V - 1": ([("correction=0", "correction=1")], "not by V - 1"),
            "variance": ([("logits.std", "logits.var")], "variance"),
            "from the mean": ([("logits.max(dim=-1, keepdim=True).values", "logits.mean(-1, True)")], "from the mean"),
            "zero instead of -inf": ([("-torch.inf", "0.0")], "a logit of 0 is a token"),
            "probabilities": ([("-torch.inf)", "-torch.inf).softmax(-1)")], "you return probabilities"),
            "deviation of probabilities": (
                [
                    ("logits.max(", "logits.softmax(-1).max("),
                    ("logits.std", "logits.softmax(-1).std"),
                    ("logits < bar", "logits.softmax(-1) < bar"),
                ],
                "not of the probabilities",
            ),
            "the others": ([("logits < bar", "logits >= bar")], "should go"),
            "n logits": ([(" * logits.std(dim=-1, correction=0, keepdim=True)", "")], "not in logits"),
            "in place": ([("logits.masked_fill", "logits.masked_fill_")], "changes what it is given"),
            "printed": ([("return logits.masked", "print(logits.masked"), ("torch.inf)", "torch.inf))")], "print"),
            "list": ([("-torch.inf)", "-torch.inf).tolist()")], "should return a Tensor"),
        },
    },
    "q2": {
        "alternative": """
def survivors(probs, temperature, top_p):
    ordered, ids = torch.tensor(probs, dtype=torch.float64).sort(descending=True)
    keep = ordered.cumsum(0) - ordered < top_p
    shared = (ordered[keep].log() / temperature).softmax(0)
    return dict(zip(ids[keep].tolist(), shared.tolist()))
""",
        "mistakes": {
            "temperature before the nucleus": (
                """
def survivors(probs, temperature, top_p):
    powers = [p ** (1 / temperature) for p in probs]
    tempered = [p / sum(powers) for p in powers]
    kept, mass = {}, 0.0
    for i in sorted(range(len(probs)), key=lambda i: -tempered[i]):
        if mass >= top_p:
            break
        kept[i], mass = tempered[i], mass + tempered[i]
    return {i: p / mass for i, p in kept.items()}
""",
                "here it comes last",
            ),
            "stops before the mass is reached": (
                [("if mass >= top_p", "if kept and mass + probs[i] > top_p")],
                "belongs to the nucleus",
            ),
            "one too many": (
                [("if mass >= top_p", "if mass - list(kept.values() or [0])[-1] >= top_p")],
                "one token larger",
            ),
            "not renormalised": ([("p / sum(powers.values())", "p")], "renormalise"),
            "sharing with the removed": (
                [("sum(powers.values())", "sum(p ** (1 / temperature) for p in probs)")],
                "over all tokens",
            ),
            "upside down": ([("1 / temperature", "temperature")], "wrong way round"),
            "divides probabilities": ([("p ** (1 / temperature)", "p / temperature")], "acts on logits"),
            "least probable first": ([("-probs[i]", "probs[i]")], "least probable"),
            "list of ids": (
                [("return {i: p / sum(powers.values()) for i, p in powers.items()}", "return [*kept]")],
                "return a dict",
            ),
        },
    },
    "q3": {
        "alternative": """
def cooling_sampler(model, ids, temperatures, uniforms):
    new = []
    for t in range(len(temperatures)):
        scores = (model(torch.tensor([list(ids) + new]))[0, -1].double() / temperatures[t]).tolist()
        weights = [math.exp(s - max(scores)) for s in scores]
        left, token = uniforms[t] * sum(weights), 0
        while left >= weights[token]:
            left -= weights[token]
            token += 1
        new += [token]
    return new
""",
        "mistakes": {
            "with the prompt": ([("text[len(ids) :]", "text")], "only the new ids"),
            "never reads what it drew": (
                [("model(torch.tensor([text]))", "model(torch.tensor([list(ids)]))")],
                "the text that the next step reads",
            ),
            "one temperature": ([("logits / temperature", "logits / temperatures[0]")], "a temperature of its own"),
            "multiplies": (
                [("logits / temperature", "logits * temperature")],
                "wrong way round|close to temperature 0",
            ),
            "sorted": (
                """
def cooling_sampler(model, ids, temperatures, uniforms):
    text = list(ids)
    for temperature, u in zip(temperatures, uniforms):
        probs, order = (model(torch.tensor([text]))[0, -1].double() / temperature).softmax(-1).sort(descending=True)
        text.append(int(order[int((probs.cumsum(-1) <= u).sum())]))
    return text[len(ids):]
""",
                "the order of ids",
            ),
            "wrong side of a border": ([("ends <= u", "ends < u")], "probability 0 was drawn"),
            "greedy": ([("int((ends <= u).sum())", "int(logits.argmax())")], "random number is not used"),
            "first position": ([("[0, -1]", "[0, 0]")], "predicted by the last position"),
            "draws by itself": (
                [("int((ends <= u).sum())", "int(torch.multinomial((logits / temperature).softmax(-1), 1))")],
                "",
            ),
            "prompt grows": (
                [("text = list(ids)", "n, text = len(ids), ids"), ("len(ids) :", "n:")],
                "changes what it is",
            ),
        },
    },
    "q4": {
        "alternative": """
_toy = random_toy(CLASS["seed"], vocab_size=6)
_all = torch.tensor([float(p) for p in _toy.next_probs("w0").values()], dtype=torch.float64)
_mine = {
    "w0, in nats": torch.special.entr(_all).sum().item(),
    "at temperature": max(_toy.next_probs("w0", temperature=0.5).values()),
    "top_k=3": float(max(_toy.next_probs("w0", top_k=3).values())),
    "top_p=0.7": len(_toy.next_probs("w0", top_p=0.7)),
    "greedy": math.exp(_toy.greedy("w0", 2).log_prob),
    "10 draws": (1 - _all.max().item()) ** 10,
}
_wrong = {n: v for n, (c, r) in REPORT.items() for w, v in _mine.items() if w in c and abs(v - r) > 0.001}
(false_claim,), (true_value,) = _wrong, _wrong.values()
""",
        "mistakes": FALSE_CLAIM,
    },
}
