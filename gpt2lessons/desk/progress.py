"""`gl.progress()`: which exercises are solved, lesson by lesson; `gl.progress("03")`: one lesson, and what is next."""

import html
import os
from dataclasses import dataclass
from pathlib import Path

from gpt2lessons.desk import lessons, record


@dataclass(frozen=True)
class Row:
    """One notebook: its name, the question that it answers, and how many of its exercises are solved."""

    name: str
    question: str
    solved: int
    exercises: int


@dataclass(frozen=True)
class Progress:
    """What was solved, as a table of `rows`, or, for one lesson, as a line with a link to the row `following`."""

    rows: tuple[Row, ...]
    one: bool = False
    following: Row | None = None

    def __repr__(self) -> str:
        if self.one:
            onward = f" Next: {self.following.name} · {self.following.question}" if self.following else ""
            return _said(self.rows[0]) + onward
        width = max(len(row.name) for row in self.rows)
        return "\n".join(f"{row.name:{width}}  {_dots(row)} {row.solved} of {row.exercises}" for row in self.rows)

    def _repr_html_(self) -> str:
        if self.one:
            onward = f" Next: {_link(self.following)} · {_text(self.following)}" if self.following else ""
            return f"<p>{_said(self.rows[0])}{onward}</p>"
        rows = "".join(
            f'<tr><td style="text-align:left">{_link(row)}</td><td style="text-align:left">{_text(row)}</td>'
            f'<td style="text-align:left;white-space:nowrap">{_dots(row)} {row.solved} of {row.exercises}</td></tr>'
            for row in self.rows
        )
        head = "".join(f'<th style="text-align:left">{title}</th>' for title in ("lesson", "question", "solved"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def progress(lesson: str | None = None) -> Progress:
    """Return what is solved: a table of all lessons with exercises, or a line about one and a link to the next.

    `lesson` is the beginning of its name, "03" or "deeper/parameters". What counts is the record in the working copy
    that `gpt2lessons lab` makes, and what was solved since this kernel started. Raises `ValueError` for a lesson that
    does not exist, and where the lessons are not on this machine.
    """
    names = [name for name in lessons.names() if lessons.exercises(name)]
    if lesson is None:
        return Progress(tuple(map(_row, names)))
    found = [name for name in names if name.startswith(str(lesson))]
    if len(found) != 1:
        raise ValueError(f"no lesson is called {lesson!r}. Take the beginning of one of these: {', '.join(names)}.")
    numbered = [name for name in names if name[:2].isdigit()]
    following = numbered[numbered.index(found[0]) + 1 :] if found[0] in numbered else []
    return Progress((_row(found[0]),), one=True, following=_row(following[0]) if following else None)


def _row(name):
    wanted, solved = lessons.exercises(name), record.solved()
    return Row(name, lessons.question(name), sum(check in solved for check in wanted), len(wanted))


def _said(row):
    if row.solved == row.exercises:
        return f"All {row.exercises} exercises solved." if row.exercises > 1 else "The exercise is solved."
    return f"{row.solved} of {row.exercises} exercises solved."


def _dots(row):
    return "●" * row.solved + "○" * (row.exercises - row.solved)


def _text(row):
    return html.escape(row.question)


def _link(row):
    """A link that holds in the notebook that runs: from `deeper/` one goes up first."""
    here = "deeper" if Path.cwd().name == "deeper" else "."
    target = os.path.relpath(f"{row.name}.ipynb", here).replace(os.sep, "/")
    return f'<a href="{html.escape(target)}">{html.escape(row.name)}</a>'
