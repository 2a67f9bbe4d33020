"""Checks of lesson 03: softmax, entropy, log-probability of a continuation, temperature, and a loop that can end."""

import math

import torch

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)
from gpt2lessons.toy import ToyModel, random_toy


@exercise("Softmax that survives")
def softmax(answer):
    """Examine `answer(logits (B, V)) -> probs (B, V)`."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    got = _tensor(call_untouched(answer, logits), logits.shape)
    powers = logits.exp()
    refuse(
        got,
        {
            "one column, over the batch, sums to 1 instead of one row": (powers / powers.sum(0), "Which axis is V?"),
            "the whole tensor sums to 1, not every row": (
                powers / powers.sum(),
                "Every row is a distribution of its own.",
            ),
            "these are logarithms of probabilities": (logits.log_softmax(-1), "Undo the logarithm, or never take it."),
            "the logits were divided by their sum without an exponential": (
                logits / logits.sum(-1, keepdim=True),
                "A logit is a logarithm: which function undoes that?",
            ),
            "the powers are of base 2": (torch.softmax(logits * math.log(2), -1), "Logits are natural logarithms."),
            "the rows are not divided by their sums": (powers, "Probabilities sum to 1."),
        },
    )
    expect_tensor(got, logits.softmax(-1), "the result", hint="exp(logit) / sum of exp(logits), row by row")
    large = torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -2000.0]])
    got = answer(large.clone())
    if not torch.isfinite(got).all():
        hint = "Adding a constant to a row changes nothing. Which constant makes the largest logit harmless?"
        raise WrongError("with logits of 1000 or −1000 the result is nan or inf.", hint=hint)
    hint = "Look at each row's own largest logit."
    # 1000 itself is known to 6e-5 only, in float32
    expect_tensor(got, large.softmax(-1), "the result for large logits", tolerance=1e-3, hint=hint)
    return "rows sum to 1, and logits of ±1000 do no harm."


@exercise("Entropy in nats")
def entropy(answer):
    """Examine `answer(probs (V,)) -> float`."""
    probs = torch.tensor([0.5, 0.25, 0.125, 0.125])
    got, true = as_number(answer(probs.clone())), 1.75 * math.log(2)
    refuse(
        got,
        {
            "that is the entropy in bits": (1.75, "Nats use the natural logarithm."),
            "the sign is wrong: entropy is never negative": (-true, "The logarithm of a probability is negative."),
            "that is the mean over the tokens, each counted alike": (
                -probs.log().mean().item(),
                "Each surprisal counts with its probability, not with 1/V.",
            ),
            "the mean was taken where a sum belongs": (true / 4, "The probabilities are the weights already."),
            "that is exp(entropy), the number of equally probable tokens": (math.exp(true), "Stop one step earlier."),
            "that is the surprisal of the most probable token alone": (math.log(2), "All tokens count."),
        },
    )
    expect_number(got, true, "the entropy of 1/2, 1/4, 1/8, 1/8", hint="Mean surprisal: sum of p times −ln p.")
    certain = as_number(answer(torch.tensor([1.0, 0.0, 0.0])))
    if math.isnan(certain):
        raise WrongError(
            "a token with probability 0 makes the entropy nan.",
            hint="0 · ln 0 counts as 0, its limit. Leave such tokens out, or look at torch.special.entr.",
        )
    expect_number(certain, 0.0, "the entropy of a certain token")
    expect_number(as_number(answer(torch.full((8,), 0.125))), math.log(8), "the entropy of eight equal tokens")
    return "in nats, and safe where a probability is 0."


@exercise("How probable is this continuation?")
def continuation_log_prob(answer):
    """Examine `answer(model, prompt_ids (1, T), new_ids (1, N)) -> float`."""
    toy = random_toy(3)
    prompt, new = torch.tensor([[0, 1]]), torch.tensor([[2, 4, 3]])
    ids = torch.cat([prompt, new], 1)
    table = toy(ids).log_softmax(-1)[0]
    here = lambda rows, tokens: [table[r, t].item() for r, t in zip(rows, tokens, strict=True)]  # noqa: E731
    right, everything = here([1, 2, 3], [2, 4, 3]), here([0, 1, 2, 3], [1, 2, 4, 3])
    true = sum(right)
    got = as_number(answer(toy, prompt, new))
    refuse(
        got,
        {
            "each token is looked up in its own row, which already knows it": (
                sum(here([2, 3, 4], [2, 4, 3])),
                "Row t says what comes at position t + 1.",
            ),
            "the prompt is scored too": (sum(everything), "The first row that counts is the prompt's last one."),
            "that is the mean per token": (true / 3, "The probability of a sequence is a product: sum the logarithms."),
            "that is a probability, not its logarithm": (math.exp(true), "Products of many probabilities reach 0."),
            "probabilities were added": (sum(map(math.exp, right)), "Probabilities in a row are multiplied."),
            "that is in bits": (true / math.log(2), "Nats use the natural logarithm."),
            "the sign is that of a surprisal": (-true, "Log-probabilities are at most 0."),
            "only the last token counts": (right[-1], "Every new token has to happen."),
            "the first new token is left out": (sum(right[1:]), "The prompt's last row predicts it."),
        },
    )
    expect_number(got, true, "the log-probability of three tokens", hint="Is a softmax over the wrong axis?")
    other = as_number(answer(toy, torch.tensor([[4]]), torch.tensor([[0]])))
    expect_number(other, toy(torch.tensor([[4]])).log_softmax(-1)[0, 0, 0].item(), "that of one token after one")
    return "one row earlier for every token, the prompt read but not scored."


@exercise("Temperature")
def temperature(answer):
    """Examine `answer(logits (V,), temperature) -> probs (V,)`."""
    logits = torch.tensor([3.0, 1.0, 0.0, -1.0])
    probs = logits.softmax(-1)
    got = _tensor(call_untouched(answer, logits, 0.5), logits.shape)
    refuse(
        got,
        {
            "the probabilities were divided, and renormalising undid it": (
                probs,
                "Divide before the softmax, where the logarithms are.",
            ),
            "the probabilities were divided by the temperature": (probs / 0.5, "They no longer sum to 1."),
            "that multiplies by the temperature": ((logits * 0.5).softmax(-1), "Below 1 it must sharpen."),
            "softmax was applied twice": ((probs / 0.5).softmax(-1), "Probabilities are not logits."),
            "these are logits still": (logits / 0.5, "The answer should be probabilities."),
        },
    )
    for value in (0.5, 1.0, 2.0):
        got = answer(logits.clone(), value)
        expect_tensor(got, (logits / value).softmax(-1), f"the result at temperature {value}")
    return "the logits are divided, so odds of a : b become odds of a^(1/T) : b^(1/T)."


_GREEDY_TOY = ToyModel(
    ["a", "b", "c", "x", "."],
    {
        "a": {"b": 1},
        "b": {"c": 0.8, ".": 0.2},
        "c": {".": 0.6, "a": 0.4},
        "x": {".": 0.9, "a": 0.1},
        ".": {"a": 0.7, "x": 0.3},
    },
    eos=".",
    name="ending",
)


@exercise("A loop that can end")
def write_until_end(answer):
    """Examine `answer(model, input_ids (B, T), max_new_tokens, eos_token_id) -> (B, T + N)`, greedy."""
    toy, eos = _GREEDY_TOY, _GREEDY_TOY.eos_token_id
    both = torch.cat([toy.encode("b x"), toy.encode("b a")])
    kept = both.clone()
    got = answer(toy, both, 6, eos)
    if not torch.equal(both, kept):
        raise WrongError("your function changed the input_ids it was given.", hint="torch.cat makes a new tensor.")
    expected = torch.cat([toy.encode("b x . . . ."), toy.encode("b a b c . .")])[:, :5]
    if not isinstance(got, torch.Tensor) or got.ndim != 2 or len(got) != 2:
        raise WrongError(f"the result should be a tensor (2, T + N), but is {got!r}.")
    say = lambda rows: " | ".join(toy.decode(row) for row in rows)  # noqa: E731
    if not torch.equal(got[:, :2], both):
        raise WrongError(
            f"the texts should begin with the prompts {say(both)!r}.", hint="Return prompt and new tokens."
        )
    new = got[:, 2:]
    if new.shape[1] == 1:
        raise WrongError("it stopped as soon as the first text ended; the other one had more to say.")
    if new.shape[1] == 2 or (new[0] != eos).all():
        raise WrongError(
            "the token that ends a text is missing from it.", hint="Append first, then ask whether to stop."
        )
    if not (new[0, 1:] == eos).all():
        problem = f"the first text ended and was written on: {say(got)!r}."
        raise WrongError(problem, hint="What a finished row would have chosen is replaced by eos_token_id.")
    if new.shape[1] > 3:
        raise WrongError(
            f"all texts have ended, but it wrote on: {say(got)!r}.", hint="Leave the loop when all are done."
        )
    if not torch.equal(got, expected):
        problem = f"expected {say(expected)!r}, but got {say(got)!r}."
        raise WrongError(problem, hint="Which row of logits speaks about the next token?")
    never = answer(toy, toy.encode("b a b"), 1, eos)
    if never.shape[1] != 4:
        problem = f"with max_new_tokens=1, {never.shape[1] - 3} tokens came."
        raise WrongError(problem, hint="The prompt does not count.")
    after = answer(toy, toy.encode("x ."), 2, eos)
    if not torch.equal(after, toy.encode("x . a b")):
        raise WrongError(
            "a prompt that contains the end token counts as ended.", hint="Only new tokens can end the text."
        )
    return "every text runs until its own end, and finished rows wait."


def _tensor(got, shape):
    expect_tensor(got, got if isinstance(got, torch.Tensor) else torch.empty(shape), "the result")
    if got.shape != shape:
        raise WrongError(f"the result should have shape {tuple(shape)}, but has {tuple(got.shape)}.")
    return got
