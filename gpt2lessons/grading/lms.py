"""Writes nbgrader's grades.csv in the form that a learning management system imports.

    python -m gpt2lessons lms moodle ps2_decoding                  columns idnumber and points, for Moodle's gradebook
    python -m gpt2lessons lms moodle ps2_decoding worksheet.csv    Moodle's grading worksheet, filled in
    python -m gpt2lessons lms canvas ps2_decoding                  Canvas's gradebook; students by Canvas's ID
    python -m gpt2lessons lms canvas-login ps2_decoding            the same; students by their SIS login

The file is `ps2_decoding.moodle.csv`, and so on. First `nbgrader export --to grades.csv`. Students are matched by the
name of their folder in `submitted/`. What `collect` collected has the numbers that the grading worksheet and `canvas`
need.
"""

import csv
from pathlib import Path

SYSTEMS = ("moodle", "canvas", "canvas-login")
COLUMNS = {"assignment", "student_id", "last_name", "first_name", "score", "max_score"}


def rows(system, assignment, grades, worksheet=None):
    """Return the rows of the system's file; `grades` and `worksheet` are rows of such files, as dictionaries.

    Raises `ValueError` with a sentence if there is nothing to write, or a file has not the columns that it should.
    """
    if grades and not set(grades[0]) >= COLUMNS:
        raise ValueError(f"grades.csv should have the columns {', '.join(sorted(COLUMNS))}: nbgrader export")
    mine = {g["student_id"]: g for g in grades if g["assignment"] == assignment}
    if not mine:
        raise ValueError(f"grades.csv has no grades for {assignment}")
    for student, g in mine.items():
        if None in g or None in g.values():  # nbgrader writes it without quotes
            raise ValueError(
                f"grades.csv cannot be read at {student}: rename that folder and its student, so that the name has"
                " no comma and no quote"
            )
    if system == "moodle" and worksheet is not None:
        return _filled(worksheet, {s: g["score"] or 0 for s, g in mine.items()})
    if system == "moodle":
        return [["idnumber", assignment], *([s, g["score"] or 0] for s, g in mine.items())]
    column = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]
    table = [["    Points Possible", "", "", "", "", next(iter(mine.values()))["max_score"]]]
    for student, g in mine.items():
        name = f"{g['last_name']}, {g['first_name']}".strip(", ") or student
        ids = [student, "", ""] if system == "canvas" else ["", "", student]
        table.append([name, *ids, "", g["score"] or 0])
    return [column, *table]


def _filled(worksheet, scores):
    """Fill in the column Grade; Moodle wants its other columns back as they were."""
    if not worksheet or not {"Identifier", "Grade"} <= set(worksheet[0]):
        raise ValueError(
            "the worksheet should have the columns Identifier and Grade; download it with Moodle in English"
        )
    found = [row | {"Grade": scores.get(row["Identifier"].split()[-1], row["Grade"])} for row in worksheet]
    return [list(worksheet[0]), *(list(row.values()) for row in found)]


def _read(path):
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path} is no CSV file in UTF-8; save it as one") from None


def run(system, assignment, worksheet=None, *, course=None):
    """Write the file for `system`, of the course in the present folder; return the exit code."""
    course = course or Path.cwd()
    grades = course / "grades.csv"
    if not grades.is_file():
        raise ValueError(f"there is no grades.csv in {course}; first: nbgrader export --to grades.csv")
    found = rows(system, assignment, _read(grades), _read(worksheet) if worksheet else None)
    with (course / f"{assignment}.{system}.csv").open("w", newline="", encoding="utf8") as file:
        csv.writer(file).writerows(found)
    return 0
