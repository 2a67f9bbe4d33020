"""ModelDownloader: fetch the real GPT-2 with a button, watch the bytes come, stop, and go on later."""

import threading
import time

import ipywidgets
import matplotlib.pyplot as plt

from gpt2lessons.checksums import MINI
from gpt2lessons.loading import hub
from gpt2lessons.plots.style import COLOURS
from gpt2lessons.widgets.base import Twin, escape

_OFFERED = ("distilgpt2", "gpt2", "gpt2-medium")
_HEAD = ("model", "blocks", "parameters", "download", "licence", "")
_ALIGN = ("left", "right", "right", "right", "left", "left")
_TICK = 0.1  # seconds between two drawings of the bar: the browser need not see every packet


class ModelDownloader(Twin):
    """Choose a model of the GPT-2 family and press the button; nothing is fetched before.

    `state` is "idle", "busy", "cancelled", "failed" or "done"; `message` is the sentence that explains it. `fetch` does
    the work and may be replaced: it is called like `hub.download`.
    """

    def __init__(self, model="gpt2", *, fetch=hub.download):
        if model not in _OFFERED:
            raise ValueError(f"ModelDownloader offers {', '.join(_OFFERED)}, not {model!r}; use gl.load({model!r}).")
        self.fetch, self.state, self.message, self.bytes = fetch, "idle", "", (0, 0)
        self._cancel, self._thread, self._drawn = threading.Event(), None, 0.0
        options = [(f"{name} ({hub.FAMILY[name].megabytes:,} MB)", name) for name in _OFFERED]
        # no drop-down menu: JupyterLab keeps the arrow keys, which move to another cell, to itself
        whole = {"button_width": "auto"}  # else long names are cut off
        self.choice = ipywidgets.ToggleButtons(options=options, value=model, description="model", style=whole)
        self.button = ipywidgets.Button(description="Download", icon="download", tooltip="fetch the chosen model")
        self.button.on_click(self._pressed)
        super().__init__([self.choice, self.button], watch=[])
        self.choice.observe(self._chosen, names="value")

    def start(self):
        """Begin, or go on with, the download of the chosen model, in the background."""
        if self.state == "busy":
            return
        self._cancel.clear()
        self._become("busy", "Asking the hub …", (0, 0))
        self._thread = threading.Thread(target=self._work, args=(self.choice.value,), daemon=True)
        self._thread.start()

    def cancel(self):
        """Ask the download to stop; what came so far is kept."""
        self._cancel.set()

    def wait(self, timeout=None):
        """Wait until the download has ended, one way or the other, and return `state`."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self.state

    def _pressed(self, _button):
        if self.state == "busy":
            self.cancel()
        else:
            self.start()

    def _chosen(self, _change):
        self._become("idle", "", (0, 0))

    def _work(self, name):
        checkpoint = hub.FAMILY[name]
        try:
            self.fetch(
                checkpoint.repo,
                checkpoint.revision,
                sha256=checkpoint.sha256,
                on_progress=self._progress,
                cancel=self._cancel,
            )
        except hub.CancelledError:
            self._become("cancelled", "Stopped. What came so far is kept: press the button to go on.")
        except Exception as error:  # in a thread: an error that is not shown here is shown nowhere
            self._become("failed", _sentence(error))
        else:
            done = f'{name} is on this machine now: gl.load("{name}").'
            if name == "gpt2":
                done += " Every lesson takes it by itself when its kernel starts again."
            self._become("done", done)

    def _progress(self, done, total):
        self.bytes = done, total
        if time.monotonic() - self._drawn > _TICK or done == total:
            self._drawn = time.monotonic()
            self.message = ""
            self.refresh()

    def _become(self, state, message, count=None):
        self.state, self.message, self.bytes = state, message, self.bytes if count is None else count
        busy = state == "busy"
        self.choice.disabled = busy
        self.button.description = "Cancel" if busy else "Continue" if state in ("cancelled", "failed") else "Download"
        self.button.icon = "stop" if busy else "download"
        self.refresh()

    def render(self):
        """Return the table of models, the bar, and the sentence that says how things stand."""
        done, total = self.bytes
        parts = [_table(self.choice.value)]
        if total and self.state != "idle":
            text = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB, {done / total:.0%}"
            bar = f'<progress value="{done}" max="{total}" aria-label="downloaded" style="width:24em"></progress>'
            parts.append(f'<p style="font-variant-numeric:tabular-nums">{bar} {text}</p>')
        message = self.message
        if self.state == "idle" and hub.is_offline():
            message = "Here the environment forbids the network (HF_HUB_OFFLINE). Unset it and start Jupyter again."
        if message:
            wrong = self.state == "failed"
            parts.append(f'<p role="{"alert" if wrong else "status"}">{"✗ " if wrong else ""}{escape(message)}</p>')
        return "".join(parts)

    def picture(self):
        """Return a figure: what each model of the family weighs."""
        fig, ax = plt.subplots(figsize=(8, 2.6))
        names = ["gpt2-mini", *_OFFERED]
        bundled = (MINI / "model.safetensors").stat().st_size
        sizes = [round(bundled / 1e6), *(hub.FAMILY[name].megabytes for name in _OFFERED)]
        ax.barh(names, sizes, color=[COLOURS["orange"], *[COLOURS["blue"]] * len(_OFFERED)])
        for y, (name, size) in enumerate(zip(names, sizes, strict=True)):
            note = "bundled" if name == "gpt2-mini" else f"{_count_parameters(name) / 1e6:,.0f} M parameters"
            ax.text(size + 20, y, f"{size:,} MB, {note}", va="center")
        ax.set(xlabel="size on disk (MB)", xlim=(0, 1.6 * max(sizes)))
        ax.set_title("gpt2-mini is here; the button fetches one of the others")
        ax.invert_yaxis()
        return fig

    def summary(self):
        """Return the models on offer with their sizes; the same on every machine."""
        return "ModelDownloader: " + ", ".join(f"{name} {hub.FAMILY[name].megabytes:,} MB" for name in _OFFERED)


def _count_parameters(name):
    """Count a family member's parameters from its shape: embeddings, blocks, final LayerNorm."""
    layers, width = hub.FAMILY[name].n_layer, hub.FAMILY[name].n_embd
    return (50257 + 1024) * width + layers * (12 * width**2 + 13 * width) + 2 * width


def _table(chosen):
    rows = []
    for name in _OFFERED:
        model = hub.FAMILY[name]
        here = "on this machine" if hub.find_cached(model.repo, model.revision) else "not here yet"
        cells = [f"{'▸ ' if name == chosen else ''}{name}", model.n_layer, f"{_count_parameters(name):,}"]
        cells += [f"{model.megabytes:,} MB", model.licence, here]
        rows.append("<tr>" + "".join(map(_cell, cells, _ALIGN, [name == chosen] * len(cells))) + "</tr>")
    head = "".join(f'<th style="text-align:{a};padding:.2em .8em">{h}</th>' for h, a in zip(_HEAD, _ALIGN, strict=True))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(value, align, bold):
    weight = "bold" if bold else "normal"
    return f'<td style="text-align:{align};font-weight:{weight};padding:.2em .8em">{escape(value)}</td>'


def _sentence(error):
    known = isinstance(error, ValueError | OSError)
    return str(error) if known and str(error) else f"The download failed with {type(error).__name__}: {error}"
