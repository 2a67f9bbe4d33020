"""Every topic, error and question has a lesson that deals with it, except an explicit list that only shrinks."""

from gpt2lessons import coverage

ALL = [f"C{i}" for i in range(1, 85)] + [f"E{i}" for i in range(1, 46)] + [f"Q{i}" for i in range(1, 26)]
# What no lesson covers yet. Never add to it: a cell that loses its tag is a lesson that lost a topic.
NOT_YET = set()


def test_the_table_lists_every_id_once():
    assert coverage.listed() == ALL


def test_tags_are_known_ids():
    assert set(coverage.tagged()) <= set(ALL)


def test_what_is_not_covered_is_exactly_the_list():
    assert set(ALL) - set(coverage.tagged()) == NOT_YET


def test_the_table_is_up_to_date():
    hint = "run `python -m gpt2lessons coverage`"
    assert coverage.TABLE.read_text("utf8") == coverage.filled(), hint
