"""The checks of lesson 03: right answers of another make, and wrong ones with the diagnosis that each must get."""

import math

import pytest
import torch

from gpt2lessons.checks import next_token as checks


def rows_of(model, ids):
    return model(ids).log_softmax(-1)[0]


def token_by_token(model, prompt, new):
    total = 0.0
    for token in new[0]:
        total += model(prompt)[0, -1].softmax(-1)[token].log().item()
        prompt = torch.cat([prompt, token[None, None]], 1)
    return total


def scored(first, last):
    """A continuation score whose rows start `first` and stop `last` places from where they should."""

    def score(model, prompt, new):
        ids = torch.cat([prompt, new], 1)
        start = prompt.shape[1] - 1 + first
        rows = rows_of(model, ids)[start : ids.shape[1] - 1 + last]
        return rows.gather(1, new[0, : len(rows), None]).sum()

    return score


def with_prompt(model, prompt, new):
    ids = torch.cat([prompt, new], 1)
    return rows_of(model, ids)[:-1].gather(1, ids[0, 1:, None]).sum()


def with_positions(model, prompt, new):
    rows = model(torch.cat([prompt, new], 1)).log_softmax(1)[0, prompt.shape[1] - 1 : -1]
    return rows.gather(1, new[0, :, None]).sum()


def write(*, stop="all", pad=True, append_end=True, row=-1, prompt_counts=False, from_prompt=False):
    """Greedy search for a batch, with one mistake per argument."""

    def answer(model, ids, max_new_tokens, eos):
        ended = (ids == eos).any(1) if from_prompt else torch.zeros(len(ids), dtype=torch.bool)
        steps = max_new_tokens - ids.shape[1] if prompt_counts else max_new_tokens
        for _ in range(steps):
            chosen = model(ids)[:, row].argmax(-1)
            if pad:
                chosen[ended] = eos
            ended = ended | (chosen == eos)
            done = ended.any() if stop == "any" else ended.all() if stop == "all" else False
            if done and not append_end:
                break
            ids = torch.cat([ids, chosen[:, None]], 1)
            if done:
                break
        return ids

    return answer


def separately(model, ids, max_new_tokens, eos):
    """A right answer of another make: every row alone, then filled up."""
    texts = []
    for row in ids:
        new = []
        while len(new) < max_new_tokens and eos not in new:
            new.append(model(torch.cat([row, torch.tensor(new, dtype=torch.long)])[None])[0, -1].argmax().item())
        texts.append(row.tolist() + new)
    longest = max(map(len, texts))
    return torch.tensor([text + [eos] * (longest - len(text)) for text in texts])


def prompt_lost(model, ids, max_new_tokens, eos):
    return separately(model, ids, max_new_tokens, eos)[:, ids.shape[1] :]


def in_place(logits):
    logits -= logits.amax(-1, keepdim=True)
    return logits.exp() / logits.exp().sum(-1, keepdim=True)


def shifted(shift):
    """Softmax with `shift(logits)` taken off first."""

    def answer(logits):
        powers = (logits - shift(logits)).exp()
        return powers / powers.sum(-1, keepdim=True)

    return answer


def masked_by_product(logits):
    powers = (logits - logits.amax(-1, keepdim=True)).exp() + 0 * logits  # 0 · −∞ is nan
    return powers / powers.sum(-1, keepdim=True)


def by_hand(logits):
    return torch.tensor(
        [[math.exp(z - max(row)) / sum(math.exp(y - max(row)) for y in row) for z in row] for row in logits.tolist()]
    )


def looped(
    *, row=-1, grow=True, whole=False, newest=False, offset=0, prompt_counts=False, shape=None, before=None,
    own_rule=False, in_place=False, left=False, keep=True,
):  # fmt: skip
    """The loop, with one mistake per argument."""

    def answer(model, ids, n, choose):
        text, new = ids, []
        steps = n - ids.shape[1] if prompt_counts else n + offset if n else 0
        for _ in range(steps):
            rows = model(text) if whole else model(text)[:, row]
            rows = before(rows) if before else rows
            tokens = rows.argmax(-1) if own_rule else choose(rows)
            new.append(tokens)
            column = tokens[:, None]
            if newest:
                text = column
            elif grow:
                text = torch.cat([column, text] if left else [text, column], 1)
        if in_place:
            ids += 0 * ids + 1
        added = torch.stack(new, 1) if new else ids[:, :0]
        if shape == "new":
            return added
        if shape == "list":
            return torch.cat([ids, added], 1).tolist()
        if shape == "none":
            return None
        return text if grow and not newest else torch.cat([ids, added], 1)

    return answer


