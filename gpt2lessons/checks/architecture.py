"""Checks of lesson 01: attention, the causal pattern, who looks at the token before, the block.

`count_parameters` belongs to its optional notebook about parameters.
"""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)


@exercise("Attention")
def attention(answer):
    """Examine `answer(q, k, v) -> gathered`, all (…, T, D); every position sees every other."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 16, generator=generator) * 1.5
    got = answer(q.clone(), k.clone(), v.clone())
    if isinstance(got, tuple):
        raise WrongError("two results came back; return only what the positions gather, (…, T, D).")
    if isinstance(got, torch.Tensor) and got.shape == (2, 3, 5, 5):
        hint = "What is still to be done with the weights and the values?"
        raise WrongError("this is (…, T, T): one number for each pair of positions.", hint=hint)
    raw = q @ k.transpose(-2, -1)
    scores, masked = raw / 4, (raw / 4).masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
    refuse(
        got,
        {
            "the scores are not divided": (
                raw.softmax(-1) @ v,
                "The variance of a dot product is D. What brings it back to 1?",
            ),
            "the scores are divided by D": (
                (raw / 16).softmax(-1) @ v,
                "The variance is D. What is the standard deviation?",
            ),
            "the scores are divided by the root of T, the number of positions": (
                (raw / math.sqrt(5)).softmax(-1) @ v,
                "How long are the vectors that are compared? That is D.",
            ),
            "the scores are multiplied by the root of D": (
                (raw * 4).softmax(-1) @ v,
                "Should large heads have larger scores, or scores of the same size?",
            ),
            "the values are weighted by the scores themselves; there is no softmax": (
                scores @ v,
                "What turns scores into weights that sum to 1?",
            ),
            "columns, not rows, sum to 1": (
                scores.softmax(-2) @ v,
                "Each position that looks (a row) has a weight of 1 to share out.",
            ),
            "the keys ask and the queries answer": (
                scores.transpose(-2, -1).softmax(-1) @ v,
                "Row t of the scores belongs to query t.",
            ),
            "the positions gather keys, not values": (
                scores.softmax(-1) @ k,
                "What does a token hand over when it is found?",
            ),
            "the scores are divided after the softmax": (
                raw.softmax(-1) / 4 @ v,
                "Then a row of weights no longer sums to 1.",
            ),
            "a position does not see what comes after it": (
                masked.softmax(-1) @ v,
                "That is the next step. Here every position sees all of them.",
            ),
        },
    )
    right = scores.softmax(-1) @ v
    expect_tensor(got, right, "the result", tolerance=1e-4, hint="Scores, softmax, values.")
    q, k, v = torch.randn(3, 4, 8, generator=generator)
    library = torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    expect_tensor(
        answer(q, k, v),
        library,
        "the result for one text and one head, (T, D),",
        tolerance=1e-4,
        hint="Count axes from the back, -2 and -1: there may be none in front.",
    )
    return "the same as PyTorch's function, for one head and for six at once."


@exercise("The causal pattern")
def causal_pattern(answer):
    """Examine `answer(scores) -> pattern`, both (…, T, T); then GPT-2's recorded scores."""
    from gpt2lessons import recorded

    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 5, 5, generator=generator) * 1.5
    got = call_untouched(answer, scores)
    later = torch.ones(5, 5).triu(1).bool()
    if isinstance(got, torch.Tensor) and got.isnan().any():
        if got.isnan().all():
            where, hint = "everywhere", "0 times -inf is nan. `masked_fill` writes only where the mask is true."
        elif got.shape == scores.shape and got[..., -1, :].isnan().any():
            where, hint = "in the last row", "It has nothing left to look at. Is the mask turned round?"
        else:
            where, hint = "in the first row", "A row of -inf has no softmax. May a position look at itself?"
        raise WrongError(f"there are nan {where}.", hint=hint)

    def pattern(hidden, value=-math.inf, axis=-1):
        return scores.masked_fill(hidden, value).softmax(axis)

    refuse(
        got,
        {
            "a position sees what comes after it": (scores.softmax(-1), "Which columns come later than the row?"),
            "the mask is turned round: positions see only themselves and what comes after": (
                pattern(later.T),
                "Rows look, columns are looked at. Which columns are too late for row 0?",
            ),
            "each position sees one token ahead": (
                pattern(torch.ones(5, 5).triu(2).bool()),
                "Which diagonal is the first to be hidden?",
            ),
            "the weights of a row no longer sum to 1, because the mask came after the softmax": (
                scores.softmax(-1).masked_fill(later, 0),
                "Hide the scores first. Then softmax shares out the whole weight.",
            ),
            "the hidden scores are 0, which is a score like any other": (
                pattern(later, 0.0),
                "Which score has the exponential 0?",
            ),
            "columns, not rows, sum to 1": (
                pattern(later, axis=-2),
                "Each position that looks (a row) has a weight of 1 to share out.",
            ),
            "these are the masked scores, not yet weights": (
                scores.masked_fill(later, -math.inf),
                "What turns scores into weights that sum to 1?",
            ),
            "the scores are divided once more": (
                (scores / math.sqrt(5)).masked_fill(later, -math.inf).softmax(-1),
                "The division is done already: these are scaled scores.",
            ),
        },
    )
    if isinstance(got, torch.Tensor) and got.shape == scores.shape and (got[..., later] > 0).any():
        hint = "How small must a score be for its exponential to be 0?"
        raise WrongError("a little weight still goes to later positions.", hint=hint)
    expect_tensor(got, pattern(later), "the pattern", tolerance=1e-4, hint="Hide, then softmax.")
    for prompt in recorded.prompts():
        expect_tensor(
            answer(recorded.scores(prompt)),
            recorded.attention(prompt),
            f"the pattern of GPT-2's recorded scores on {prompt!r}",
            tolerance=1e-5,
            hint="Here T is 6 or 7, and layers and heads stand in front.",
        )
    return "GPT-2's recorded scores in, its recorded patterns out: 5 prompts, 144 heads each."


