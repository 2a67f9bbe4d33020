"""The checks of lesson 01: differently written right answers pass, each plausible mistake is named."""

import math

import pytest
import torch
from support.exercises import exercises, run_exercise
from support.told_apart import three_tests
from torch.nn import functional as F

from gpt2lessons.checks import architecture as checks


def scaled(q, k, scale=4.0):
    return q @ k.transpose(-2, -1) / scale


def attention_row_by_row(q, k, v):
    rows = []
    for t in range(q.shape[-2]):
        p = F.softmax((k * q[..., t : t + 1, :]).sum(-1) * q.shape[-1] ** -0.5, dim=-1)
        rows.append((p[..., None] * v).sum(-2))
    return torch.stack(rows, -2)


def attention_in_four_axes_only(q, k, v):
    return torch.einsum("bhts,bhsd->bhtd", scaled(q, k, math.sqrt(q.shape[-1])).softmax(-1), v)


ATTENTION = {
    "no scaling": (lambda q, k, v: scaled(q, k, 1).softmax(-1) @ v, "not divided"),
    "divided by D": (lambda q, k, v: scaled(q, k, 16).softmax(-1) @ v, "divided by D"),
    "divided by the root of T": (lambda q, k, v: scaled(q, k, 5**0.5).softmax(-1) @ v, "the root of T"),
    "multiplied": (lambda q, k, v: scaled(q, k, 0.25).softmax(-1) @ v, "multiplied by the root"),
    "no softmax": (lambda q, k, v: scaled(q, k) @ v, "no softmax"),
    "softmax over rows": (lambda q, k, v: scaled(q, k).softmax(-2) @ v, "columns, not rows"),
    "keys ask": (lambda q, k, v: scaled(k, q).softmax(-1) @ v, "the keys ask"),
    "gathers keys": (lambda q, k, v: scaled(q, k).softmax(-1) @ k, "gather keys"),
    "divided late": (lambda q, k, v: scaled(q, k, 1).softmax(-1) / 4 @ v, "after the softmax"),
    "masked": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        "does not see what comes after",
    ),
    "returns the pattern": (lambda q, k, v: scaled(q, k).softmax(-1), "one number for each pair"),
    "returns both": (lambda q, k, v: (v, scaled(q, k)), "two results"),
    "joins the heads": (lambda q, k, v: v.transpose(1, 2).flatten(2), "shape (2, 3, 5, 16)"),
    "four axes only": (attention_in_four_axes_only, "your code stopped"),
    "no return": (lambda q, k, v: None, "None"),
}


def hidden(scores, mask):
    T = scores.shape[-1]
    masks = {"later": torch.ones(T, T).triu(1), "earlier": torch.ones(T, T).tril(-1)}
    masks |= {"strict": torch.ones(T, T).triu()}
    return masks[mask].bool()


def pattern_row_by_row(scores):
    pattern = torch.zeros_like(scores)
    for t in range(scores.shape[-1]):
        pattern[..., t, : t + 1] = scores[..., t, : t + 1].softmax(-1)
    return pattern


def pattern_shared_out_again(scores):
    weights = scores.softmax(-1).tril()
    return weights / weights.sum(-1, keepdim=True)


def pattern_with_a_very_small_score(scores):
    return scores.masked_fill(hidden(scores, "later"), -1e9).softmax(-1)


def pattern_in_place(scores):
    scores[..., hidden(scores, "later")] = -math.inf
    return scores.softmax(-1)


