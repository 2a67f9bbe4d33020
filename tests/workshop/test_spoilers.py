"""Code above an exercise that contains its solution is found, whatever its variables are called; other code is not."""

import pytest

from gpt2lessons.workshop.spoilers import shown_by

ATTENTION = '''
def my_attention(q, k, v):
    """Weights from similarity, then a mean."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = torch.softmax(scores, dim=-1)
    return weights @ v
'''
BLOCK = "def my_block(x, attn, mlp, a, b):\n    x = x + attn(a(x))\n    return x + mlp(b(x))"
LOOP = "def my_loop(ids, n):\n    for _ in range(n):\n        ids = [*ids, best(ids)]\n    return ids"
SHOWN = {
    "the same with other names": (ATTENTION.replace("scores", "s").replace("v", "values"), ATTENTION),
    "without the docstring, with annotations": (
        'def f(q: "tensor", k, v) -> "tensor":\n' + "\n".join(ATTENTION.splitlines()[3:]),
        ATTENTION,
    ),
    "a keyword left out": (ATTENTION.replace("dim=-1", "-1"), ATTENTION),
    "as a method": (ATTENTION.replace("torch.softmax(scores, dim=-1)", "scores.softmax(-1)"), ATTENTION),
    "not in a function": (
        "a = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])\nb = torch.softmax(a, -1)\nmixed = b @ v",
        ATTENTION,
    ),
    "within a longer cell": ("print(1)\n" + BLOCK.replace("my_", "") + "\nprint(2)", BLOCK),
    "in a class": (
        "class Block:\n    def forward(self, x):\n        x = x + self.attn(self.ln_1(x))\n"
        "        return x + self.mlp(self.ln_2(x))",
        BLOCK,
    ),
    "in a branch": ("if True:\n    for _ in range(count):\n        ids = [*ids, best(ids)]\n    ids", LOOP),
    "one value": ("weights = (scores / scores.sum()).log() * 2", "def f(x):\n    return (x / x.sum()).log() * 2"),
    "one value within another": ("show((s / s.sum()).log() * 2, 3)", "def f(x):\n    return (x / x.sum()).log() * 2"),
    "a list": (
        "order = ['t h', 'th e', 'i n', 'a n', 'a t', 'o f', 'o n']",
        "my = ['t h', 'th e', 'i n', 'a n', 'a t', 'o f', 'o n']",
    ),
}
HIDDEN = {
    "nothing": ("", ATTENTION),
    "another operation": (ATTENTION.replace("/ math.sqrt(q.shape[-1])", ""), ATTENTION),
    "another dimension": (ATTENTION.replace("dim=-1", "dim=-2"), ATTENTION),
    "one line of two that look alike": ("x = x + mlp(b(x))", BLOCK),
    "one line of three": ("weights = torch.softmax(scores, dim=-1)", ATTENTION),
    "the library's call": ("F.scaled_dot_product_attention(q, k, v)", ATTENTION),
    "a trifle": ("total = x.sum(-1)", "def f(y):\n    return y.sum(-1)"),
    "a number": ("answer = 12", "my_answer = 12"),
    "no Python": ("%matplotlib inline\n" + ATTENTION, ATTENTION),
}


@pytest.mark.parametrize("name", SHOWN)
def test_solution_that_is_shown(name):
    above, solution = SHOWN[name]
    assert len(shown_by(["x = 1", above], solution)) == 1


@pytest.mark.parametrize("name", HIDDEN)
def test_solution_that_is_not_shown(name):
    above, solution = HIDDEN[name]
    assert shown_by(["x = 1", above], solution) == []


def test_statements_spread_over_cells_show_it_too():
    cells = ["a = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])", "b = torch.softmax(a, -1)", "out = b @ v"]
    assert len(shown_by(cells, ATTENTION)) == 1
    assert shown_by(cells[:2], ATTENTION) == []


def test_what_stands_in_the_stub_is_given():
    stub = BLOCK + "\n\n\ndef my_loop(ids, n):\n    raise NotImplementedError"
    assert shown_by([BLOCK], f"{BLOCK}\n\n\n{LOOP}", stub) == []
    assert len(shown_by([LOOP], f"{BLOCK}\n\n\n{LOOP}", stub)) == 1


def test_what_is_shown_is_named():
    assert shown_by([BLOCK], BLOCK) == ["x = x + attn(a(x))\nreturn x + mlp(b(x))"]
