"""A copy of the lessons that belongs to the learner: laid once, renewed only where nothing was changed."""

import hashlib
import os
from dataclasses import dataclass

from gpt2lessons.desk import lessons, record

BESIDE = "_new_edition"


@dataclass(frozen=True)
class Laid:
    """What `lay` did: files that are new, files renewed, and {changed file: the new edition laid beside it}."""

    new: list
    renewed: list
    beside: dict


def lay(folder):
    """Lay every lesson into `folder` (made if missing) and return what was done, as a `Laid`.

    A file that the learner has changed is never written to: a newer edition is laid beside it, once. A file that is
    missing is laid again. Raises `ValueError` for a folder that holds other things.
    """
    source = lessons.folder()
    _check(folder, source)
    path = folder / record.NAME
    done, laid = Laid([], [], {}), record.read(path)["laid"]
    for name in (f"{name}.ipynb" for name in lessons.names()):
        content = (source / name).read_bytes()
        place = _place(folder, name, _digest(content), laid)
        if place is None:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if place != name:
            done.beside[name] = place
        else:
            (done.renewed if (folder / place).exists() else done.new).append(place)
        _write(folder / place, content)
        laid[place] = _digest(content)
    record.write(path, lambda content: content["laid"].update(laid))
    return done


def _place(folder, name, edition, laid):
    """Where the edition with this checksum must be laid; None if it need not be."""
    if not (folder / name).exists():
        return name
    if laid.get(name) == edition:
        return None
    present = _digest((folder / name).read_bytes())
    if present == edition:
        laid[name] = edition
        return None
    if present == laid.get(name):
        return name  # as it was laid
    number = 1
    while True:
        beside = name.replace(".ipynb", f"{BESIDE}{f'_{number}' if number > 1 else ''}.ipynb")
        if laid.get(beside) == edition:
            return None  # once is enough, also if it was thrown away
        if not (folder / beside).exists() or _digest((folder / beside).read_bytes()) == laid.get(beside):
            return beside
        number += 1


def _check(folder, source):
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file. Give a folder for your copy of the lessons.")
    place = folder.resolve()
    if place == source.resolve() or source.resolve() in place.parents:
        raise ValueError(f"{folder} holds the course's own lessons. Give another folder for your copy.")
    broken = folder / record.NAME
    if broken.is_file() and record.find(folder) != broken:
        os.replace(broken, folder / f"{record.NAME}.damaged")
    elif folder.exists() and any(folder.iterdir()) and not broken.is_file():
        raise ValueError(
            f"{folder} is not empty and no working copy of the lessons: it has no {record.NAME}. Give another folder."
        )


def _write(path, content):
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    os.replace(beside, path)


def _digest(content):
    return hashlib.sha256(content).hexdigest()


def next_unfinished(solved):
    """Return the first lesson with an exercise that is not in `solved`, and None where all are solved."""
    numbered = [name for name in lessons.names() if name[:2].isdigit()]
    return next((name for name in numbered if not set(lessons.exercises(name)) <= set(solved)), None)