PATTERN = {
    "no mask": (lambda s: s.softmax(-1), "sees what comes after"),
    "turned round": (
        lambda s: s.masked_fill(hidden(s, "earlier"), -math.inf).softmax(-1),
        "turned round",
    ),
    "turned round, itself hidden": (
        lambda s: s.masked_fill(~hidden(s, "later"), -math.inf).softmax(-1),
        "nan in the last row",
    ),
    "0 times -inf": (lambda s: (s + hidden(s, "later") * -math.inf).softmax(-1), "nan everywhere"),
    "one ahead": (
        lambda s: s.masked_fill(torch.ones(s.shape[-2:]).triu(2).bool(), -math.inf).softmax(-1),
        "one token ahead",
    ),
    "late mask": (lambda s: s.softmax(-1).tril(), "no longer sum to 1"),
    "0 for hidden": (lambda s: s.tril().softmax(-1), "a score like any other"),
    "softmax over rows": (
        lambda s: s.masked_fill(hidden(s, "later"), -math.inf).softmax(-2),
        "columns, not rows",
    ),
    "does not see itself": (
        lambda s: s.masked_fill(hidden(s, "strict"), -math.inf).softmax(-1),
        "nan in the first row",
    ),
    "no softmax": (lambda s: s.masked_fill(hidden(s, "later"), -math.inf), "not yet weights"),
    "divided again": (
        lambda s: (s / s.shape[-1] ** 0.5).masked_fill(hidden(s, "later"), -math.inf).softmax(-1),
        "divided once more",
    ),
    "not small enough": (
        lambda s: s.masked_fill(hidden(s, "later"), -10).softmax(-1),
        "a little weight",
    ),
    "in place": (pattern_in_place, "changed the tensor"),
    "five positions only": (
        lambda s: s.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf).softmax(-1),
        "your code stopped",
    ),
    "no return": (lambda s: None, "None"),
}


def previous_by_index(patterns):
    rows = torch.arange(1, patterns.shape[-1])
    return patterns[..., rows, rows - 1].mean(-1)


def previous_by_loop(patterns):
    T = patterns.shape[-1]
    return sum(patterns[:, :, t, t - 1] for t in range(1, T)) / (T - 1)


def diagonal(patterns, offset=-1):
    return patterns.diagonal(offset=offset, dim1=-2, dim2=-1)


PREVIOUS = {
    "itself": (lambda p: diagonal(p, 0).mean(-1), "gives to itself"),
    "the token after": (lambda p: diagonal(p, 1).mean(-1), "the token after"),
    "the first token": (lambda p: p[..., 1:, 0].mean(-1), "first token"),
    "the sum": (lambda p: diagonal(p).sum(-1), "not averaged"),
    "divided by T": (lambda p: diagonal(p).sum(-1) / p.shape[-1], "divided by T"),
    "the largest": (lambda p: diagonal(p).amax(-1), "largest weight"),
    "rows": (diagonal, "one number for each row"),
    "one number": (lambda p: diagonal(p).mean(), "all heads together"),
    "layers": (lambda p: diagonal(p).mean(-1).mean(-1), "heads are averaged"),
    "six tokens only": (lambda p: p[..., range(1, 6), range(5)].mean(-1), "on 'On the deserted"),
    "a list": (lambda p: diagonal(p).mean(-1).tolist(), "should be a tensor"),
    "no return": (lambda p: None, "None"),
}


def block_by_loop(x, ln_1, attn, ln_2, mlp):
    for norm, layer in ((ln_1, attn), (ln_2, mlp)):
        x = layer(norm(x)) + x
    return x


def changes_x(x, ln_1, attn, ln_2, mlp):
    x += attn(ln_1(x))
    return x + mlp(ln_2(x))


