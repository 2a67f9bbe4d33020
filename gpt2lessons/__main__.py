"""`gpt2lessons COMMAND`, or `python -m gpt2lessons COMMAND`: what the course can do from a shell."""

import argparse
import difflib
import inspect
import sys
from pathlib import Path

from gpt2lessons import __version__


def main(arguments=None):
    """Run one command; returns the exit code: 0, 1 if the course or the machine has a fault, 2 if the call has one.

    A bad argument ends with a sentence on the error stream, from here or (through `SystemExit`) from argparse.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(arguments)
    if not arguments:
        parser.print_help()
        return 0
    if not arguments[0].startswith("-") and arguments[0] not in (names := [run.__name__ for run in COMMANDS]):
        near = difflib.get_close_matches(arguments[0], names, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        parser.error(f"there is no command {arguments[0]!r}.{meant} The commands: {', '.join(names)}.")
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        extra = ": it comes with pip install 'gpt2lessons[grading]'" if options.run in (grade, lms, collect) else ""
        print(f"{parser.prog} {arguments[0]}: {error}{extra}", file=sys.stderr)
        return 2
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{parser.prog} {arguments[0]}: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        print(f"{parser.prog} {arguments[0]}: this machine's memory is too small for it", file=sys.stderr)
        return 2


def _parser(arguments):
    by_module = Path(sys.argv[0]).name == "__main__.py"
    parser = argparse.ArgumentParser(prog="python -m gpt2lessons" if by_module else "gpt2lessons", description=__doc__)
    parser.add_argument("--version", action="version", version=f"gpt2lessons {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in COMMANDS:
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        if run is lab:
            command.add_argument("--folder", type=Path, help="where your copy of the lessons is (default: my_lessons)")
            command.add_argument("more", nargs="*", help="behind --: options for JupyterLab, such as --no-browser")
        if run in (grade, lms, collect):
            _add_grading(command, run)
        if run is execute:
            command.add_argument("paths", nargs="*", type=_notebook, help="notebooks (default: all)")
            command.add_argument("--model", default="gpt2-mini", help="what gl.load() takes (default: gpt2-mini)")
            command.add_argument("--check", action="store_true", help="run only: write nothing")
            command.add_argument(
                "--machines",
                nargs="*",
                metavar="NAME",
                help="with --check: run as if on other machines and print which outputs differ (default: all of them)",
            )
        if run is bench:
            command.add_argument("--quick", action="store_true", help="fewer cases and tokens: about a minute")
            command.add_argument(
                "--memory",
                nargs="?",
                const="gpt2-mini",
                metavar="MODEL",
                help="each lesson's peak memory instead (default: gpt2-mini; random-gpt2: GPT-2 small's shape)",
            )
        if run is kaggle:
            command.add_argument("--user", required=True, help="the Kaggle account that will own it")
            command.add_argument(
                "--wheels-for", metavar="PYTHON", help="download what the course requires, for 3.12 say"
            )
            command.add_argument("--model", help="a real GPT-2 on Kaggle: owner/model/framework/variation/version")
        if run is train and arguments[:1] == ["train"]:  # it needs torch, which `doctor` may have to miss
            _add_training(command)
        if run in (train, heldout):
            several = {"type": Path, "nargs": "+", "metavar": "PATH"}
            where = "folders or archives of .txt files; heldout/ and validation/ in them are kept out"
            command.add_argument("--corpus", required=True, help=where, **several)
            command.add_argument("--heldout", help="more to measure on: books by authors not in the corpus", **several)
        if run is heldout:
            command.add_argument("--model", default="gpt2-mini", help="what gl.load() takes (default: gpt2-mini)")
        if run in (site, kaggle, train):
            command.add_argument("--out", type=_writable, required=True, help="the folder to write to")
    return parser


def lab(options):
    """Open JupyterLab on your own copy of the lessons, at the next one that is not finished."""
    from gpt2lessons.desk import lab as desk

    return desk.run(options.folder, options.more)


def execute(options):
    """Run the notebooks from top to bottom and write them back clean."""
    from gpt2lessons.workshop import notebooks

    if options.model != "gpt2-mini":
        from gpt2lessons import load

        load(options.model)  # a name that means nothing is refused here, not in the first cell of every lesson
    if options.machines is not None:
        return _check_machines(options)
    for path in options.paths or _lessons():
        print(path.name, flush=True)
        notebooks.execute(path.resolve(), model=options.model, write=not options.check)
    return 0


def _check_machines(options):
    from gpt2lessons.workshop import machines

    unknown = [name for name in options.machines if name not in machines.MACHINES]
    if unknown or not options.check:
        known = ", ".join(map(repr, machines.MACHINES))
        raise ValueError(f"--machines goes with --check, and knows {known}; not {unknown}.")
    paths = [path.resolve() for path in options.paths or _lessons()]
    lines = []
    for line in machines.table(paths, options.machines or tuple(machines.MACHINES)):
        print(line, flush=True)  # row by row: all of it takes an hour
        lines.append(line)
    return int(any(" on " in line for line in lines[len(paths) + 3 :]))


def index(options):
    """Write what is derived from the notebooks: README's tables and picture, COVERAGE.md, the glossary."""
    from gpt2lessons.workshop import index as derived

    _lessons()
    derived.write()
    return 0


