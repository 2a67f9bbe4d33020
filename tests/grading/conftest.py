"""What the grader's tests share: they run where bubblewrap does, and say why not elsewhere."""

import sys

import pytest

from gpt2lessons.grading import sandbox


@pytest.fixture(scope="session")
def sandboxed():
    """Skips where bubblewrap cannot be used, with the reason."""
    problem = sandbox.problem("bubblewrap") if sys.platform.startswith("linux") else "bubblewrap is for Linux"
    if problem:
        pytest.skip(problem)
