"""What a lesson has to be: the rules hold for every lesson, and each rule notices what breaks it."""

import re

import pytest
from support.exercises import NOTEBOOKS, exercises, namespace_of, run_exercise

from gpt2lessons.workshop import lesson_rules as rules
from gpt2lessons.workshop import notebooks

# {notebook: {cell: why it may say what GPT-2 does, or label something GPT-2}}
SAID_OF_GPT2 = {}
LESSONS = {path.stem: path for path in notebooks.lessons()}
EVERYTHING = {notebooks.name_of(path): path for path in [*notebooks.lessons(), *notebooks.deeper()]}
ASKED = [(lesson, name) for lesson in LESSONS for name in exercises(lesson)]


def broken(name):
    return rules.broken(rules.read(EVERYTHING[name]), name, said_of_gpt2=SAID_OF_GPT2.get(name, ()))


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_notebook_keeps_every_rule(name):
    assert broken(name) == []


def test_lists_name_what_exists():
    for name, cells in SAID_OF_GPT2.items():
        assert set(cells) <= {cell["id"] for cell in rules.read(EVERYTHING[name])["cells"]}
        assert all(len(reason.split()) >= 3 for reason in cells.values()), "each has its reason"


def test_every_deeper_notebook_is_linked_at_the_end_of_a_lesson_and_every_such_link_leads_to_one():
    linked = set().union(*(rules.deeper_links(rules.read(path)) for path in LESSONS.values()))
    assert linked == {notebooks.name_of(path) for path in notebooks.deeper()}


@pytest.mark.parametrize(("lesson", "name"), ASKED)
def test_exercise_that_asks_for_a_number_never_prints_it(lesson, name):
    stub, solution = exercises(lesson)[name]
    for variable, right in rules.asked_numbers(stub, namespace_of(lesson, solution)).items():
        task = next(c for c in rules.read(NOTEBOOKS / f"{lesson}.ipynb")["cells"] if c["id"] == f"{name}-task")
        if rules.shows("".join(task["source"]), right):
            continue  # a number of the task may be named
        for wrong in rules.wrong_numbers(right):
            verdict = run_exercise(lesson, name, f"{solution}\n{variable} = {wrong!r}")
            assert not rules.shows(f"{verdict.message} {verdict.hint}", right), verdict


# --- a lesson made by hand that keeps every rule, and what breaks each


def md(name, source, **metadata):
    return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": [source]}


def code(name, source, outputs=(), **metadata):
    cell = {"cell_type": "code", "id": name, "metadata": metadata, "outputs": list(outputs), "execution_count": 1}
    return cell | {"source": [source]}


def prediction(name):
    return [
        md(f"{name}-ask", "**Predict.** How many words will come?\n\n(a) one  (b) two  (c) five"),
        code(name, "# Click the dots when you have decided.\n1 + 1", tags=["answer"], jupyter={"outputs_hidden": True}),
        md(f"{name}-read", "<details><summary>What happened?</summary>\n\n(b), of course.\n</details>"),
    ]


SOLUTION = "def my_softmax(logits):\n    powers = logits.exp()\n    return powers / powers.sum(-1, keepdim=True)"
STUB = (
    'def my_softmax(logits):\n    """(B, V) -> (B, V)."""\n    raise NotImplementedError\n\n\ngl.checks.x.y(my_softmax)'
)


def exercise(number, stub=STUB, solution=SOLUTION):
    hint = "<details><summary>Hint</summary>\n\nexp\n</details>"
    answer = f"<details><summary>Solution</summary>\n\n```python\n{solution}\n```\n</details>"
    return [
        md(f"ex{number}-task", f"### Exercise {number} · A task (●●○, 10 minutes)\n\nWrite it."),
        code(f"ex{number}", stub),
        md(f"ex{number}-help", f"{hint}\n{answer}", editable=False),
    ]


NUMBER = exercise(3, "my_number = ...\ngl.checks.x.z(my_number)", "my_number = 12")
END = (
    "## Remember\n\n- One thing.\n- Another.\n\nNext: [04](04_greedy_search.ipynb). "
    "Terms: [glossary](glossary.ipynb#token)."
)


