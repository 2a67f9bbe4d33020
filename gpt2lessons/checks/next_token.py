"""Checks of lesson 03: softmax, the loop, log-probability, entropy; of its deeper notebook: a loop that ends."""

import math

import torch
from torch.overrides import TorchFunctionMode

from gpt2lessons.checks.frame import (
    WrongError,
    as_number,
    call_untouched,
    exercise,
    expect_number,
    expect_tensor,
    refuse,
)
from gpt2lessons.decoding.generation import generate
from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.scoring import token_log_probs
from gpt2lessons.toy import ToyModel, random_toy


class _Calls(TorchFunctionMode):
    """Note which of torch's functions run inside the `with` block: their names, in the set `names`."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def _small_gpt2():
    """Return a random GPT-2 of 11 tokens, the same on every call; torch's global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"vocab_size": 11, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
        model = GPT2(GPT2Config(**sizes)).eval().requires_grad_(False)
        # at GPT-2's own initialisation all tokens are almost equally probable, and mistakes hardly show
        for parameter in model.parameters():
            parameter.mul_(20)
    return model.double()


@exercise("Softmax that does not overflow")
def softmax(answer):
    """Examine `answer(logits (B, V)) -> probs (B, V)`."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    with _Calls() as calls:
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
    if ready_made := sorted(calls.names & {"softmax", "log_softmax"}):
        hint = "e to the logit, divided by the sum of the row: two lines without it."
        raise WrongError(f"the result is right, but PyTorch's {ready_made[0]} did the work.", hint=hint)
    large = torch.tensor([[1000.0, 999.0, 0.0], [998.0, 1000.0, 999.0]])
    hint = "Adding a constant to a row changes nothing. Which constant makes the largest logit harmless?"
    if not torch.isfinite(answer(large.clone())).all():
        raise WrongError("with logits of 1000 the result is nan or inf.", hint=hint)
    small = torch.tensor([[-1000.0, -1001.0, -2000.0], [-999.0, -1000.0, -1001.0]])
    got = answer(small.clone())
    if not torch.isfinite(got).all():
        raise WrongError("when all logits of a row are near −1000, the result is nan.", hint=hint)
    far = torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -2000.0]])
    got = answer(far.clone())
    if not torch.isfinite(got).all():
        problem = "one row with logits of 1000 beside one with logits of −1000 gives nan."
        raise WrongError(problem, hint="Look at each row's own largest logit.")
    # 1000 itself is known to 6e-5 only, in float32
    what = "the result for logits of 1000 and −1000"
    expect_tensor(got, far.softmax(-1), what, tolerance=1e-3)
    forbidden = torch.tensor([[0.0, -torch.inf, 0.0]])
    got = answer(forbidden.clone())
    if not torch.isfinite(got).all():
        raise WrongError("with a logit of −∞ the result is nan.", hint="e to the −∞ is 0, and that is right.")
    expect_tensor(got, forbidden.softmax(-1), "the result for logits [0, −∞, 0]")
    return "rows sum to 1; logits of 1000, −1000 and −∞ do no harm."


@exercise("The loop")
def loop(answer):
    """Examine `answer(model, input_ids (B, T), max_new_tokens, choose) -> (B, T + N)`."""
    toy = random_toy(3, context=2)
    prompts = torch.tensor([[0, 1, 2], [3, 4, 0]])
    before = prompts.clone()
    read, shown = [], []

    def model(ids):
        read.append(ids.clone())
        return toy(ids) + 5  # a constant, so that logits and log-probabilities are told apart

    def choose(logits):
        shown.append(logits)
        if logits.ndim != 2:
            hint = "Only one row of each text speaks about the next token."
            raise WrongError(f"choose was given logits {tuple(logits.shape)}, not (B, V).", hint=hint)
        return logits.argmin(-1) if len(shown) % 2 else logits.argmax(-1)  # no rule that anybody would guess

    got = answer(model, prompts, 4, choose)
    if not prompts.equal(before):
        hint = "torch.cat makes a new tensor."
        raise WrongError("your function changed the input_ids it was given.", hint=hint)
    _examine_reading(read, shown, toy, before)
    rule = iter(range(4))
    pick = lambda z: z.argmin(-1) if next(rule) % 2 == 0 else z.argmax(-1)  # noqa: E731
    expected = before
    for _ in range(4):
        expected = torch.cat([expected, pick(toy(expected)[:, -1])[:, None]], 1)
    if got is None:
        raise WrongError("the result is None. Does your function end with `return`?")
    if not isinstance(got, torch.Tensor) or got.ndim != 2 or len(got) != 2:
        raise WrongError(f"the result should be a tensor (2, T + N), but is {got!r}.")
    if got.equal(expected[:, 3:]):
        raise WrongError("only the new tokens came back.", hint="Return prompt and new tokens.")
    if got.shape[1] != 7:
        new = got.shape[1] - 3
        problem = f"{max(new, 0)} new tokens came for max_new_tokens = 4 and a prompt of 3."
        raise WrongError(problem, hint="The prompt does not count.")
    if not got[:, :3].equal(before):
        raise WrongError("the texts do not begin with their prompts.", hint="New tokens go to the right.")
    if not got.equal(expected):
        problem = "the texts do not consist of the tokens that choose returned, in their order."
        raise WrongError(problem, hint="Append what choose returned, a column per step.")
    small, start = _small_gpt2(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    got = answer(small, start, 8, lambda logits: logits.argmax(-1))
    if not got.equal(generate(small, start, max_new_tokens=8, use_cache=False).sequences):
        raise WrongError("with a small GPT-2 the texts differ from those of gl.generate.")
    if not answer(model, prompts, 0, choose).equal(prompts):
        raise WrongError("with max_new_tokens = 0 the prompts should come back as they are.")
    return "any rule, any batch; with a small GPT-2 the same texts as gl.generate."


def _examine_reading(read, shown, toy, prompts):
    """Raise `WrongError` for what the model was given to read (`read`) or the rule to see (`shown`)."""
    if not shown:
        hint = "The rule decides, not your loop."
        raise WrongError("your loop never calls choose.", hint=hint)
    if not read:
        raise WrongError("your loop never asks the model.", hint="model(input_ids) gives the logits.")
    lengths = [ids.shape[1] for ids in read]
    if len(read) > 1 and lengths[1] == lengths[0]:
        problem = f"the model read {lengths[0]} tokens at every step."
        raise WrongError(problem, hint="The text that it reads has to grow.")
    if len(read) > 1 and lengths[1] < lengths[0]:
        hint = "Without a cache it has to read the whole text again."
        raise WrongError(f"at the second step the model read {lengths[1]} tokens only.", hint=hint)
    logits, first = toy(prompts)[:, -1] + 5, shown[0]
    if first.shape != logits.shape:
        problem = f"choose was given logits {tuple(first.shape)}, not (B, V) = {tuple(logits.shape)}."
        raise WrongError(problem, hint="All texts of the batch choose together.")
    refuse(
        first,
        {
            "choose was given the row of the first position": (
                toy(prompts)[:, 0] + 5,
                "Which row speaks about the next token?",
            ),
            "choose was given the last row but one": (toy(prompts)[:, -2] + 5, "Row t speaks about token t + 1."),
            "choose was given probabilities": (logits.softmax(-1), "The rule expects logits."),
            "choose was given log-probabilities": (logits.log_softmax(-1), "The rule expects the logits as they are."),
        },
    )
    if not torch.allclose(first, logits):
        raise WrongError("choose was not given the model's logits.", hint="Take the last row, and leave it alone.")


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


@exercise("The log-probability of a text")
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
    long = torch.arange(1000)[None] % toy.vocab_size
    pairs = toy(torch.arange(toy.vocab_size)[:, None])[:, 0]  # (V, V): a quick model for a long text
    if math.isinf(as_number(answer(lambda ids: pairs[ids], prompt, long))):
        hint = "A product of 1000 probabilities is 0 for a computer. Take logarithms first, then add."
        raise WrongError("the log-probability of a text of 1000 tokens came out as −∞.", hint=hint)
    small, ids = _small_gpt2(), torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    got = as_number(answer(small, ids[:, :3], ids[:, 3:]))
    true = token_log_probs(small, ids)[0, 2:].sum().item()
    hint = "Each token is given the prompt and all new tokens before it."
    if not math.isclose(got, true, rel_tol=1e-4):
        raise WrongError(f"with a small GPT-2 the result is {got:.4f}, which is not what gl.scoring finds.", hint=hint)
    return "one row earlier for every token; with a small GPT-2 the same number as gl.scoring."


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