@exercise("Who looks at the token before?")
def previous_token(answer):
    """Examine `answer(patterns (L, H, T, T)) -> (L, H)`; then GPT-2's recorded patterns."""
    from gpt2lessons import recorded

    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 6, 6, generator=generator) * 2
    later = torch.ones(6, 6).triu(1).bool()
    patterns = scores.masked_fill(later, -math.inf).softmax(-1)
    got = call_untouched(answer, patterns)
    before = patterns.diagonal(offset=-1, dim1=-2, dim2=-1)
    right = before.mean(-1)
    refuse(
        got,
        {
            "this is the weight that each position gives to itself": (
                patterns.diagonal(dim1=-2, dim2=-1).mean(-1),
                "The token before row t stands in column t - 1.",
            ),
            "this looks at the token after, which the mask hides": (
                torch.zeros(2, 3),
                "The token before stands below the diagonal, not above it.",
            ),
            "this is the weight on the first token": (
                patterns[..., 1:, 0].mean(-1),
                "In row 3 the token before is in column 2, not 0.",
            ),
            "the weights are added up, not averaged": (before.sum(-1), "How many rows have a token before them?"),
            "the sum is divided by T, but the first row has no token before it": (
                before.sum(-1) / 6,
                "How many rows have a token before them?",
            ),
            "this is the largest weight of a row, not the mean of all": (
                before.amax(-1),
                "One row may be an exception.",
            ),
            "this is one number for each row; one for each head is wanted": (before, "Average over the rows."),
            "this is one number for all heads together": (right.mean(), "Keep the axes of layers and heads."),
            "the heads are averaged too; one number for each of them is wanted": (
                right.mean(-1),
                "Keep the axes of layers and heads.",
            ),
        },
    )
    expect_tensor(got, right, "the mean weight on the token before", tolerance=1e-4)
    for prompt in recorded.prompts():
        known = recorded.attention(prompt)
        wanted = known.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)
        what = f"the result for GPT-2's recorded patterns on {prompt!r}"
        expect_tensor(answer(known), wanted, what, tolerance=1e-4, hint="Here T is 6 or 7.")
    return "right for random patterns and for the 144 that GPT-2 recorded on each of 5 prompts."


@exercise("The block")
def pre_ln_block(answer):
    """Examine `answer(x, ln_1, attn, ln_2, mlp) -> x`; the layers are functions of (B, T, C)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, generator=generator)
    a, b = torch.randn(2, 4, 4, generator=generator)
    layers = (
        lambda x: x - x.mean(-1, keepdim=True),
        lambda x: x @ a,
        lambda x: 3 * x + 1,
        lambda x: (x @ b).tanh(),
    )
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
            "the MLP is missing": (middle, "A block has two layers, and both add to the stream."),
            "one addition goes round both layers": (
                x + mlp(ln_2(attn(ln_1(x)))),
                "Each of the two layers has an addition of its own.",
            ),
            "ln_1 is used twice": (middle + mlp(ln_1(middle)), "Each layer has a LayerNorm of its own."),
            "the LayerNorms stand behind the layers": (
                (lambda m: m + ln_2(mlp(m)))(x + ln_1(attn(x))),
                "What is normalised is the copy that goes into a layer, not what comes out.",
            ),
            "the second addition is missing": (mlp(ln_2(middle)), "Both layers add to the stream."),
            "the first addition is missing": (
                (lambda m: m + mlp(ln_2(m)))(attn(ln_1(x))),
                "Both layers add to the stream.",
            ),
            "attention and MLP both read the x from the start of the block": (
                middle + mlp(ln_2(x)),
                "Does the MLP see the stream before or after attention has written to it?",
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
                "First gather, then work on what was gathered.",
            ),
            "ln_1 and ln_2 have changed places": (
                (lambda m: m + mlp(ln_1(m)))(x + attn(ln_2(x))),
                "Which of the two stands before attention?",
            ),
        },
    )
    right = middle + mlp(ln_2(middle))
    expect_tensor(got, right, "the result", tolerance=1e-4, hint="Two lines, two additions.")
    return "the stream goes through untouched, and both layers add to it."


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
            "with qkv_bias=False one bias of C per layer is gone; queries, keys, values have one each": true - L * C,
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
        what = "the number with a head of its own and no qkv bias"
        _refuse_count(got, true - L * 3 * C + head, mistakes, what)
    return (
        "124,439,808 as published; 124,412,160 with qkv_bias=False; 124,337,664 with biases=False; "
        "163,009,536 with tied=False and qkv_bias=False."
    )


def _count(n_layer, n_embd, vocab_size, n_positions):
    block = 12 * n_embd**2 + 9 * n_embd + 4 * n_embd
    return (vocab_size + n_positions) * n_embd + n_layer * block + 2 * n_embd


def _refuse_count(got, true, mistakes, what):
    """Raise `WrongError` unless `got` is exactly `true`; neither number is shown."""
    if isinstance(got, bool) or not isinstance(got, int | float):
        expect_number(got, true, what)
    if got == true:
        return
    hint = "Ask the model: lm.model.named_parameters() lists every tensor."
    for problem, value in mistakes.items():
        if got == value:
            raise WrongError(f"{problem}.", hint=hint)
    raise WrongError(f"{what} is too {'large' if got > true else 'small'}, by {abs(got - true):,}.", hint=hint)
