"""ModelDownloader: the button, the bytes, cancel and continue, and every failure as a sentence on the page."""

import threading
from dataclasses import replace

import pytest
from support.fake_hub import COMMIT, serve, write_tiny_gpt2

from gpt2lessons.loading import hub
from gpt2lessons.widgets import ModelDownloader


class Fetch:
    """Stands in for `hub.download`: waits at each of its steps until the test lets it go on."""

    def __init__(self, error=None):
        self.calls, self.error = [], error
        self.arrived, self.go_on = threading.Event(), threading.Event()

    def __call__(self, repo, revision, *, sha256, on_progress, cancel):
        self.calls.append((repo, revision, sha256))
        on_progress(137_000_000, 548_000_000)
        self.arrived.set()
        self.go_on.wait(10)
        if cancel.is_set():
            raise hub.CancelledError("kept")
        if self.error:
            raise self.error
        on_progress(548_000_000, 548_000_000)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


def test_nothing_is_fetched_before_the_button_is_pressed():
    fetch = Fetch()
    widget = ModelDownloader(fetch=fetch)
    assert (fetch.calls, widget.state) == ([], "idle")
    for text in ("distilgpt2", "124,439,808", "354,823,168", "548 MB", "1,520 MB", "not here yet"):
        assert text in widget.view.value
    assert "on this machine" not in widget.view.value
    assert "<progress" not in widget.view.value


def test_button_fetches_the_chosen_model_and_shows_the_bytes():
    fetch = Fetch()
    widget = ModelDownloader(fetch=fetch)
    widget.choice.value = "gpt2-medium"
    widget.button.click()
    assert fetch.arrived.wait(10)
    assert (widget.state, widget.button.description, widget.choice.disabled) == ("busy", "Cancel", True)
    assert 'value="137000000" max="548000000"' in widget.view.value
    assert "137.0 of 548.0 MB, 25%" in widget.view.value
    fetch.go_on.set()
    assert widget.wait(10) == "done"
    assert "100%" in widget.view.value
    assert "gl.load(&quot;gpt2-medium&quot;)" in widget.view.value
    assert (widget.button.description, widget.choice.disabled) == ("Download", False)
    checkpoint = hub.FAMILY["gpt2-medium"]
    assert fetch.calls == [(checkpoint.repo, checkpoint.revision, checkpoint.sha256)]


def test_second_press_cancels_and_the_third_goes_on():
    fetch = Fetch()
    widget = ModelDownloader(fetch=fetch)
    widget.button.click()
    assert fetch.arrived.wait(10)
    widget.button.click()
    fetch.go_on.set()
    assert widget.wait(10) == "cancelled"
    assert "kept" in widget.view.value
    assert "25%" in widget.view.value
    assert widget.button.description == "Continue"
    widget.button.click()
    assert widget.wait(10) == "done"
    assert len(fetch.calls) == 2


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ConnectionError("the hub cannot be reached. Connect <now>"), "the hub cannot be reached. Connect &lt;now&gt;"),
        (ValueError("its checksum differs"), "its checksum differs"),
        (RuntimeError("boom"), "The download failed with RuntimeError: boom"),
    ],
)
def test_failure_is_a_sentence_on_the_page(error, shown):
    fetch = Fetch(error)
    fetch.go_on.set()
    widget = ModelDownloader(fetch=fetch)
    widget.button.click()
    assert widget.wait(10) == "failed"
    assert shown in widget.view.value
    assert 'role="alert"' in widget.view.value
    assert widget.button.description == "Continue"
    widget.choice.value = "distilgpt2"
    assert (widget.state, widget.button.description) == ("idle", "Download")
    assert "alert" not in widget.view.value


def test_offline_setting_is_told_before_the_button_is_pressed(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    widget = ModelDownloader()
    assert "HF_HUB_OFFLINE" in widget.view.value
    widget.button.click()
    assert widget.wait(10) == "failed"
    assert "gpt2-mini" in widget.view.value


def test_download_from_a_hub_with_an_interruption(tmp_path, monkeypatch):
    import huggingface_hub.constants

    tiny = write_tiny_gpt2(tmp_path / "tiny")
    checkpoint = replace(hub.FAMILY["gpt2"], repo="owner/tiny", revision=COMMIT, sha256=None)
    monkeypatch.setitem(hub.FAMILY, "gpt2", checkpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    with serve(tiny) as (fake, endpoint):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        widget = ModelDownloader()
        fake.faults.add("cut")
        widget.button.click()
        assert widget.wait(20) == "failed"
        assert "kept: run this again" in widget.view.value
        fake.faults.clear()
        widget.button.click()
        assert widget.wait(20) == "done"
    huggingface_hub.close_session()
    assert widget.bytes[0] == widget.bytes[1] == sum(len(f) for f in fake.files.values())
    assert widget.view.value.count("on this machine") == 2, "the table and the sentence"
    assert any(span for _, path, span in fake.requests if path.endswith("model.safetensors"))


def test_counted_parameters_are_those_that_openai_names():
    from gpt2lessons.widgets.model_downloader import _count_parameters

    counts = [_count_parameters(name) for name in ("distilgpt2", "gpt2", "gpt2-medium", "gpt2-large")]
    assert counts == [81_912_576, 124_439_808, 354_823_168, 774_030_080]


def test_sizes_follow_from_the_shapes():
    """4 bytes for each parameter and for each entry of the mask that the files carry, one 1,024 × 1,024 per block."""
    from gpt2lessons.widgets.model_downloader import _count_parameters

    for name, checkpoint in hub.FAMILY.items():
        size = 4 * (_count_parameters(name) + checkpoint.n_layer * 1024**2)
        assert round(size / 1e6) in (checkpoint.megabytes, checkpoint.megabytes - 1), name


def test_twin_is_the_same_everywhere():
    widget = ModelDownloader()
    data = widget._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert data["text/plain"] == "ModelDownloader: distilgpt2 353 MB, gpt2 548 MB, gpt2-medium 1,520 MB" == repr(widget)
    assert len(data["image/png"]) > 5_000


def test_unknown_model_is_refused():
    with pytest.raises(ValueError, match="offers distilgpt2, gpt2, gpt2-medium"):
        ModelDownloader("gpt3")
