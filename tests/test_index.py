"""Every topic has a lesson that deals with it; README and COVERAGE.md say what the notebooks say."""

import re
from pathlib import Path

from gpt2lessons import index, notebooks

ALL = [f"C{i}" for i in range(1, 85)] + [f"E{i}" for i in range(1, 46)] + [f"Q{i}" for i in range(1, 26)]
# What no lesson covers yet. Never add to it: a cell that loses its tag is a lesson that lost a topic.
NOT_YET = set()
HINT = "run `python -m gpt2lessons index`"


def test_the_table_lists_every_id_once():
    assert index.listed() == ALL


def test_tags_are_known_ids():
    assert set(index.tagged()) <= set(ALL)


def test_what_is_not_covered_is_exactly_the_list():
    assert set(ALL) - set(index.tagged()) == NOT_YET


def test_what_is_derived_is_up_to_date():
    assert index.COVERAGE.read_text("utf8") == index.coverage(), HINT
    assert index.README.read_text("utf8") == index.readme(), HINT
    assert index.PICTURE.read_bytes() == index.picture(), HINT


def test_readme_names_every_lesson_and_its_links_exist():
    text = index.README.read_text("utf8")
    assert all(f"notebooks/{path.name}" in text for path in notebooks.lessons())
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (index.ROOT / link).exists()] == []


def test_ci_runs_the_second_command_of_the_readme():
    commands = re.findall(r"```sh\n(.*?)```", index.README.read_text("utf8"), re.S)
    script = Path(index.ROOT / ".ci" / "run").read_text("utf8")
    for part in commands[1].strip().split(" && "):
        assert part.strip(" \\\n") in script
