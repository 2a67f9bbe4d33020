"""Writes nbgrader's grades.csv in the form that a learning management system imports.

    python lms.py moodle ps2_decoding      ->  ps2_decoding.moodle.csv   (idnumber, points)
    python lms.py canvas ps2_decoding      ->  ps2_decoding.canvas.csv   (Canvas's gradebook columns)

First `nbgrader export --to grades.csv`. Students are matched by the name of their folder in `submitted/`, so name the
folders by the id that the system knows.
"""

import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def rows(system, assignment, grades):
    """Return the rows of the system's file; `grades` are the rows of grades.csv as dictionaries."""
    mine = [g for g in grades if g["assignment"] == assignment]
    if not mine:
        raise SystemExit(f"grades.csv has no grades for {assignment}")
    if system == "moodle":
        return [["idnumber", assignment], *([g["student_id"], g["score"] or 0] for g in mine)]
    names = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    full = ["    Points Possible", "", "", "", "", mine[0]["max_score"]]
    people = [(f"{g['last_name']}, {g['first_name']}".strip(", ") or g["student_id"], g) for g in mine]
    return [[*names, assignment], full, *([n, "", "", g["student_id"], "", g["score"] or 0] for n, g in people)]


def main():
    """Write the file that the command line names."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("moodle", "canvas"):
        raise SystemExit(__doc__)
    _, system, assignment = sys.argv
    with (HERE / "grades.csv").open(newline="", encoding="utf8") as file:
        found = rows(system, assignment, list(csv.DictReader(file)))
    with (HERE / f"{assignment}.{system}.csv").open("w", newline="", encoding="utf8") as file:
        csv.writer(file).writerows(found)


if __name__ == "__main__":
    main()
