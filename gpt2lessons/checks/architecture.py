"""Checks of lesson 01: causal attention, the pre-LN block, what a difference of logits means, counting parameters."""

import math

import torch

from gpt2lessons.checks.frame import WrongError, as_number, exercise, expect_number, expect_tensor, refuse


@exercise("Causal attention")
def causal_attention(answer):
    """Examine `answer(q, k, v) -> gathered`, all (B, H, T, D)."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 16, generator=generator) * 1.5
    got = answer(q.clone(), k.clone(), v.clone())
    if isinstance(got, tuple):
        raise WrongError("two results came back; return only what the positions gather, (B, H, T, D).")
    if isinstance(got, torch.Tensor) and got.shape == (2, 3, 5, 5):
        raise WrongError("this is (B, H, T, T), the weights. What is still to be done with them and the values?")
    later = torch.ones(5, 5).triu(1).bool()
    if isinstance(got, torch.Tensor) and got.isnan().any():
        hint = "A row in which every score is -inf has no softmax. May a position look at itself?"
        raise WrongError("there are nan in the result.", hint=hint)
    raw = q @ k.transpose(-2, -1)

    def gathered(scores, hidden=later, axis=-1):
        return scores.masked_fill(hidden, -math.inf).softmax(axis) @ v

    late = (raw / 4).softmax(-1).masked_fill(later, 0)
    nothing, future = torch.zeros(5, 5).bool(), torch.ones(5, 5).tril(-1).bool()
    refuse(
        got,
        {
            "a position sees what comes after it": (gathered(raw / 4, nothing), "Where is the mask?"),
            "the mask is turned round: positions see only themselves and what comes after": (
                gathered(raw / 4, future),
                "Rows look, columns are looked at. Which columns are too late for row 0?",
            ),
            "the scores are not divided": (gathered(raw), "Their variance is D. What brings it back to 1?"),
            "the scores are divided by D": (gathered(raw / 16), "The variance is D; what is the standard deviation?"),
            "the weights of a row no longer sum to 1, because the mask came after the softmax": (
                late @ v,
                "Hide the scores first, with -inf; then softmax shares out what is left.",
            ),
            "the hidden scores are 0, which is a score like any other": (
                (raw / 4).masked_fill(later, 0).softmax(-1) @ v,
                "Which score has the exponential 0?",
            ),
            "columns, not rows, sum to 1": (
                gathered(raw / 4, axis=-2),
                "Each position that looks (a row) has weights to give.",
            ),
        },
    )
    expect_tensor(got, gathered(raw / 4), "the result", tolerance=1e-4, hint="scores, mask, softmax, values.")
    return "each position gathers from itself and from what came before, in every head of every text."


@exercise("The pre-LN block")
def pre_ln_block(answer):
    """Examine `answer(x, ln_1, attn, ln_2, mlp) -> x`, with the four layers as functions (B, T, C) -> (B, T, C)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, generator=generator)
    a, b = torch.randn(2, 4, 4, generator=generator)
    layers = (lambda x: x - x.mean(-1, keepdim=True), lambda x: x @ a, lambda x: 3 * x + 1, lambda x: (x @ b).tanh())
    ln_1, attn, ln_2, mlp = layers
    given = x.clone()
    got = answer(given, *layers)
    if not torch.equal(given, x):
        raise WrongError("the x that was passed in has changed. Write x = x + ..., not x += ...")
    middle = x + attn(ln_1(x))
    refuse(
        got,
        {
            "the LayerNorms stand after the additions, as in the transformer of 2017 (post-LN)": (
                (lambda m: ln_2(m + mlp(m)))(ln_1(x + attn(x))),
                "What is normalised is the copy that goes into a layer, not the stream.",
            ),
            "a layer's result replaces the stream": (mlp(ln_2(attn(ln_1(x)))), "Nothing is added. What carries x on?"),
            "the second addition is missing": (mlp(ln_2(middle)), "Both layers add to the stream."),
            "the first addition is missing": (
                (lambda m: m + mlp(ln_2(m)))(attn(ln_1(x))),
                "Both layers add to the stream.",
            ),
            "attention and MLP both read the x from the start of the block": (
                middle + mlp(ln_2(x)),
                "What does the MLP get to see: the stream before or after attention has written to it?",
            ),
            "the normalised copies, not the stream, are carried on": (
                (lambda m: ln_2(m) + mlp(ln_2(m)))(ln_1(x) + attn(ln_1(x))),
                "What is the layer's result added to?",
            ),
            "the layers read the stream as it is; nothing is normalised": (
                (lambda m: m + mlp(m))(x + attn(x)),
                "What does each layer read?",
            ),
            "the MLP comes before attention": (
                (lambda m: m + attn(ln_1(m)))(x + mlp(ln_2(x))),
                "First gather, then digest.",
            ),
        },
    )
    expect_tensor(got, middle + mlp(ln_2(middle)), "the result", tolerance=1e-4, hint="Two lines, two additions.")
    return "the stream goes through untouched, and both layers add to it."


