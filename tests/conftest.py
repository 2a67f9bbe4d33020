"""What all tests share: no network, the bundled model, one thread per worker."""

import os

# before torch and transformers load, here and in the kernels that nbval starts
os.environ.update(HF_HUB_OFFLINE="1", GPT2LESSONS_MODEL="gpt2-mini", HF_HUB_DISABLE_PROGRESS_BARS="1")
os.environ["GPT2LESSONS_SECONDS"] = "0"  # no test depends on how busy this machine is
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from support.progress import (  # noqa: F401  (hooks)
    pytest_report_teststatus,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_sessionstart,
)
from support.slow import pytest_collection_modifyitems  # noqa: F401  (a hook)

pytest.register_assert_rewrite("support.told_apart")  # so that its failures show their values too


@pytest.fixture(scope="session")
def mini():
    """The bundled language model, loaded once per worker."""
    import gpt2lessons as gl

    return gl.load("gpt2-mini")