def never_asks(model, ids, n, choose):
    for _ in range(n):
        tokens = choose(torch.zeros(len(ids), 5))
        ids = torch.cat([ids, tokens[:, None]], 1)
    return ids


def each_text_alone(model, ids, n, choose):
    return torch.cat([looped()(model, row[None], n, choose) for row in ids])


def with_list(model, ids, n, choose):
    """A right answer of another make: columns in a list."""
    columns = list(ids.unbind(1))
    while len(columns) < ids.shape[1] + n:
        columns.append(choose(model(torch.stack(columns, 1)).select(1, -1)))
    return torch.stack(columns, 1)


def by_product(model, prompt, new):
    ids = torch.cat([prompt, new], 1)
    rows = model(ids)[0, prompt.shape[1] - 1 : -1].softmax(-1)
    return rows.gather(1, new[0, :, None]).prod().log()


def only_the_newest(model, prompt, new):
    """Each new token given the prompt's last token and the new ones alone."""
    return token_by_token(model, prompt[:, -1:], new)


def unnormalised(model, prompt, new):
    rows = model(torch.cat([prompt, new], 1))[0, prompt.shape[1] - 1 : -1]
    return rows.gather(1, new[0, :, None]).sum().item()


def probabilities_added(model, prompt, new):
    rows = model(torch.cat([prompt, new], 1))[0, prompt.shape[1] - 1 : -1].softmax(-1)
    return rows.gather(1, new[0, :, None]).sum().item()


def other_last_token(model, ids, n, choose):
    text = looped()(model, ids, n, choose)
    text[:, -1] = (text[:, -1] + 1) % 5
    return text


def reads_six_at_most(model, ids, n, choose):
    return looped()(lambda text: model(text[:, -6:]), ids, n, choose)


def one_at_least(model, ids, n, choose):
    return looped()(model, ids, max(n, 1), choose)


def changes_what_it_is_given(model, ids, max_new_tokens, eos):
    text = separately(model, ids, max_new_tokens, eos)
    ids[0, 0] = 0
    return text


def other_word_in_the_middle(model, ids, max_new_tokens, eos):
    text = separately(model, ids, max_new_tokens, eos)
    text[-1, 2] = 3
    return text


RIGHT = {
    "softmax": [shifted(lambda z: z.amax(-1, keepdim=True)), by_hand],
    "loop": [looped(), with_list],
    "entropy": [
        lambda p: torch.special.entr(p).sum(),
        lambda p: -sum(x * math.log(x) for x in p.tolist() if x),
        lambda p: -(p.clamp(min=1e-30).log() * p).sum().item(),
    ],
    "continuation_log_prob": [token_by_token],
    "write_until_end": [separately, write()],
}