@exercise("What a difference of logits says")
def relative_odds(answer):
    """Examine `answer(logits (V,), a, b) -> float`: how many times as probable token a is as token b."""
    logits = torch.tensor([2.0, 0.5, -1.0, 0.25])
    got = answer(logits.clone(), 0, 1)
    difference, true = 1.5, math.exp(1.5)
    probs = logits.softmax(-1)
    refuse(
        as_number(got),
        {
            "the logits themselves were divided": (4.0, "A logit is a logarithm. What does dividing become?"),
            "this is the difference of the logits, still a logarithm": (difference, "Undo the logarithm."),
            "this says how many times as probable b is as a": (1 / true, "Which of the two is the more probable one?"),
            "this is the probability of a, not compared with that of b": (probs[0].item(), "Compare it with b's."),
            "this is the difference of the probabilities": ((probs[0] - probs[1]).item(), "How many *times*?"),
            "the logarithm was undone with base 10": (10**difference, "Logits are natural logarithms."),
            "the logarithm was undone with base 2": (2**difference, "Logits are natural logarithms."),
        },
    )
    expect_number(got, true, "how many times as probable token 0 is as token 1", tolerance=1e-4)
    large = answer(torch.tensor([1000.0, 998.0]), 0, 1)
    hint = "Can you get there without the exponential of a large number?"
    expect_number(large, math.exp(2), "the answer for logits of 1000 and 998", tolerance=1e-3, hint=hint)
    return "a difference of logits is the logarithm of how many times as probable."


@exercise("Four published counts")
def count_parameters(answer):
    """Examine `answer(n_layer, n_embd, vocab_size, n_positions, tied, qkv_bias, biases) -> int`."""
    small = {"n_layer": 12, "n_embd": 768, "vocab_size": 50257, "n_positions": 1024}
    tiny = {"n_layer": 3, "n_embd": 10, "vocab_size": 7, "n_positions": 5}
    for sizes in (small, tiny):
        got = answer(**sizes, tied=True, qkv_bias=True, biases=True)
        L, C, true = sizes["n_layer"], sizes["n_embd"], _count(**sizes)
        mistakes = {
            "the last LayerNorm, ln_f, is not counted": true - 2 * C,
            "each block has two LayerNorms, but only one is counted": true - L * 2 * C,
            "the LayerNorms are counted without their biases": true - (2 * L + 1) * C,
            "the LayerNorms are not counted": true - (2 * L + 1) * 2 * C,
            "the positions are not counted": true - sizes["n_positions"] * C,
            "the head is counted, but it is the table wte again": true + sizes["vocab_size"] * C,
            "attention's output matrix, c_proj, is not counted": true - L * (C * C + C),
            "the linear layers are counted without biases": true - L * 9 * C,
            "the MLP is counted once as wide, not four times": true - L * (6 * C * C + 3 * C),
        }
        _refuse_count(got, true, mistakes, "the number of parameters")
    for sizes in (small, tiny):
        L, C, head = sizes["n_layer"], sizes["n_embd"], sizes["vocab_size"] * sizes["n_embd"]
        true = _count(**sizes)
        got = answer(**sizes, tied=True, qkv_bias=False, biases=True)
        mistakes = {
            "with qkv_bias=False all of attention's biases are gone; only those of c_attn should be": true - L * 4 * C,
            "with qkv_bias=False one bias of C per layer is gone; queries, keys and values have one each": true - L * C,
            "qkv_bias=False changes nothing": true,
        }
        _refuse_count(got, true - L * 3 * C, mistakes, "the number without the biases of c_attn")
        got = answer(**sizes, tied=True, qkv_bias=True, biases=False)
        mistakes = {
            "with biases=False the LayerNorms still have theirs": true - L * 9 * C,
            "biases=False changes nothing": true,
        }
        _refuse_count(got, true - L * 9 * C - (2 * L + 1) * C, mistakes, "the number without any bias")
        got = answer(**sizes, tied=False, qkv_bias=False, biases=True)
        mistakes = {
            "an untied head is a second table with no bias, but a bias is counted": true
            - L * 3 * C
            + head
            + sizes["vocab_size"],
            "tied=False changes nothing": true - L * 3 * C,
        }
        _refuse_count(got, true - L * 3 * C + head, mistakes, "the number with a head of its own and no qkv bias")
    return "124,439,808, 124,412,160, 124,337,664 and 163,009,536 are the same model, counted in four forms."


def _count(n_layer, n_embd, vocab_size, n_positions):
    block = 12 * n_embd**2 + 9 * n_embd + 4 * n_embd
    return (vocab_size + n_positions) * n_embd + n_layer * block + 2 * n_embd


def _refuse_count(got, true, mistakes, what):
    if got != true:
        for problem, value in mistakes.items():
            if got == value:
                raise WrongError(f"{problem}.", hint="Ask the model: lm.model.named_parameters() lists every tensor.")
    expect_number(got, true, what, tolerance=1e-12)