BLOCK = {
    "post-LN": (lambda x, n, a, m, f: (lambda y: m(y + f(y)))(n(x + a(x))), "post-LN"),
    "no residual": (lambda x, n, a, m, f: f(m(a(n(x)))), "replaces the stream"),
    "only first": (lambda x, n, a, m, f: f(m(x + a(n(x)))), "second addition is missing"),
    "only second": (
        lambda x, n, a, m, f: (lambda y: y + f(m(y)))(a(n(x))),
        "first addition is missing",
    ),
    "parallel": (lambda x, n, a, m, f: x + a(n(x)) + f(m(x)), "both read the x from the start"),
    "no norms": (lambda x, n, a, m, f: (lambda y: y + f(y))(x + a(x)), "nothing is normalised"),
    "normed stream": (
        lambda x, n, a, m, f: (lambda y: m(y) + f(m(y)))(n(x) + a(n(x))),
        "normalised copies",
    ),
    "MLP first": (
        lambda x, n, a, m, f: (lambda y: y + a(n(y)))(x + f(m(x))),
        "MLP comes before attention",
    ),
    "norms swapped": (
        lambda x, n, a, m, f: (lambda y: y + f(n(y)))(x + a(m(x))),
        "changed places",
    ),
    "no MLP": (lambda x, n, a, m, f: x + a(n(x)), "MLP is missing"),
    "one addition": (lambda x, n, a, m, f: x + f(m(a(n(x)))), "one addition"),
    "ln_1 twice": (lambda x, n, a, m, f: (lambda y: y + f(n(y)))(x + a(n(x))), "used twice"),
    "norms behind": (lambda x, n, a, m, f: (lambda y: y + m(f(y)))(x + n(a(x))), "behind the layers"),
    "in place": (changes_x, "has changed"),
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
    more = wrong.get("more", 0) + (wrong.get("head_bias", 0) * vocab_size if not tied else 0)
    return tables * C + n_layer * block + norms + more


def count_by_building(n_layer, n_embd, vocab_size, n_positions, tied=True, qkv_bias=True, biases=True):
    from gpt2lessons.gpt2 import GPT2, GPT2Config

    heads = 12 if n_embd == 768 else 2
    with torch.device("meta"):
        model = GPT2(GPT2Config(vocab_size, n_positions, n_embd, n_layer, heads))
    gone = "bias" if not biases else "c_attn.bias" if not qkv_bias else "nothing"
    kept = sum(p.numel() for name, p in model.named_parameters() if not name.endswith(gone))
    return kept if tied else kept + model.wte.weight.numel()


def counting(**mistake):
    return lambda *args, **kwargs: count(*args, **kwargs, **mistake)


COUNTS = {
    "no ln_f": (counting(ln_f=0), "ln_f"),
    "one LayerNorm per block": (counting(ln=1), "only one is counted"),
    "LayerNorms without biases": (counting(ln_bias=0), "without their biases"),
    "no LayerNorms": (counting(ln=0, ln_f=0), "LayerNorms are not counted"),
    "no positions": (counting(wpe=0), "positions are not counted"),
    "untied": (counting(head=1), "head is counted"),
    "no c_proj": (counting(proj=0), "c_proj, is not counted"),
    "no linear biases": (counting(linear=0), "without biases"),
    "narrow MLP": (counting(mlp=1), "once as wide"),
    "c_proj loses its bias too": (counting(all=True), "only those of c_attn"),
    "one of three biases": (counting(qkv_left=2), "one each"),
    "qkv_bias ignored": (counting(qkv_left=3), "qkv_bias=False changes nothing"),
    "LayerNorms keep theirs": (counting(ln_keeps=True), "still have theirs"),
    "a bias in the head": (counting(head_bias=1), "no bias, but a bias is counted"),
    "off by five": (counting(more=5), "too large, by 5"),
    "no return": (lambda *args, **kwargs: None, "None"),
}

RIGHT = {
    "attention": [attention_row_by_row],
    "causal_pattern": [pattern_row_by_row, pattern_shared_out_again, pattern_with_a_very_small_score],
    "previous_token": [previous_by_index, previous_by_loop],
    "pre_ln_block": [block_by_loop],
    "count_parameters": [count, count_by_building],
}
WRONG = {
    "attention": ATTENTION,
    "causal_pattern": PATTERN,
    "previous_token": PREVIOUS,
    "pre_ln_block": BLOCK,
    "count_parameters": COUNTS,
}
test_right, test_wrong, test_different = three_tests(checks, RIGHT, WRONG)


def test_a_wrong_count_is_never_told_the_right_one():
    for answer, _ in COUNTS.values():
        message = checks.count_parameters(answer).message
        assert not any(number in message for number in ("124,4", "124,3", "163,0", "1.24"))


DEEPER = "deeper/parameters"


@pytest.mark.parametrize("name", exercises(DEEPER))
def test_the_optional_exercise_has_a_stub_and_a_solution(name):
    assert run_exercise(DEEPER, name).status == "unanswered"
    verdict = run_exercise(DEEPER, name, exercises(DEEPER)[name][1])
    assert verdict.status == "right", verdict
