"""`python -m gpt2lessons COMMAND`: what the course can do from a shell."""

import argparse
from pathlib import Path


def main(arguments=None):
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gpt2lessons", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for run in (execute, index, bench, doctor, site, kaggle):
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        if run is execute:
            command.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all lessons)")
            command.add_argument("--model", default="gpt2-mini", help="what gl.load() takes (default: gpt2-mini)")
            command.add_argument("--check", action="store_true", help="run only: write nothing")
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
        if run in (site, kaggle):
            command.add_argument("--out", type=Path, required=True, help="the folder to write to")
    options = parser.parse_args(arguments)
    return options.run(options)


def execute(options):
    """Run the notebooks from top to bottom and write them back clean."""
    from gpt2lessons import notebooks

    for path in options.paths or notebooks.lessons():
        print(path.name, flush=True)
        notebooks.execute(path.resolve(), model=options.model, write=not options.check)
    return 0


def index(options):
    """Write what is derived from the notebooks: README's table and picture, COVERAGE.md's last column."""
    from gpt2lessons import index as derived

    derived.write()
    return 0


def bench(options):
    """Compare the speed of our decoding loop with transformers' on this machine, or measure the lessons' memory."""
    if options.memory:
        from gpt2lessons import bench_memory

        return bench_memory.run(options.memory)
    from gpt2lessons import bench as measurements

    return measurements.run(quick=options.quick)


def doctor(options):
    """Look at this machine: versions, memory, disk, model files; name what is missing and the command that mends it."""
    from gpt2lessons import doctor as examination

    return examination.report()


def site(options):
    """Write a static copy of the lessons, HTML pages to read without running them."""
    from gpt2lessons import site as pages

    print(*pages.write(options.out), sep="\n")
    return 0


def kaggle(options):
    """Write the course for Kaggle: a dataset with its wheel, a kernel per lesson; print what publishes them."""
    from gpt2lessons import kaggle as publishing

    print(*publishing.write(options.out, options.user, wheels_for=options.wheels_for, model=options.model), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
