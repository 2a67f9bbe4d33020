"""The problem sets: every question's tests are proven against right answers and plausible mistakes."""

import importlib
import json
import math
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


def reckoned(name, question):
    """Minutes by the guide's rule: 100 words in one, two for a line of code or a claim, ten to write an answer."""
    words = len(cells(name)[f"{question}-task"]["source"].partition("\n")[2].split())
    if question in ("q5", "q6"):
        return round(words / 100 + 10)
    words += len(HIDDEN.sub("", cells(name)[f"{question}-test"]["source"]).split())
    lines = SOLUTION.search(cells(name)[question]["source"])[1].splitlines()
    return round(words / 100 + 2 * (6 if question == "q4" else len(lines)))


@pytest.mark.parametrize("name", SETS)
def test_each_question_states_its_minutes_and_the_set_their_sum(name):
    stated = []
    for question in ("q1", "q2", "q3", "q4", "q5", "q6"):
        title = cells(name)[f"{question}-task"]["source"].partition("\n")[0]
        stated.append(int(re.search(r"\(\d points, (\d+) minutes\)$", title)[1]))
        assert stated[-1] == reckoned(name, question), title
    whole = int(re.search(r"about (\d+) minutes", cells(name)["title"]["source"])[1])
    assert abs(whole - sum(stated) - 10) <= 2.5, "ten minutes for the beginning and the last run"
    assert f"| `{name}` |" in (guide := (COURSEWORK / "README.md").read_text("utf8"))
    assert any(f"`{name}`" in line and f"| {whole} |" in line for line in guide.splitlines())


@pytest.mark.parametrize("name", SETS)
def test_length_costs_no_points_and_chance_has_its_plain_name(name):
    text = "\n".join(cell["source"] for cell in cells(name).values()).lower()
    assert not re.search(r"\b(lots?|lottery|ticket|luck(y|iest)?|dice)\b|half a point off for more", text)


@pytest.mark.parametrize("seed", range(0, 80, 5))
def test_no_inequality_gives_the_false_claim_of_a_toy_away(seed):
    """The numbers of a report, the false one among them, keep every bound that holds without computing."""

    def of(name):
        return dict(reports.report(name, {"seed": seed}))

    drawn, searched = of("ps2_decoding"), of("ps3_beam_search")
    best = 1 - drawn["the probability that 10 draws after w0 never give its most probable word"] ** 0.1
    assert 0 <= drawn["the entropy of the next word after w0, in nats"] <= math.log(6)
    assert best - 1e-9 <= drawn["the largest probability after w0 at temperature 0.5"] <= 1
    assert best - 1e-9 <= drawn["the largest probability after w0 with top_k=3"] <= 1
    assert drawn["the probability of the two words that greedy search writes after w0"] <= best
    assert 1 <= drawn["how many words top_p=0.7 keeps after w0"] <= 6
    greedy = searched["the log-probability of what greedy search writes, in nats"]
    two = greedy + searched["how many nats more log-probable the result of 2 beams is than greedy's"]
    most = searched["the log-probability of the most probable three words, in nats"]
    assert searched["the log-probability of the least probable three words, in nats"] <= min(greedy, two)
    assert max(greedy, two) <= most + 1e-9 <= 1e-9


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