def lesson():
    cells = [
        md("title", "# 03 · Why?\n\n33 minutes. You need nothing."),
        md("launch", "Open in a very long list of places that nobody reads"),
        code("install", "x" * 200),
        code("setup", "import torch\n\nimport gpt2lessons as gl\nlm = gl.load()"),
        md(
            "formula",
            "So $p(x \\mid y) = \\sqrt{2}$ and\n\n$$H(p) = -\\sum p \\ln p$$\n\nand `p = 2`; gpt2-mini writes.",
        ),
        *prediction("first"),
        *prediction("second"),
        *exercise(1),
        *exercise(2, STUB.replace("softmax", "mean"), "def my_mean(x):\n    return x.sum(-1) / x.shape[-1]"),
        *NUMBER,
        code("after", "weights = scores.exp()\nshown = weights / weights.sum(-1, keepdim=True)"),
        md("remember", END),
    ]
    return {"cells": cells, "metadata": {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE}}


def cell_of(notebook, name):
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def changed(name, old, new):
    """The lesson with `old` replaced by `new` in one cell."""
    notebook = lesson()
    cell = cell_of(notebook, name)
    source = "".join(cell["source"])
    assert old in source
    cell["source"] = [source.replace(old, new)]
    return notebook


def with_cell(cell, before="first-ask"):
    notebook = lesson()
    place = [c["id"] for c in notebook["cells"]].index(before)
    notebook["cells"].insert(place, cell)
    return notebook


def without(*names):
    notebook = lesson()
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] not in names]
    return notebook


def assert_broken(notebook, sentence, name="03_next_token"):
    found = rules.broken(notebook, name)
    assert [text for text in found if re.search(sentence, text)], found


def test_the_lesson_made_by_hand_keeps_every_rule():
    assert rules.broken(lesson(), "03_next_token") == []


def test_minutes_are_counted():
    notebook = {
        "cells": [md("a", "one two `three`\n\n```python\nnot counted\n```\n"), code("b", "1\n\n2"), code("c", "")]
    }
    assert rules.minutes(notebook) == pytest.approx(3 / 180 + 3 * 0.12 + 0.25)
    with_exercise = {"cells": [*notebook["cells"], md("ex1-task", "### Exercise 1 · A (●○○, 7 minutes)")]}
    words = len(re.findall(r"\w+", "### Exercise 1 · A (●○○, 7 minutes)"))
    assert rules.minutes(with_exercise) == pytest.approx(rules.minutes(notebook) + 7 + words / 180)


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [("20", "says 20 minutes, takes"), ("60", "says 60 minutes, takes"), ("61", "at most 60"), ("no", "does not say")],
)
def test_minutes_stated_wrongly(stated, sentence):
    assert_broken(changed("title", "33", stated), sentence)


@pytest.mark.parametrize(("name", "limit"), [("10_tuning", 75), ("04_greedy_search", 60)])
def test_longest_lessons(name, limit):
    notebook = changed("title", "33", str(limit + 1))
    assert_broken(notebook, f"says {limit + 1} minutes, at most {limit}", name)
    assert not [text for text in rules.broken(changed("title", "33", str(limit)), name) if "at most" in text]


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("first-ask", "**Predict.**", "**Predict:**", r"written \*\*Predict\.\*\*"),
        ("formula", "So", "Predict: so", r"written \*\*Predict\.\*\*"),
        ("first-ask", "(a) one  (b) two  (c) five", "", "no options"),
        ("first", "# Click the dots when you have decided.\n", "", "its first line must be"),
        ("first-read", "<details><summary>", "It is: <details><summary>", "inside <details>"),
    ],
)
def test_prediction_out_of_form(name, old, new, sentence):
    assert_broken(changed(name, old, new), sentence)


def test_predictions_need_their_cells_and_are_two_or_three():
    for key in ("tags", "jupyter"):
        notebook = lesson()
        del cell_of(notebook, "first")["metadata"][key]
        assert_broken(notebook, "tagged `answer`" if key == "tags" else "outputs_hidden")
    assert_broken(without("first-read"), "must react to it inside <details>")
    assert_broken(without("first-ask"), "no prediction stands before it")
    assert_broken(without("first-ask", "first", "first-read"), "1 predictions, 2 to 3 are wanted")
    four = lesson()
    four["cells"][5:5] = [*prediction("third"), *prediction("fourth")]
    assert_broken(four, "4 predictions, 2 to 3 are wanted")


