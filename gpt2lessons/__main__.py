"""`python -m gpt2lessons COMMAND`: what the course can do from a shell."""

import argparse


def main(arguments=None):
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gpt2lessons", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("execute", help="run the notebooks from top to bottom and write them back clean")
    run.add_argument("paths", nargs="*", help="notebooks (default: all lessons)")
    run.add_argument("--model", default="gpt2-mini", help="the model that gl.load() takes (default: gpt2-mini)")
    run.add_argument("--check", action="store_true", help="run only: write nothing")
    options = parser.parse_args(arguments)
    return _execute(options)


def _execute(options):
    from pathlib import Path

    from gpt2lessons import notebooks

    for path in map(Path, options.paths) if options.paths else notebooks.lessons():
        print(path.name, flush=True)
        notebooks.execute(path.resolve(), model=options.model, write=not options.check)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
