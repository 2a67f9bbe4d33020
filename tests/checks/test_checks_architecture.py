"""The checks of lesson 01: a differently written right answer passes, each plausible mistake is named."""

import math

import pytest
import torch
from torch.nn import functional as F

from gpt2lessons.checks import architecture as checks


def weights(q, k, scale, mask="future"):
    scores = q @ k.transpose(-2, -1) / scale
    hidden = {"future": torch.ones(5, 5).triu(1), "past": torch.ones(5, 5).tril(-1), "strict": torch.ones(5, 5).triu()}
    return scores if mask is None else scores.masked_fill(hidden[mask].bool(), -math.inf)


def late_mask(q, k, v):
    return weights(q, k, 4, None).softmax(-1).tril() @ v


def zero_for_hidden(q, k, v):
    return (weights(q, k, 4, None).tril()).softmax(-1) @ v


def test_right_attention_written_with_a_loop():
    def attention(q, k, v):
        rows = []
        for t in range(q.shape[2]):
            p = F.softmax((k[:, :, : t + 1] @ q[:, :, t, :, None])[..., 0] * q.shape[-1] ** -0.5, dim=-1)
            rows.append((p[..., None] * v[:, :, : t + 1]).sum(2))
        return torch.stack(rows, 2)

    assert checks.causal_attention(attention).status == "right"


ATTENTION = {
    "no mask": (lambda q, k, v: weights(q, k, 4, None).softmax(-1) @ v, "sees what comes after"),
    "mask turned round": (lambda q, k, v: weights(q, k, 4, "past").softmax(-1) @ v, "turned round"),
    "no scaling": (lambda q, k, v: weights(q, k, 1).softmax(-1) @ v, "not divided"),
    "divided by D": (lambda q, k, v: weights(q, k, 16).softmax(-1) @ v, "divided by D"),
    "mask after softmax": (late_mask, "no longer sum to 1"),
    "0 instead of -inf": (zero_for_hidden, "a score like any other"),
    "softmax over rows": (lambda q, k, v: weights(q, k, 4).softmax(-2) @ v, "columns, not rows"),
    "does not see itself": (lambda q, k, v: weights(q, k, 4, "strict").softmax(-1) @ v, "nan"),
    "returns the pattern": (lambda q, k, v: weights(q, k, 4).softmax(-1), r"\(B, H, T, T\), the weights"),
    "returns both": (lambda q, k, v: (v, weights(q, k, 4)), "two results"),
    "joins the heads": (lambda q, k, v: v.transpose(1, 2).flatten(2), r"shape \(2, 3, 5, 16\)"),
    "no return": (lambda q, k, v: None, "None"),
}


def test_right_block_written_with_a_loop():
    def block(x, ln_1, attn, ln_2, mlp):
        for norm, layer in ((ln_1, attn), (ln_2, mlp)):
            x = layer(norm(x)) + x
        return x

    assert checks.pre_ln_block(block).status == "right"


def changes_x(x, ln_1, attn, ln_2, mlp):
    x += attn(ln_1(x))
    return x + mlp(ln_2(x))


BLOCK = {
    "post-LN": (lambda x, n, a, m, f: (lambda y: m(y + f(y)))(n(x + a(x))), "post-LN"),
    "no residual": (lambda x, n, a, m, f: f(m(a(n(x)))), "replaces the stream"),
    "only first": (lambda x, n, a, m, f: f(m(x + a(n(x)))), "second addition is missing"),
    "only second": (lambda x, n, a, m, f: (lambda y: y + f(m(y)))(a(n(x))), "first addition is missing"),
    "parallel": (lambda x, n, a, m, f: x + a(n(x)) + f(m(x)), "both read the x from the start"),
    "no norms": (lambda x, n, a, m, f: (lambda y: y + f(y))(x + a(x)), "nothing is normalised"),
    "normed stream": (lambda x, n, a, m, f: (lambda y: m(y) + f(m(y)))(n(x) + a(n(x))), "normalised copies"),
    "MLP first": (lambda x, n, a, m, f: (lambda y: y + a(n(y)))(x + f(m(x))), "MLP comes before attention"),
    "in place": (changes_x, "has changed"),
    "norms swapped": (lambda x, n, a, m, f: (lambda y: y + f(n(y)))(x + a(m(x))), "should be"),
}


def test_right_odds_from_log_probabilities():
    def odds(logits, a, b):
        log_probs = torch.log_softmax(logits, 0)
        return torch.exp(log_probs[a] - log_probs[b])

    assert checks.relative_odds(odds).status == "right"


