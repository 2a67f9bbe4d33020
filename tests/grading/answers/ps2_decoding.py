"""Answers to problem set 2."""

from answers.false_claim import FALSE_CLAIM

ANSWERS = {
    "q1": {
        "alternative": """
def keep_within(logits, nats):
    out = torch.full_like(logits, -float("inf"))
    for b, row in enumerate(logits):
        for v, x in enumerate(row):
            if row.max() - x <= nats:
                out[b, v] = x
    return out
""",
        "mistakes": {
            "strictly less": ([("logits < best - nats", "logits <= best - nats")], "exactly `nats` behind"),
            "one best for the batch": ([("logits.max(dim=-1, keepdim=True).values", "logits.max()")], "own best token"),
            "zero instead of -inf": ([("-torch.inf", "0.0")], "a logit of 0 is a token"),
            "probabilities": ([("-torch.inf)", "-torch.inf).softmax(-1)")], "you return probabilities"),
            "log-probabilities": ([("-torch.inf)", "-torch.inf).log_softmax(-1)")], "you return log-probabilities"),
            "distance of probabilities": (
                [
                    (
                        "logits < best - nats",
                        "logits.softmax(-1) < logits.softmax(-1).max(-1, keepdim=True).values - nats",
                    )
                ],
                "you compare probabilities",
            ),
            "the others": ([("logits < best", "logits >= best")], "should go"),
            "in place": ([("logits.masked_fill", "logits.masked_fill_")], "changes what it is given"),
            "printed": ([("return logits.masked", "print(logits.masked"), ("torch.inf)", "torch.inf))")], "print"),
            "list": ([("-torch.inf)", "-torch.inf).tolist()")], "should return a Tensor"),
        },
    },
    "q2": {
        "alternative": """
def survivors(probs, temperature, top_p):
    heated = torch.softmax(torch.tensor(probs, dtype=torch.float64).log() / temperature, 0)
    ordered, ids = heated.sort(descending=True)
    keep = ordered.cumsum(0) - ordered < top_p
    left = ordered[keep] / ordered[keep].sum()
    return dict(zip(ids[keep].tolist(), left.tolist()))
""",
        "mistakes": {
            "nucleus before temperature": (
                """
def survivors(probs, temperature, top_p):
    kept, mass = [], 0.0
    for i in sorted(range(len(probs)), key=lambda i: -probs[i]):
        if mass < top_p:
            kept.append(i)
        mass += probs[i]
    powers = {i: probs[i] ** (1 / temperature) for i in kept}
    return {i: p / sum(powers.values()) for i, p in powers.items()}
""",
                "before the temperature was applied",
            ),
            "stops before the mass is reached": (
                [("if mass >= top_p", "if kept and mass + tempered[i] > top_p")],
                "belongs to the nucleus",
            ),
            "one too many": (
                [("if mass >= top_p", "if mass - list(kept.values() or [0])[-1] >= top_p")],
                "one token larger",
            ),
            "not renormalised": ([("p / mass for", "p for")], "renormalise"),
            "upside down": ([("1 / temperature", "temperature")], "wrong way round"),
            "divides probabilities": ([("p ** (1 / temperature)", "p / temperature")], "acts on logits"),
            "least probable first": ([("-tempered[i]", "tempered[i]")], "least probable"),
            "list of ids": (
                [("return {i: p / mass for i, p in kept.items()}", "return [*kept]")],
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
    for temperature, lot in zip(temperatures, uniforms):
        probs, order = (model(torch.tensor([text]))[0, -1].double() / temperature).softmax(-1).sort(descending=True)
        text.append(int(order[int((probs.cumsum(-1) <= lot).sum())]))
    return text[len(ids):]
""",
                "the order of ids",
            ),
            "wrong side of a border": ([("ends <= lot", "ends < lot")], "probability 0 was drawn"),
            "greedy": ([("int((ends <= lot).sum())", "int(logits.argmax())")], "the lot is not used"),
            "first position": ([("[0, -1]", "[0, 0]")], "predicted by the last position"),
            "draws by itself": (
                [("int((ends <= lot).sum())", "int(torch.multinomial((logits / temperature).softmax(-1), 1))")],
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
