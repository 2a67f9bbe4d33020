"""The notebooks as files: run in order, clean, short cells, lasting ids; each folded solution passes its check."""

import pytest
from support.exercises import exercises, run_exercise

from gpt2lessons.workshop import notebooks

LESSONS = [path.stem for path in notebooks.lessons()]
EXERCISES = [(lesson, name) for lesson in LESSONS for name in exercises(lesson)]


@pytest.mark.parametrize("path", notebooks.lessons(), ids=LESSONS)
def test_notebook_is_clean(path):
    assert notebooks.problems(path) == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_lesson_has_three_to_five_exercises(lesson):
    assert 3 <= len(exercises(lesson)) <= 5


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_stub_is_unanswered_and_solution_is_right(lesson, name):
    assert run_exercise(lesson, name).status == "unanswered"
    verdict = run_exercise(lesson, name, exercises(lesson)[name][1])
    assert verdict.status == "right", verdict
