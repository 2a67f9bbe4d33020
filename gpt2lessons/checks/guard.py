"""While a check runs a learner's code: not longer than a limit, and with the line where it stopped."""

import contextlib
import linecache
import math
import os
import signal
import sysconfig
import threading
import traceback

SECONDS, VARIABLE = 10.0, "GPT2LESSONS_SECONDS"
_AGAIN = 0.5  # seconds until the next look, where the check's own code was running
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_chosen = []


class TooLongError(BaseException):
    """Raised in a learner's code when its time is over; no `except Exception` of theirs holds it up."""


def limit(seconds):
    """Let the code of an exercise run for `seconds` from now on; `None` lifts the limit (default: 10).

    The environment variable GPT2LESSONS_SECONDS says the same, 0 for no limit. Raises `ValueError` for what is no
    positive number.
    """
    whole = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (whole and math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"the limit is a number of seconds above 0, or None for no limit; not {seconds!r}.")
    _chosen[:] = [seconds]


def seconds():
    """Return the limit that holds, None if there is none."""
    if _chosen:
        return _chosen[0]
    try:
        return float(os.environ.get(VARIABLE, SECONDS)) or None
    except ValueError:
        return SECONDS


@contextlib.contextmanager
def limited(caller):
    """Raise `TooLongError` in the learner's code when the limit is over; `caller` is the code object of the check.

    Time is kept by a signal, so there is no limit on Windows, outside the main thread, or where a timer runs already.
    """
    allowed = seconds()
    if allowed is None or not _can_be_stopped():
        yield
        return

    def stop(_signal, frame):
        while frame is not None and frame.f_code is not caller:
            if written_by_learner(frame.f_code.co_filename):
                raise TooLongError
            frame = frame.f_back

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, allowed, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def _can_be_stopped():
    main = threading.current_thread() is threading.main_thread()
    return main and hasattr(signal, "setitimer") and not signal.getitimer(signal.ITIMER_REAL)[0]


def written_by_learner(file):
    """Is `file`, the file name of a code object, neither ours nor a library's nor Python's own?"""
    ours = file.startswith((_PACKAGE, "<frozen", "<__array_function__"))
    parts = file.replace("\\", "/").split("/")
    return not (ours or file.startswith(_LIBRARIES) or {"site-packages", "dist-packages"} & set(parts))


def line_of(error):
    """Return "line 3: return x / 0" for the last of the learner's lines that led to `error`; "" if none did.

    Lines count within their cell. Where the text of the line is not known, its number stands alone.
    """
    last = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if written_by_learner(file):
            text = linecache.getline(file, number, frame.f_globals).strip()
            last = f"line {number}: {text}" if text else f"line {number}"
    return last