@pytest.mark.parametrize(
    "title",
    [
        "### Exercise 1: A task (●●○, 10 minutes)",
        "### Exercise 1 · A task ●●○ 10 minutes",
        "### Exercise 1 · A task (●●●●, 10 minutes)",
        "## Exercise 1 · A task (●●○, 10 minutes)",
        "### Exercise 2 · A task (●●○, 10 minutes)",
        "## Exercises\n\n### Exercise 1 · A task (●●○, 10 minutes)",
    ],
)
def test_title_of_an_exercise_out_of_form(title):
    notebook = changed("ex1-task", "### Exercise 1 · A task (●●○, 10 minutes)", title)
    assert_broken(notebook, "ex1-task must begin with: ### Exercise 1 ·")


def test_exercise_out_of_form():
    assert_broken(without("ex1-help"), "ex1 must stand between")
    assert_broken(without("ex3-task", "ex3", "ex3-help"), "2 exercises, 3 to 5 are wanted")
    assert_broken(without("ex2-task", "ex2", "ex2-help"), "must be numbered")
    assert_broken(changed("ex1-help", "Solution<", "The answer<"), "summaries are Hint and Solution")
    assert_broken(changed("ex1", "gl.checks.x.y(my_softmax)", "my_softmax"), "ends with its check")
    assert_broken(changed("ex1-help", "```python", "``python"), "fenced block")
    notebook = lesson()
    for name in ("ex1", "ex2"):
        cell_of(notebook, name)["source"] = ["my_number = ...\ngl.checks.x.z(my_number)"]
    assert_broken(notebook, "0 of 3 exercises are functions")


def test_solution_above_its_stub():
    shown = "weights = scores.exp()\nshown = weights / weights.sum(-1, keepdim=True)"
    assert_broken(with_cell(code("above", shown)), "ex1: its solution stands above it")
    assert_broken(with_cell(md("above", f"So:\n\n```python\n{shown}\n```\n")), "ex1: its solution stands above it")
    assert rules.spoiler_problems(with_cell(code("below", shown), before="remember")) == []


def test_lines_too_long_for_a_page():
    stream = {"output_type": "stream", "name": "stdout", "text": ["x" * 89]}
    result = {"output_type": "execute_result", "data": {"text/plain": ["y" * 89]}, "metadata": {}}
    table = {"output_type": "execute_result", "data": {"text/plain": ["y" * 89], "text/html": ["<p>"]}, "metadata": {}}
    assert_broken(with_cell(code("wide", "x = 1  # " + "long " * 17)), "line of code of 9. characters")
    assert_broken(with_cell(md("wide", f"```python\n{'x' * 89}\n```\n")), "line of code of 89 characters")
    for output in (stream, result):
        assert_broken(with_cell(code("wide", "x", [output])), "prints a line of 89 characters")
    assert rules.wide_lines(with_cell(code("wide", "x" * 88, [table]))) == []
    assert rules.wide_lines(with_cell(md("prose", "word " * 40))) == []


@pytest.mark.parametrize(
    "words",
    ["We draw lots.", "a lottery", "Lotteries", "a ticket", "luck", "an unlucky seed", "two dice", "a tombola"],
)
def test_words_that_stand_for_nothing(words):
    assert_broken(with_cell(md("word", words)), "cell word says")
    assert_broken(with_cell(code("word", f"x = 1  # {words}")), "cell word says")


@pytest.mark.parametrize("words", ["The original says", "the law of the output", "two laws", "five thousand million"])
def test_words_that_are_not_the_fields(words):
    assert_broken(with_cell(md("word", words)), "cell word says")


@pytest.mark.parametrize(
    "words",
    ["the law of large numbers", "a scaling law", "Zipf's law", "many lotsize", "the flaw", "[here](the_luck.ipynb)"],
)
def test_words_of_the_field(words):
    assert rules.empty_words(with_cell(md("word", words))) == []


@pytest.mark.parametrize(
    "formula",
    ["so p(x|y) is", "`p(x | y) = 2`", "P(cat | the) = 0.5", "H(p) = 2 nats", "loss = −ln p", "by √D", "∑ p", "e^x"],
)
def test_formula_that_is_not_latex(formula):
    assert_broken(with_cell(md("plain", formula)), "cell plain: a formula is written in LaTeX")


@pytest.mark.parametrize(
    "text", ["`top_p=0.9`", "`p = probs[0]`", "$p(x|y) = e^x$", "$$\n\\sqrt{∑}\n$$", "a log entry"]
)
def test_text_that_is_no_formula(text):
    assert rules.plain_formulas(with_cell(md("plain", text))) == []
    assert rules.plain_formulas(with_cell(md("fenced", "```python\ne = p(x|y) = 2 ** √\n```\n"))) == []