def bench(options):
    """Compare the speed of our decoding loop with transformers' on this machine, or measure the lessons' memory."""
    if options.memory:
        from gpt2lessons import load
        from gpt2lessons.workshop import bench_memory

        _lessons()
        if options.memory not in ("gpt2-mini", bench_memory.STAND_IN):
            load(options.memory)  # as in `execute`
        return bench_memory.run(options.memory)
    from gpt2lessons.workshop import bench as measurements

    return measurements.run(quick=options.quick)


def doctor(options):
    """Look at this machine: versions, memory, disk, model files; name what is missing and the command that mends it."""
    from gpt2lessons.workshop import doctor as examination

    return examination.report()


def site(options):
    """Write a static copy of the lessons, HTML pages to read without running them."""
    from gpt2lessons.workshop import site as pages

    _lessons()
    print(*pages.write(options.out), sep="\n")
    return 0


def kaggle(options):
    """Write the course for Kaggle: a dataset with its wheel, a kernel per lesson; print what publishes them."""
    from gpt2lessons.workshop import kaggle as publishing

    _lessons()
    try:
        steps = publishing.write(options.out, options.user, wheels_for=options.wheels_for, model=options.model)
    except RuntimeError as error:  # pip's own words
        raise ValueError(error) from None
    print(*steps, sep="\n")
    return 0


def train(options):
    """Train a model of gpt2-mini's kind on text files; an interrupted training goes on where it stopped."""
    from gpt2lessons.training import loop, make_mini

    fields = loop.Recipe.__dataclass_fields__
    recipe = loop.Recipe(**{name: getattr(options, name) for name in fields})
    _check_device(options.device)
    config = make_mini.sizes(options.n_layer, options.n_head, options.n_embd, options.n_positions)
    more = {"start": options.start, "version": options.version, "device": options.device}
    shares = dict(options.share) if options.share else None
    more |= {"heldout": options.heldout, "validation": options.validation}
    try:
        report = make_mini.train(options.corpus, options.out, recipe, config=config, shares=shares, **more)
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on after the state that was last saved in {options.out}.")
        return 130
    print(*make_mini.table(report), sep="\n")
    return 0


def heldout(options):
    """Print how well a model predicts texts that were kept out of a corpus, beside what it has to beat."""
    from gpt2lessons import load
    from gpt2lessons.training import corpus, make_mini

    corpus.books(options.corpus)  # a wrong folder is refused before the model is loaded
    report = make_mini.measure(load(options.model), options.corpus, heldout=options.heldout)
    print(*make_mini.table(report), sep="\n")
    return 0


def grade(options):
    """Grade what was handed in for a problem set; run it in the course's folder (extra: grading)."""
    from gpt2lessons.grading import grade as grader

    chosen = {name: getattr(options, name) for name in ("jobs", "minutes", "force")}
    kind = "none" if options.trust_students else options.sandbox
    return grader.run(options.assignment, students=options.student, kind=kind, **chosen)


