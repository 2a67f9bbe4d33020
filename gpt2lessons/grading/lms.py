"""Writes nbgrader's grades.csv in the form that a learning management system imports.

    python lms.py moodle ps2_decoding                    columns idnumber and points, for Moodle's gradebook
    python lms.py moodle ps2_decoding worksheet.csv      Moodle's grading worksheet of the assignment, filled in
    python lms.py canvas ps2_decoding                    Canvas's gradebook; students by Canvas's ID
    python lms.py canvas-login ps2_decoding              the same; students by their SIS login

The file is `ps2_decoding.moodle.csv`, and so on. First `nbgrader export --to grades.csv`. Students are matched by the
name of their folder in `submitted/`. What `nbgrader zip_collect` collected has the numbers that the grading worksheet
and `canvas` need.
"""

import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def rows(system, assignment, grades, worksheet=None):
    """Return the rows of the system's file; `grades` and `worksheet` are rows of such files, as dictionaries."""
    mine = {g["student_id"]: g for g in grades if g["assignment"] == assignment}
    if not mine:
        raise SystemExit(f"grades.csv has no grades for {assignment}")
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
        raise SystemExit(
            "the worksheet should have the columns Identifier and Grade; download it with Moodle in English"
        )
    found = [row | {"Grade": scores.get(row["Identifier"].split()[-1], row["Grade"])} for row in worksheet]
    return [list(worksheet[0]), *(list(row.values()) for row in found)]


def _read(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def main():
    """Write the file that the command line names."""
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("moodle", "canvas", "canvas-login"):
        raise SystemExit(__doc__)
    system, assignment, *worksheet = sys.argv[1:]
    found = rows(system, assignment, _read(HERE / "grades.csv"), *(_read(Path(path)) for path in worksheet))
    with (HERE / f"{assignment}.{system}.csv").open("w", newline="", encoding="utf8") as file:
        csv.writer(file).writerows(found)


if __name__ == "__main__":
    main()
