"""What happens while a check runs a learner's code: errors show the learner's line, endless loops end, tries count."""

import functools
import linecache
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from gpt2lessons import checks
from gpt2lessons.checks import frame, guard
from gpt2lessons.checks.frame import WrongError, exercise

OURS = os.path.join(os.path.dirname(guard.__file__), "none.py")  # as if it were one of the package's files
needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")


@exercise("Halves")
def halves(answer):
    """A check that calls a learner's function twice."""
    if [answer(4), answer(0)] != [2, 0]:
        raise WrongError("that is not a half.", hint="A half, times two, is the whole.")
    return "halves they are."


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No tries so far, and a limit as on a learner's machine."""
    monkeypatch.setattr(frame, "_wrong", type(frame._wrong)())
    monkeypatch.setattr(guard, "_chosen", [])
    monkeypatch.delenv(guard.VARIABLE)


def cell(source, name="/tmp/ipykernel_1/2.py", **names):
    """Run `source` as a notebook's cell is run, and return what it binds."""
    lines = source.splitlines(keepends=True)
    linecache.cache[name] = (len(source), None, lines, name)
    names = {"__name__": "__main__"} | names
    exec(compile(source, name, "exec"), names)
    return names


# the line


def test_an_error_shows_the_learners_line():
    half = cell("def half(x):\n    y = x / (x * 0)\n    return y")["half"]
    assert halves(half).message == "your code stopped with ZeroDivisionError: division by zero\nline 2: y = x / (x * 0)"


def test_an_error_in_a_library_shows_the_line_that_called_it():
    half = cell("def half(x):\n    return torch.ones(2) @ torch.ones(3)", torch=torch)["half"]
    assert halves(half).message.endswith("\nline 2: return torch.ones(2) @ torch.ones(3)")
    half = cell("import json\ndef half(x):\n    return json.loads('{')")["half"]
    assert halves(half).message.endswith("\nline 3: return json.loads('{')")


def test_the_line_may_be_in_a_function_of_another_cell():
    helper = cell("def helper(x):\n    return x.half", "/tmp/ipykernel_1/1.py")["helper"]
    half = cell("def half(x):\n    return helper(x)", helper=helper)["half"]
    assert halves(half).message.endswith("\nline 2: return x.half")


def test_a_line_whose_text_is_not_known_has_its_number():
    names = {}
    exec("def half(x):\n    return x.half", names)
    assert halves(names["half"]).message.endswith("\nline 2")


def test_an_error_without_a_line_of_the_learners_shows_none():
    source = '@exercise("Called")\ndef called(answer):\n    return answer()'
    called = cell(source, OURS, exercise=exercise)["called"]
    assert called(3).message == "your code stopped with TypeError: 'int' object is not callable"


def test_a_missing_name_points_to_the_cells_above():
    verdict = halves(cell("def half(x):\n    return torch.tensor(x)")["half"])
    assert (
        verdict.message
        == "your code stopped with NameError: name 'torch' is not defined\nline 2: return torch.tensor(x)"
    )
    assert "Run the set-up cell" in verdict.hint


def test_which_files_are_a_learners():
    learners = ["/tmp/ipykernel_1/2.py", "/home/ada/my_lessons/helper.py", "<ipython-input-3-0>", "<string>", __file__]
    others = [torch.__file__, os.__file__, frame.__file__, functools.__file__, "<frozen importlib._bootstrap>"]
    others.append(r"C:\ada\site-packages\torch\nn.py")
    assert [guard.written_by_learner(file) for file in learners] == [True] * len(learners)
    assert [guard.written_by_learner(file) for file in others] == [False] * len(others)


# the limit

ENDLESS = "def half(x):\n    while True:\n        x = x"
STUBBORN = "def half(x):\n    while True:\n        try:\n            x = x\n        except Exception:\n            pass"


@needs_signals
@pytest.mark.parametrize("source", [ENDLESS, STUBBORN])
def test_an_endless_loop_is_stopped_with_a_sentence(source):
    guard.limit(0.1)
    before = signal.getsignal(signal.SIGALRM)
    verdict = halves(cell(source)["half"])
    assert verdict.status == "wrong"
    assert verdict.message.startswith(
        "your code was stopped after 0.1 seconds. Is there a loop that never ends?\nline "
    )
    assert verdict.hint == "If it only needs more time: gl.checks.limit(0.6). gl.checks.limit(None) lifts the limit."
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@needs_signals
def test_a_loop_that_catches_everything_is_stopped_by_the_next_look(monkeypatch):
    monkeypatch.setattr(guard, "_AGAIN", 0.05)
    guard.limit(0.05)
    inner = "        try:\n            while True: x = x\n        except: pass\n"
    source = f"def half(x):\n    for _ in range(2):\n{inner}    while True: x"
    assert "was stopped after 0.05 seconds" in halves(cell(source)["half"]).message