@pytest.mark.parametrize("text", ["GPT-2 writes loops.", "GPT-2's favourite is he.", "## The loop on GPT-2"])
def test_small_model_called_gpt2(text):
    assert_broken(with_cell(md("said", text)), "cell said says")
    assert rules.broken(with_cell(md("said", text)), "03_next_token", said_of_gpt2={"said"}) == []
    assert rules.gpt2_problems(with_cell(md("said", f"{text} (recorded)"))) == []


def test_label_gpt2_needs_the_real_one():
    assert_broken(with_cell(code("label", 'plot(lm, "GPT-2, 16 prompts")')), "cell label labels something GPT-2")
    assert rules.gpt2_problems(with_cell(code("label", 'plot(gl.recorded.prompts(), "GPT-2")'))) == []
    assert rules.gpt2_problems(with_cell(md("fact", "GPT-2 has 12 blocks."))) == []


def test_metadata_that_execute_writes():
    notebook = lesson()
    del cell_of(notebook, "ex2-help")["metadata"]["editable"]
    assert_broken(notebook, "cell ex2-help needs the metadata editable: false")
    notebook = lesson()
    del notebook["metadata"]["language_info"]
    assert_broken(notebook, "not as JupyterLab writes them")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("## Remember", "## What to remember", "begin with ## Remember"),
        ("- One thing.", "- One thing." + "\n- More." * 4, "6 lines to remember"),
        ("- One thing.\n- Another.", "One thing.", "0 lines to remember"),
        ("04_greedy_search.ipynb", "02_tokenization.ipynb", "no link to lesson 04"),
        ("glossary.ipynb", "token.ipynb", "no link to glossary"),
    ],
)
def test_end_out_of_form(old, new, sentence):
    assert_broken(changed("remember", old, new), sentence)


def test_end_stands_at_the_end_and_links_to_deeper_notebooks():
    notebook = lesson()
    notebook["cells"].append(md("more", "And one thing more."))
    assert_broken(notebook, "the last cell must be `remember`")
    assert rules.deeper_links(lesson()) == set()
    linked = changed("remember", "Next:", "Deeper: [a](deeper/exact.ipynb#top) [b](deeper/stop.ipynb). Next:")
    assert rules.deeper_links(linked) == {"deeper/exact", "deeper/stop"}


def test_deeper_notebook_needs_no_predictions_exercises_or_end():
    title, setup = md("title", "# Deeper\n\n2 minutes. " + "word " * 320), code("setup", "import torch")
    notebook = {"cells": [title, setup], "metadata": lesson()["metadata"]}
    assert rules.broken(notebook, "deeper/exact") == []
    assert_broken(notebook, "0 predictions, 2 to 3 are wanted")
    notebook["cells"].append(md("word", "luck"))
    assert_broken(notebook, "says 'luck'", "deeper/exact")


def test_wrong_numbers_are_wrong_and_of_one_kind():
    for right in (12, 0, 1, -3, 0.25, 2.0):
        wrong = rules.wrong_numbers(right)
        assert len(set(wrong)) == len(wrong) >= 3
        assert right not in wrong
        assert {type(number) for number in wrong} == {type(right)}


@pytest.mark.parametrize(
    ("message", "right", "shown"),
    [
        ("should be 12, but is 13.", 12, True),
        ("should be 1,234.5", 1234.5, True),
        ("it is about 0.33", 1 / 3, True),
        ("it is −2", -2, True),
        ("12.5 is too large", 12, False),
        ("gpt2 has x12", 12, False),
        ("too large", 12, False),
        ("0.3 is too small", 1 / 3, False),
        ("6e-1 and 1.2e1", 12, True),
    ],
)
def test_number_is_found_in_a_message(message, right, shown):
    assert rules.shows(message, right) is shown


def test_numbers_that_a_stub_asks_for():
    stub = "my_a = ...\nmy_b = ...\nmy_c = ...\ngiven = 3\ngl.checks.x.y(my_a, my_b)"
    assert rules.asked_numbers(stub, {"my_a": 1, "my_b": [1], "my_c": True, "given": 3}) == {"my_a": 1}
    assert rules.asked_numbers(STUB, {}) == {}