WRONG = {
    "softmax": {
        "wrong axis": (lambda z: z.softmax(0), "one column"),
        "whole tensor": (lambda z: z.flatten().softmax(0).view_as(z), "the whole tensor"),
        "log": (lambda z: z.log_softmax(-1), "logarithms of probabilities"),
        "no exponential": (lambda z: z / z.sum(-1, keepdim=True), "without an exponential"),
        "base 2": (lambda z: (q := 2**z) / q.sum(-1, keepdim=True), "base 2"),
        "not divided": (lambda z: z.exp(), "not divided"),
        "overflow": (lambda z: z.exp() / z.exp().sum(-1, keepdim=True), "nan or inf"),
        "one shift": (shifted(torch.max), "beside one"),
        "only large": (shifted(lambda z: z.amax(-1, keepdim=True).clamp(min=0)), "near −1000"),
        "infinite": (masked_by_product, "logit of −∞"),
        "clamped": (lambda z: (q := z.clamp(-80, 80).exp()) / q.sum(-1, keepdim=True), "1000 and −1000"),
        "ready made": (lambda z: z.softmax(-1), "softmax did the work"),
        "ready made function": (lambda z: torch.nn.functional.log_softmax(z, -1).exp(), "log_softmax did the work"),
        "in place": (in_place, "changed the tensor"),
        "one row": (lambda z: z.softmax(-1)[0], "should have shape"),
        "forgot return": (lambda z: None, "is None"),
    },
    "loop": {
        "first row": (looped(row=0), "row of the first position"),
        "last but one": (looped(row=-2), "last row but one"),
        "all rows": (looped(whole=True), "not (B, V)"),
        "probabilities": (looped(before=lambda z: z.softmax(-1)), "was given probabilities"),
        "log-probabilities": (looped(before=lambda z: z.log_softmax(-1)), "was given log-probabilities"),
        "halved": (looped(before=lambda z: z / 2), "not given the model's logits"),
        "same text again": (looped(grow=False), "at every step"),
        "newest alone": (looped(newest=True), "at the second step"),
        "own rule": (looped(own_rule=True), "never calls choose"),
        "one too many": (looped(offset=1), "5 new tokens came"),
        "prompt counts": (looped(prompt_counts=True), "1 new tokens came|1 new token came"),
        "new tokens only": (looped(shape="new"), "only the new tokens"),
        "list": (looped(shape="list"), "should be a tensor"),
        "forgot return": (looped(shape="none"), "is None"),
        "in place": (looped(in_place=True), "changed the input_ids"),
        "to the left": (looped(left=True), "do not begin with their prompts"),
        "no model": (never_asks, "never asks the model"),
        "another last token": (other_last_token, "the tokens that choose returned"),
        "a context of its own": (reads_six_at_most, "with a small GPT-2 the texts differ"),
        "always one": (one_at_least, "max_new_tokens = 0"),
        "one text at a time": (each_text_alone, "not (B, V) ="),
    },
    "entropy": {
        "bits": (lambda p: torch.special.entr(p).sum() / math.log(2), "in bits"),
        "sign": (lambda p: (p * p.log()).nansum(), "sign"),
        "unweighted": (lambda p: -p.log().mean(), "each counted alike"),
        "mean": (lambda p: torch.special.entr(p).mean(), "a mean was taken|the mean was taken"),
        "perplexity": (lambda p: torch.special.entr(p).sum().exp(), "equally probable tokens"),
        "favourite": (lambda p: -p.max().log(), "alone"),
        "nan": (lambda p: -(p * p.log()).sum(), "nan"),
        "vector": (lambda p: torch.special.entr(p), "should be a number"),
    },
    "continuation_log_prob": {
        "own row": (scored(1, 1), "its own row"),
        "prompt too": (with_prompt, "prompt is scored"),
        "mean": (lambda m, p, n: token_by_token(m, p, n) / n.shape[1], "mean per token"),
        "sum of probabilities": (probabilities_added, "probabilities were added"),
        "probability": (lambda m, p, n: math.exp(token_by_token(m, p, n)), "not its logarithm"),
        "bits": (lambda m, p, n: token_by_token(m, p, n) / math.log(2), "in bits"),
        "sign": (lambda m, p, n: -token_by_token(m, p, n), "surprisal"),
        "last only": (
            lambda m, p, n: token_by_token(m, torch.cat([p, n[:, :-1]], 1), n[:, -1:]),
            "only the last token",
        ),
        "first left out": (
            lambda m, p, n: token_by_token(m, torch.cat([p, n[:, :1]], 1), n[:, 1:]),
            "first new token is left out",
        ),
        "wrong axis": (with_positions, "log-probability of three tokens should be"),
        "logits": (unnormalised, "added as they are"),
        "product first": (by_product, "1000 tokens"),
        "short memory": (only_the_newest, "with a small GPT-2"),
    },
    "write_until_end": {
        "any": (write(stop="any"), "as soon as the first text ended"),
        "no padding": (write(pad=False), "was written on"),
        "no end token": (write(append_end=False), "is missing"),
        "never stops": (write(stop="never"), "it wrote on"),
        "first row": (write(row=0), "."),
        "prompt counts": (write(prompt_counts=True), "max_new_tokens=1"),
        "end in prompt": (write(from_prompt=True), "counts as ended"),
        "in place": (changes_what_it_is_given, "changed the input_ids"),
        "another word": (other_word_in_the_middle, "but got 'b x . . ."),
        "prompt lost": (prompt_lost, "begin with the prompts"),
        "list": (lambda *given: separately(*given).tolist(), "should be a tensor"),
    },
}


@pytest.mark.parametrize(("name", "answer"), [(n, a) for n, answers in RIGHT.items() for a in answers])
def test_a_right_answer_of_another_make_passes(name, answer):
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "right", verdict


CASES = [(n, label, *case) for n, cases in WRONG.items() for label, case in cases.items()]


@pytest.mark.parametrize(("name", "label", "answer", "part"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_wrong_answer_gets_its_own_diagnosis(name, label, answer, part):
    verdict = getattr(checks, name)(answer)
    assert verdict.status == "wrong"
    assert any(p in verdict.message for p in part.split("|")), verdict


@pytest.mark.parametrize("name", WRONG)
def test_diagnoses_differ(name):
    messages = {label: getattr(checks, name)(answer).message for label, (answer, _) in WRONG[name].items()}
    assert len(set(messages.values())) >= max(5, len(messages) - 2), messages