def lms(options):
    """Write nbgrader's grades.csv in the form that Moodle or Canvas imports."""
    from gpt2lessons.grading import lms as systems

    return systems.run(options.system, options.assignment, options.worksheet)


def collect(options):
    """Sort what was downloaded from Moodle or Canvas into submitted/STUDENT/ASSIGNMENT."""
    from gpt2lessons.grading import collect as collector

    return collector.run(options.assignment, force=options.force)


def _add_grading(command, run):
    if run is lms:
        command.add_argument("system", choices=["moodle", "canvas", "canvas-login"])
    command.add_argument("assignment", help="ps2_decoding, for example")
    if run is lms:
        command.add_argument("worksheet", nargs="?", type=Path, help="Moodle's grading worksheet, to be filled in")
        return
    command.add_argument("--force", action="store_true", help="also what was done before")
    if run is grade:
        command.add_argument("--student", nargs="*", default=(), help="only these (default: all who handed in)")
        command.add_argument("--jobs", type=int, help="how many at a time (default: half of the processors)")
        command.add_argument("--minutes", type=float, default=20, help="the most for one submission (default: 20)")
        where = command.add_mutually_exclusive_group()
        where.add_argument("--sandbox", choices=["bubblewrap", "container"], default="bubblewrap")
        where.add_argument("--trust-students", action="store_true", help="run their code on your account, unguarded")


def _add_training(command):
    from gpt2lessons.training.loop import Recipe
    from gpt2lessons.training.make_mini import sizes

    for name, field in Recipe.__dataclass_fields__.items():
        kind, default = field.type, None if name == "steps" else field.default
        settings = {"default": default, "required": name == "steps", "help": f"(default: {default})"}
        settings |= {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        command.add_argument(f"--{name.replace('_', '-')}", **settings)
    for name, size in inspect.signature(sizes).parameters.items():
        kind = {"type": int, "default": size.default, "help": f"(default: {size.default})"}
        command.add_argument(f"--{name.replace('_', '-')}", **kind)
    command.add_argument("--start", help="begin with this model's weights, not with random ones: gpt2-mini or a folder")
    several = {"type": Path, "nargs": "+", "metavar": "PATH"}
    command.add_argument("--validation", help="texts to look at meanwhile, with --validate-every N", **several)
    command.add_argument("--share", action="append", type=_share, metavar="PART=FIRST:LAST", help="share of the rows")
    command.add_argument("--version", default="own", help="what the model will call itself")
    command.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")


def _share(text):
    part, _, span = text.partition("=")
    first, _, last = span.partition(":")
    try:
        return part, (float(first), float(last or first))
    except ValueError:
        message = f"{text!r} should read PART=FIRST:LAST, for example novels=0.7:0.2"
        raise argparse.ArgumentTypeError(message) from None


def _notebook(text):
    path = Path(text)
    if not path.is_file() or path.suffix != ".ipynb":
        raise argparse.ArgumentTypeError(f"{text!r} is no notebook: give the path of an .ipynb file")
    return path


def _writable(text):
    if not text:
        raise argparse.ArgumentTypeError("its name is empty: give a folder to write to")
    path = Path(text)
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{str(there)!r} is a file: give a folder to write to")
    return path


def _check_device(name):
    import torch

    try:
        usable = torch.ones(1, device=name).device.type != "meta"  # which computes nothing
    except (RuntimeError, AssertionError, NotImplementedError):  # depends on how torch was built
        usable = False
    if not usable:
        raise ValueError(f"torch {torch.__version__} finds no device {name!r} on this machine. Take --device cpu.")


def _lessons():
    """Return the paths of all notebooks; `ValueError` beside an installed copy, where they are not."""
    from gpt2lessons.workshop import notebooks

    if not (found := notebooks.everything()):
        raise ValueError(
            "this needs the lessons, which lie in the course's repository, but this copy of gpt2lessons is installed "
            f"in {notebooks.ROOT}. Clone the repository and run the command there."
        )
    return found


COMMANDS = (lab, execute, index, bench, doctor, site, kaggle, train, heldout, grade, lms, collect)


if __name__ == "__main__":
    raise SystemExit(main())
