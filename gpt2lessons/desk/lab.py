"""`gpt2lessons lab`: JupyterLab on the learner's own copy of the lessons, at the next one that is not finished."""

from pathlib import Path
from urllib.parse import quote

from gpt2lessons.desk import lessons, record, working_copy

FOLDER = "my_lessons"


def run(folder=None, more=()):
    """Lay or renew the working copy in `folder`, say what was done, and run JupyterLab until it is ended; return 0.

    Without `folder` it is the present one if that is a working copy, else `my_lessons` in the course's repository, or
    in the present folder where the course was installed. `more`: arguments for JupyterLab.
    """
    folder = usual_folder() if folder is None else Path(folder)
    done = working_copy.lay(folder)
    print(*told(folder, done), sep="\n", flush=True)
    start(folder, working_copy.next_unfinished(record.read(folder / record.NAME)["solved"]), more)
    return 0


def usual_folder():
    """Return where the working copy is, or will be, if nobody says otherwise."""
    if (found := record.find()) is not None:
        return found.parent
    place = Path.cwd() if lessons.folder() != lessons.REPOSITORY else lessons.REPOSITORY.parent
    return place / FOLDER


def told(folder, done):
    """Return what the learner is told about a `working_copy.Laid`, line by line."""
    yield f"Your lessons: {folder.resolve()}"
    if done.renewed:
        yield f"Renewed, because you had not changed them: {', '.join(done.renewed)}"
    for name, place in done.beside.items():
        yield f"There is a newer edition of {name}: yours stays as it is, the new one is {place}"


def start(folder, lesson, more=()):
    """Run JupyterLab with `folder` as its root, at `lesson` if there is one."""
    from jupyterlab.labapp import LabApp

    page = f"/lab/tree/{quote(lesson)}.ipynb" if lesson else "/lab"
    extensions = "{'gpt2lessons.desk.server': True}"
    arguments = [f"--ServerApp.root_dir={folder.resolve()}", f"--LabApp.default_url={page}"]
    LabApp.launch_instance([*arguments, f"--ServerApp.jpserver_extensions={extensions}", *more])