ODDS = {
    "ratio of logits": (lambda z, a, b: (z[a] / z[b]).item(), "logits themselves were divided"),
    "difference": (lambda z, a, b: (z[a] - z[b]).item(), "still a logarithm"),
    "turned round": (lambda z, a, b: math.exp(z[b] - z[a]), "how many times as probable b is"),
    "probability of a": (lambda z, a, b: z.softmax(0)[a].item(), "not compared"),
    "difference of probabilities": (lambda z, a, b: (z.softmax(0)[a] - z.softmax(0)[b]).item(), "difference of the pr"),
    "base 10": (lambda z, a, b: 10 ** (z[a] - z[b]).item(), "base 10"),
    "base 2": (lambda z, a, b: 2 ** (z[a] - z[b]).item(), "base 2"),
    "overflow": (lambda z, a, b: (z[a].exp() / z[b].exp()).item(), "1000 and 998"),
    "a list": (lambda z, a, b: [1], "a number"),
}


def count(n_layer, n_embd, vocab_size, n_positions, tied=True, qkv_bias=True, biases=True, **mistake):
    C, wrong = n_embd, {"ln": 2, "ln_f": 1, "ln_bias": 1, "wpe": 1, "mlp": 4, "proj": 1, "linear": 1, "head": 0}
    wrong |= mistake
    norms = (wrong["ln"] * n_layer + wrong["ln_f"]) * C * (1 + (wrong["ln_bias"] if biases else 0))
    if wrong.get("ln_keeps") and not biases:
        norms *= 2
    block = 3 * C * C + wrong["proj"] * C * C + 2 * wrong["mlp"] * C * C
    qkv = 3 * C if qkv_bias else wrong.get("qkv_left", 0) * C
    if biases and wrong["linear"]:
        block += qkv + wrong["proj"] * C * (0 if wrong.get("all") and not qkv_bias else 1) + wrong["mlp"] * C + C
    tables = vocab_size * (1 if tied else 2) + wrong["wpe"] * n_positions + wrong["head"] * vocab_size
    return tables * C + n_layer * block + norms + (wrong.get("head_bias", 0) * vocab_size if not tied else 0)


COUNTS = {
    "no ln_f": ({"ln_f": 0}, "ln_f"),
    "one LayerNorm per block": ({"ln": 1}, "only one is counted"),
    "LayerNorms without biases": ({"ln_bias": 0}, "without their biases"),
    "no LayerNorms": ({"ln": 0, "ln_f": 0}, "LayerNorms are not counted"),
    "no positions": ({"wpe": 0}, "positions are not counted"),
    "untied": ({"head": 1}, "head is counted"),
    "no c_proj": ({"proj": 0}, "c_proj, is not counted"),
    "no linear biases": ({"linear": 0}, "without biases"),
    "narrow MLP": ({"mlp": 1}, "once as wide"),
    "c_proj loses its bias too": ({"all": True}, "only those of c_attn"),
    "one of three biases": ({"qkv_left": 2}, "one each"),
    "qkv_bias ignored": ({"qkv_left": 3}, "qkv_bias=False changes nothing"),
    "LayerNorms keep theirs": ({"ln_keeps": True}, "still have theirs"),
    "a bias in the head": ({"head_bias": 1}, "no bias, but a bias is counted"),
}


def test_right_count_by_building_the_model():
    from gpt2lessons.gpt2 import GPT2, GPT2Config

    def by_building(n_layer, n_embd, vocab_size, n_positions, tied=True, qkv_bias=True, biases=True):
        heads = 12 if n_embd == 768 else 2
        with torch.device("meta"):
            model = GPT2(GPT2Config(vocab_size, n_positions, n_embd, n_layer, heads))
        gone = "bias" if not biases else "c_attn.bias" if not qkv_bias else "nothing"
        kept = sum(p.numel() for name, p in model.named_parameters() if not name.endswith(gone))
        return kept if tied else kept + model.wte.weight.numel()

    assert checks.count_parameters(by_building).status == "right"
    assert checks.count_parameters(count).status == "right"


@pytest.mark.parametrize("name", COUNTS)
def test_wrong_count_is_diagnosed(name):
    mistake, message = COUNTS[name]
    verdict = checks.count_parameters(lambda *args, **kwargs: count(*args, **kwargs, **mistake))
    assert (verdict.status, message in verdict.message) == ("wrong", True), verdict


CASES = [
    (check, name, wrong, message)
    for check, table in (
        (checks.causal_attention, ATTENTION),
        (checks.pre_ln_block, BLOCK),
        (checks.relative_odds, ODDS),
    )
    for name, (wrong, message) in table.items()
]


@pytest.mark.parametrize(("check", "name", "wrong", "message"), CASES, ids=[f"{c.title}: {n}" for c, n, _, _ in CASES])
def test_wrong_answer_is_diagnosed(check, name, wrong, message):
    import re

    verdict = check(wrong)
    assert verdict.status == "wrong"
    assert re.search(message, verdict.message), verdict


def test_each_mistake_has_its_own_diagnosis():
    for table in (ATTENTION, BLOCK, ODDS, COUNTS):
        messages = [message for _, message in table.values()]
        assert len(set(messages)) == len(messages) >= 5
