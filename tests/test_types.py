"""The type hints of the public front: what an editor knows about what learners call, as mypy reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_mypy_knows_the_types_of_what_learners_call():
    """Only the front is checked: the hints are for editors, not for the package."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--follow-imports=silent", "--warn-unused-ignores"),
            *("--cache-dir", os.devnull, "tests/support/typed_front.py"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
