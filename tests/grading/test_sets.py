"""The problem sets: every question's tests are proven against right answers and plausible mistakes."""

import importlib
import json
import re
from pathlib import Path

import pytest
from answers import hostile

from gpt2lessons.grading import class_parameters, reports

COURSEWORK = Path(__file__).parents[2] / "notebooks" / "coursework"
SETS = sorted(path.stem for path in COURSEWORK.glob("source/*/*.ipynb"))
SOLUTION = re.compile(r"^ *### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION\n?", re.S | re.M)
HIDDEN = re.compile(r"^ *### BEGIN HIDDEN TESTS\n(.*?)^ *### END HIDDEN TESTS\n?", re.S | re.M)


def cells(name):
    """The cells of an assignment's source, {id: cell}."""
    notebook = json.loads((COURSEWORK / "source" / name / f"{name}.ipynb").read_text("utf8"))
    return {c["id"]: {**c, "source": "".join(c["source"])} for c in notebook["cells"]}


def kind(cell):
    return cell["metadata"]["nbgrader"]


def model_answer(name, question):
    """The instructor's answer, without its markers."""
    return re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cells(name)[question]["source"], flags=re.M)


def answers(name):
    return importlib.import_module(f"answers.{name}").ANSWERS


def changed(name, question, changes):
    """The model answer with `changes` made, each of which must apply; or the new answer that `changes` is."""
    if isinstance(changes, str):
        return changes
    source = model_answer(name, question)
    for old, new in changes:
        assert source.count(old) >= 1, f"{old!r} is not in the model answer of {name} {question}"
        source = source.replace(old, new)
    return source


_given = {}


def complaint(name, question, answer):
    """Run the question's tests on `answer` in this process; return the message, "" if all pass."""
    if name not in _given:
        given = {}
        for cell in cells(name).values():
            if cell["cell_type"] == "code" and not kind(cell)["grade"] and not kind(cell)["solution"]:
                exec(cell["source"], given)
        _given[name] = given
    space = dict(_given[name])
    try:
        exec(answer, space)
        exec(cells(name)[f"{question}-test"]["source"], space)
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


QUESTIONS = [(name, q) for name in SETS for q in answers(name)]
MISTAKES = [(name, q, mistake) for name, q in QUESTIONS for mistake in answers(name)[q]["mistakes"]]


@pytest.mark.parametrize(("name", "question"), QUESTIONS)
def test_model_answer_and_a_different_one_are_right(name, question):
    assert complaint(name, question, model_answer(name, question)) == ""
    assert complaint(name, question, answers(name)[question]["alternative"]) == ""


@pytest.mark.parametrize(("name", "question", "mistake"), MISTAKES)
def test_mistake_loses_the_points_with_its_own_message(name, question, mistake):
    changes, message = answers(name)[question]["mistakes"][mistake]
    said = complaint(name, question, changed(name, question, changes))
    assert said
    assert re.search(message, said), said


@pytest.mark.parametrize(("name", "question"), QUESTIONS)
def test_each_question_has_five_mistakes_with_messages_of_their_own(name, question):
    mistakes = answers(name)[question]["mistakes"].values()
    messages = {complaint(name, question, changed(name, question, changes)) for changes, message in mistakes if message}
    assert len(messages) >= 5, messages


@pytest.mark.parametrize("question", hostile.HARD_CODED)
@pytest.mark.parametrize("kind_of_cheat", ["HARD_CODED", "YES"])
def test_answers_copied_from_the_visible_tests_and_objects_that_equal_everything_fail(question, kind_of_cheat):
    assert complaint("ps2_decoding", question, getattr(hostile, kind_of_cheat)[question])


@pytest.mark.parametrize("name", SETS)
def test_another_class_has_another_report_with_exactly_one_false_claim(name):
    spaces = []
    for seed, word in ((7, "kettledrum"), (8, "Rumpelstiltskin"), (9, "marzipan")):
        chosen = {"seed": seed, "opening": "The old king had three sons" + " and a cat" * (seed - 6), "word": word}
        made = {n: (c, float(f"{v:.5g}")) for n, (c, v) in enumerate(reports.report(name, chosen), 1)}
        space = {}
        for cell in cells(name).values():
            if cell["cell_type"] == "code" and not kind(cell)["grade"] and not kind(cell)["solution"]:
                exec(cell["source"], space)
                if cell["id"] == "class-parameters":
                    space |= {"CLASS": chosen, "REPORT": made}
        exec(model_answer(name, "q4"), space)
        exec(cells(name)["q4-test"]["source"], space)
        last_year = dict(space)
        for other in spaces:
            answer = f"false_claim, true_value = {other['false_claim']}, {other['true_value']!r}"
            exec(answer, last_year)
            with pytest.raises(AssertionError):
                exec(cells(name)["q4-test"]["source"], last_year)
        spaces.append(space)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("seed", "2026", "whole number"),
        ("seed", True, "whole number"),
        ("seed", 10**9, "whole number"),
        ("opening", "Too short", "5 to 15 words"),
        ("opening", "One line\nand another line of it", "one line"),
        ("word", "two words", "one word"),
        ("word", "", "one word"),
        ("year", 2026, "seed, opening and word"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(name, wrong, message):
    chosen = json.loads((COURSEWORK / "class_parameters.json").read_text("utf8"))
    assert class_parameters.checked(chosen) == class_parameters.parameters(COURSEWORK) == chosen
    with pytest.raises(ValueError, match=message):
        class_parameters.checked({**chosen, name: wrong})


@pytest.mark.parametrize("name", SETS)
def test_source_is_worth_20_points_and_holds_the_parameters_of_class_parameters_json(name):
    graded = [kind(c)["points"] for c in cells(name).values() if kind(c)["grade"]]
    written = [c for c in cells(name).values() if kind(c)["grade"] and kind(c)["solution"]]
    assert (sum(graded), len(graded), len(written)) == (20, 6, 2)
    assert all("Rubric (3 points)" in c["source"] for c in written)
    chosen = json.loads((COURSEWORK / "class_parameters.json").read_text("utf8"))
    space = {}
    exec(cells(name)["class-parameters"]["source"], space)
    assert space["CLASS"] == chosen
    expected = reports.report(name, chosen)
    renew = "the model or the parameters have changed: see CONTRIBUTING.md, Commands"
    assert [claim for claim, _ in space["REPORT"].values()] == [claim for claim, _ in expected], renew
    # another processor may round the fifth digit another way
    assert [v for _, v in space["REPORT"].values()] == pytest.approx([v for _, v in expected], rel=1e-4), renew
