"""What runs with the slow tests although it carries no mark of its own."""

from pathlib import Path

import pytest

DEEPER = Path(__file__).parents[2] / "notebooks" / "deeper"


@pytest.hookimpl(tryfirst=True)  # before the choice by marker
def pytest_collection_modifyitems(items):
    """The optional notebooks run with the slow tests."""
    for item in items:
        if DEEPER in item.path.parents:
            item.add_marker(pytest.mark.slow)
