"""A line per file as soon as it is done, in place of a dot per test: what README's command shows."""

import time

_running = {}  # worker -> [file, passed, skipped, failed, start]
_write = []


def pytest_sessionstart(session):
    """Keep where to write; with -v pytest's own lines are shown."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and config.option.verbose <= 0 and not hasattr(config, "workerinput"):
        _write.append(reporter.write_line)


def pytest_report_teststatus(report):
    """No letter for a test that passes or is skipped; they are counted in their file's line."""
    if not _write or report.failed:
        return None
    if report.when == "call" and report.passed:
        return "passed", "", "PASSED"
    if report.skipped and not hasattr(report, "wasxfail"):
        return "skipped", "", "SKIPPED"
    return None


def pytest_runtest_logreport(report):
    """Count a test; when its worker comes to another file, say how the last one went."""
    if not _write:
        return
    worker = getattr(report, "node", None)
    file = report.nodeid.partition("::")[0]
    if _running.get(worker, [None])[0] != file:
        _say(worker)
        _running[worker] = [file, 0, 0, 0, time.monotonic()]
    counts = _running[worker]
    counts[1] += report.when == "call" and report.passed
    counts[2] += report.skipped
    counts[3] += report.failed


def pytest_sessionfinish():
    """Say how the last files went."""
    for worker in list(_running):
        _say(worker)


def _say(worker):
    file, passed, skipped, failed, start = _running.pop(worker, [None] * 5)
    if file is None:
        return
    numbers = {"passed": passed, "skipped": skipped, "FAILED": failed}
    text = ", ".join(f"{n} {name}" for name, n in numbers.items() if n)
    _write[0](f"{file:64} {text}, {time.monotonic() - start:.0f} s")
