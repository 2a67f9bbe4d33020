"""nbgrader's configuration for the coursework of gpt2lessons; run `nbgrader` in this folder."""

from pathlib import Path

from gpt2lessons.grading import configuration

configuration.configure(get_config(), Path(__file__).resolve().parent)  # noqa: F821