@needs_signals
def test_time_that_the_check_itself_takes_is_not_the_learners():
    source = """
@exercise("Slow")
def slow(answer):
    answer()
    time.sleep(0.3)
    return "slow, but done."
"""
    slow = cell(source, OURS, exercise=exercise, time=time)["slow"]
    guard.limit(0.1)
    assert slow(cell("def answer():\n    return 1")["answer"]).status == "right"


@needs_signals
def test_the_limit_ends_with_the_check():
    guard.limit(0.1)
    half = cell("def half(x):\n    return x / 2")["half"]
    assert halves(half).status == "right"
    time.sleep(0.2)  # a timer that was left behind would end the tests here
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@needs_signals
def test_a_timer_of_somebody_else_is_left_alone():
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        halves(cell("def half(x):\n    return x / 2")["half"])
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_there_is_no_limit_and_no_error():
    found = []
    half = cell("def half(x):\n    return x / 2")["half"]
    thread = threading.Thread(target=lambda: found.append(halves(half).status))
    thread.start()
    thread.join()
    assert found == ["right"]


def test_the_limit_is_ten_seconds_and_can_be_changed_or_lifted(monkeypatch):
    assert guard.seconds() == 10
    monkeypatch.setenv(guard.VARIABLE, "2.5")
    assert guard.seconds() == 2.5
    monkeypatch.setenv(guard.VARIABLE, "0")
    assert guard.seconds() is None
    monkeypatch.setenv(guard.VARIABLE, "soon")
    assert guard.seconds() == 10
    checks.limit(60)
    assert guard.seconds() == 60
    checks.limit(None)
    assert guard.seconds() is None


@pytest.mark.parametrize("seconds", [0, -1, True, "10", float("nan"), float("inf")])
def test_a_limit_that_is_none_gets_a_sentence(seconds):
    with pytest.raises(ValueError, match="a number of seconds above 0, or None"):
        checks.limit(seconds)


def test_an_interruption_says_where_and_nothing_of_the_checks_insides():
    half = cell("def half(x):\n    raise KeyboardInterrupt")["half"]
    with pytest.raises(KeyboardInterrupt, match="you stopped the check of 'Halves', at line 2: raise") as caught:
        halves(half)
    assert caught.value.__suppress_context__


# tries


def wrong(x):
    return x


def test_the_third_wrong_try_names_the_hint_until_one_is_right():
    onward = [halves(wrong).onward for _ in range(4)]
    assert onward[:2] == ["", ""]
    assert onward[2] == "3 tries so far. Open “Hint” below this cell: it says how to begin."
    assert onward[3].startswith("4 tries")
    assert halves(lambda x: x / 2).onward == ""
    assert halves(wrong).onward == ""


def test_stops_count_as_tries_and_unanswered_does_not():
    def todo(x):
        raise NotImplementedError

    for answer in (..., todo, ..., todo, wrong, 3):
        assert halves(answer).onward == ""
    assert halves(wrong).onward.startswith("3 tries")


def test_what_is_said_after_three_tries_is_shown():
    verdict = [halves(wrong) for _ in range(3)][-1]
    assert repr(verdict).splitlines()[-1].strip() == verdict.onward
    assert verdict._repr_html_().endswith(f"<br>{verdict.onward}</div>")


@needs_signals
def test_in_a_kernel_the_line_is_the_cells(tmp_path):
    """With IPython's own files for cells, in a process of its own."""
    code = """
from IPython.core.interactiveshell import InteractiveShell
from gpt2lessons import checks
shell = InteractiveShell()
shell.run_cell("import gpt2lessons as gl\\ngl.checks.limit(0.2)")
shell.run_cell("def pieces(encode, decode, text):\\n    while True:\\n        pass\\ngl.checks.start.pieces(pieces)")
shell.run_cell("def pieces(encode, decode, text):\\n    return 1 / 0\\ngl.checks.start.pieces(pieces)")
"""
    env = os.environ | {"IPYTHONDIR": str(tmp_path), "PYTHONIOENCODING": "utf8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, encoding="utf8", check=True)
    assert "your code was stopped after 0.2 seconds" in done.stdout
    assert "line 2: while True:" in done.stdout or "line 3: pass" in done.stdout
    assert "division by zero\nline 2: return 1 / 0" in done.stdout
