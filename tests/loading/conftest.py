"""Machines for the tests of loading: an empty one, a tiny GPT-2, a hub that is none."""

import pytest
from support.fake_hub import serve, write_tiny_gpt2

from gpt2lessons.loading import models


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an empty cache, no Kaggle input and no settings; returns its folder."""
    for name in ("GPT2LESSONS_MODEL", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(models, "KAGGLE_INPUT", tmp_path / "kaggle")
    return tmp_path


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_gpt2(tmp_path / "tiny")


@pytest.fixture
def online(machine, monkeypatch, tiny):
    """The fake hub, reached as if it were the real one."""
    import huggingface_hub.constants

    with serve(tiny) as (fake, endpoint):
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        huggingface_hub.close_session()
        yield fake
    huggingface_hub.close_session()
