"""What a lesson has to be so that a learner can finish it: its length, predictions, exercises, words and formats.

Each rule is a function `notebook (a dict) -> [sentence about what is wrong]`; `broken` applies them all. What needs
running, the answers of the checks, is in the tests.
"""

import ast
import json
import re
from numbers import Number

from gpt2lessons.workshop import launch, notebooks, spoilers

LIMIT, LONG = 60, dict.fromkeys(("01", "10", "11", "12"), 75) | {"05": 70, "13": 65}  # minutes
TOLERANCE = 0.1  # of the stated minutes
LINE = 88  # characters of a line of code or of a printed line
PREDICTIONS = range(2, 4)
REMEMBERED = 5
DECIDE = "# click the dots when you have decided"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
_TITLE = re.compile(r"### Exercise (\d+) · (\S.*) \((●○○|●●○|●●●), (\d+) minutes\)$")
_LINK = re.compile(r"\]\(([\w./-]+\.ipynb)(?:#[^)]*)?\)")
_EMPTY_WORDS = re.compile(
    r"\b(?:lots|lotter(?:y|ies)|tombola|tickets?|luck|(?:un)?luck(?:y|ily)|dice|thousand million|the original)\b"
    r"|(?<!scaling )(?<!power )(?<!Zipf's )(?<!Heaps' )(?<!Goodhart's )(?<!copyright )\blaws?\b(?! of large numbers)",
    re.I,
)
_FORMULAS = (
    re.compile(r"\b[pPqQ]\([^()\n]*[|∣][^()\n]*\)"),  # p(x | y)
    re.compile(r"\b[pPqQHD]\([^()\n]*\)\s*="),  # H(p) =
    re.compile(r"[∑∏√∫]"),
    re.compile(r"[=≈≤≥] *[-−]?(?:ln|log|exp) ?\(?\w"),  # loss = −ln p
    re.compile(r"\be\^|\w\^[-−({\w]"),  # e^x, x^2
)
_SAYS = (
    r"(?:also |always |never |often |really |then )?"
    r"(?:answers?|assigns?|believes?|chooses?|continues?|expects?|finds?|gives?|invents?|knows|likes|prefers?|predicts?|"
    r"prints?|puts?|repeats?|says?|thinks?|wants|writes|wrote)"
)
_HAS = (
    r"(?:\w+ )?(?:answers?|choices?|continuations?|distributions?|favourites?|guess(?:es)?|logits|opinions?|"
    r"predictions?|probabilit(?:y|ies)|texts?|top)"
)
_BEHAVES = re.compile(rf"\bGPT-2 {_SAYS}\b|\bGPT-2's {_HAS}\b|^#+ .*\b(?:on|with|by) GPT-2\b", re.M)
_REAL = re.compile(r"recorded|published|the real GPT-2|paper", re.I)


def broken(notebook, name, *, said_of_gpt2=()):
    """Return which rules the notebook (a dict) called `name` (without .ipynb) breaks, one sentence each; [] if none.

    `name` is "03_next_token", or "deeper/post_ln" for an optional notebook, which need not have predictions, exercises
    or the common end. `said_of_gpt2` holds the ids of the cells that may say what GPT-2 does.
    """
    core = not name.startswith("deeper/")
    found = minutes_problems(notebook, LONG.get(name[:2], LIMIT))
    found += prediction_problems(notebook, wanted=PREDICTIONS if core else range(4))
    found += exercise_problems(notebook, fewest=3 if core else 0) + spoiler_problems(notebook)
    found += wide_lines(notebook) + empty_words(notebook) + plain_formulas(notebook)
    found += gpt2_problems(notebook, said_of_gpt2) + metadata_problems(notebook)
    return found + (end_problems(notebook, name) if core else [])


def minutes(notebook):
    """Return how long a learner needs: 180 words a minute, 7 seconds a line of code, 15 a cell, and the exercises."""
    prose = [_prose(cell) for cell in _markdown(notebook)]
    code = [_source(cell) for cell in _code(notebook)]
    words = sum(len(re.findall(r"\w+", text)) for text in prose)
    lines = sum(len(text.splitlines()) for text in code)
    return words / 180 + 0.12 * lines + 0.25 * len(code) + sum(int(title[4]) for _, title in _titles(notebook) if title)


def minutes_problems(notebook, limit):
    """The first cell states the minutes: within 10 % of `minutes`, and at most `limit`."""
    stated = re.search(r"(\d+) minutes", _source(notebook["cells"][0]))
    if not stated:
        return ["the first cell does not say how many minutes the lesson takes"]
    stated, computed, found = int(stated[1]), minutes(notebook), []
    if abs(stated - computed) > TOLERANCE * stated:
        found.append(f"says {stated} minutes, takes {computed:.1f}")
    if stated > limit:
        found.append(f"says {stated} minutes, at most {limit} are allowed")
    return found


def prediction_problems(notebook, wanted=PREDICTIONS):
    """**Predict.** with options; a cell tagged `answer`, its outputs hidden; a reaction inside <details>."""
    cells, found, asked, answers = notebook["cells"], [], 0, set()
    for place, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        text = _prose(cell)
        if re.search(r"\bPredict\b", text.replace("**Predict.**", "")):
            found.append(f"cell {cell['id']}: a prediction is written **Predict.** and nothing else is called Predict")
        if "**Predict.**" not in text:
            continue
        asked += 1
        if not re.search(r"\(a\)\s.*\(b\)\s", text, re.S):
            found.append(f"cell {cell['id']}: the prediction has no options (a), (b) …")
        answer, reaction = [*cells[place + 1 : place + 3], {}, {}][:2]
        if answer.get("cell_type") != "code" or "answer" not in _tags(answer):
            found.append(f"cell {cell['id']}: the next cell must be code tagged `answer`")
            continue
        answers.add(answer["id"])
        if not answer["metadata"].get("jupyter", {}).get("outputs_hidden"):
            found.append(f'cell {answer["id"]}: its metadata need "jupyter": {{"outputs_hidden": true}}')
        if not _source(answer).lower().startswith(DECIDE):
            found.append(f"cell {answer['id']}: its first line must be `{DECIDE}`")
        if reaction.get("cell_type") != "markdown" or not _source(reaction).startswith("<details>"):
            found.append(f"cell {answer['id']}: the next cell must react to it inside <details>")
    if asked not in wanted:
        found.append(f"{asked} predictions, {wanted.start} to {wanted.stop - 1} are wanted")
    lonely = [c["id"] for c in _code(notebook) if "answer" in _tags(c) and c["id"] not in answers]
    return found + [f"cell {name} is tagged `answer`, but no prediction stands before it" for name in lonely]


def exercise_problems(notebook, fewest=3):
    """Three cells each, one format of title, numbered from 1; at least half of the exercises are functions."""
    cells, found, functions = notebook["cells"], [], 0
    stubs = [(place, cell["id"]) for place, cell in enumerate(cells) if re.fullmatch(r"ex\d+", cell["id"])]
    if not fewest <= len(stubs) <= 5:
        found.append(f"{len(stubs)} exercises, {fewest} to 5 are wanted")
    if [name for _, name in stubs] != [f"ex{number}" for number in range(1, len(stubs) + 1)]:
        found.append("exercises must be numbered ex1, ex2, … in the order in which they stand")
    for place, name in stubs:
        around = [cell["id"] for cell in cells[max(place - 1, 0) : place + 2]]
        if around != [f"{name}-task", name, f"{name}-help"]:
            found.append(f"{name} must stand between {name}-task and {name}-help")
            continue
        help_, stub = _source(cells[place + 1]), _source(cells[place])
        if re.findall(r"<details><summary>(.*?)</summary>", help_) != ["Hint", "Solution"]:
            found.append(f"{name}-help must be two <details>, whose summaries are Hint and Solution")
        if len(_FENCED.findall(help_)) < 1 or not stub.rstrip().splitlines()[-1].startswith("gl.checks."):
            found.append(f"{name}: the stub ends with its check, gl.checks.…, and the solution is a fenced block")
        functions += any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(stub)))
    for name, title in _titles(notebook):
        if not title or f"ex{title[1]}-task" != name:
            found.append(f"{name} must begin with: ### Exercise {name[2:-5]} · Title (●●○, M minutes)")
    if 2 * functions < len(stubs):
        found.append(f"{functions} of {len(stubs)} exercises are functions, at least half are wanted")
    return found


def spoiler_problems(notebook):
    """Nothing above a stub contains its solution."""
    above, found, cells = [], [], {cell["id"]: cell for cell in notebook["cells"]}
    for cell in notebook["cells"]:
        if re.fullmatch(r"ex\d+", cell["id"]) and f"{cell['id']}-help" in cells:
            solution = _blocks(cells[f"{cell['id']}-help"])[-1:]
            for shown in spoilers.shown_by(above, "".join(solution), _source(cell)):
                found.append(f"{cell['id']}: its solution stands above it: {shown.splitlines()[0]:.80}")
        above += [_source(cell)] if cell["cell_type"] == "code" else _blocks(cell)
    return found


def wide_lines(notebook):
    """No line of code, and no printed line, is longer than fits a page: longer ones break within a word."""
    found = []
    for cell in _written(notebook):
        blocks = [_source(cell)] if cell["cell_type"] == "code" else _blocks(cell)
        longest = max((len(line) for block in blocks for line in block.splitlines()), default=0)
        if longest > LINE:
            found.append(f"cell {cell['id']} has a line of code of {longest} characters, at most {LINE} are allowed")
        printed = max((len(line) for text in _printed(cell) for line in text.splitlines()), default=0)
        if printed > LINE and cell["id"] != "setup":  # which shows what `gl.load` says
            found.append(f"cell {cell['id']} prints a line of {printed} characters: break it at words, {LINE} at most")
    return found


def empty_words(notebook):
    """Words that stand for nothing in the field, or that are not its word."""
    return [
        f"cell {cell['id']} says {match[0]!r}"
        for cell in _written(notebook)
        for match in _EMPTY_WORDS.finditer(re.sub(r"\]\([^)]*\)", "]", _source(cell)))
    ]


def plain_formulas(notebook):
    """Formulas stand between dollar signs, not in backticks and not as plain text."""
    found = []
    for cell in _markdown(notebook):
        text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", " ", _prose(cell), flags=re.S)
        for match in filter(None, (pattern.search(text) for pattern in _FORMULAS)):
            found.append(f"cell {cell['id']}: a formula is written in LaTeX, not as {match[0]!r}")
    return found


def gpt2_problems(notebook, allowed=()):
    """What GPT-2 does is said of recorded or published answers of the real one; the small model is "gpt2-mini"."""
    found = []
    for cell in _written(notebook):
        text = _source(cell)
        if cell["id"] in allowed or _REAL.search(text):
            continue
        if cell["cell_type"] == "code" and re.search(r"""["'][^"'\n]*\bGPT-2\b""", text):
            found.append(f"cell {cell['id']} labels something GPT-2 that is not recorded")
        if cell["cell_type"] == "markdown" and (match := _BEHAVES.search(_prose(cell))):
            found.append(f"cell {cell['id']} says {match[0]!r}: of gpt2-mini, or of the real GPT-2's recorded answers?")
    return found


def metadata_problems(notebook):
    """What `execute` writes: help is read-only, and JupyterLab has nothing to add when it opens the notebook."""
    found = [
        f"cell {cell['id']} needs the metadata editable: false (`python -m gpt2lessons execute` writes it)"
        for cell in notebook["cells"]
        if notebooks.HELP_ID.fullmatch(cell["id"]) and cell["metadata"].get("editable") is not False
    ]
    if notebook["metadata"] != {"kernelspec": notebooks.KERNEL, "language_info": notebooks.LANGUAGE}:
        found.append("kernel or language are not as JupyterLab writes them (`python -m gpt2lessons execute` does)")
    return found


def end_problems(notebook, name):
    """The last cell: what to remember, at most five lines; links to the next lesson and to the glossary."""
    last = notebook["cells"][-1]
    text = _source(last)
    if last["id"] != "remember" or not text.startswith("## Remember\n"):
        return ["the last cell must be `remember`, and begin with ## Remember"]
    found = []
    lines = [line for line in text.splitlines() if re.match(r"[-*] |\d+\. ", line) and not _LINK.search(line)]
    if not 1 <= len(lines) <= REMEMBERED:
        found.append(f"{len(lines)} lines to remember, 1 to {REMEMBERED} are wanted (a list)")
    links, number = _LINK.findall(text), int(name[:2])
    if number < 13 and not any(link.startswith(f"{number + 1:02}_") for link in links):
        found.append(f"the end has no link to lesson {number + 1:02}")
    if "glossary.ipynb" not in links:
        found.append("the end has no link to glossary.ipynb")
    return found


def deeper_links(notebook):
    """Return the names of the optional notebooks, "deeper/…", to which a lesson's last cell links."""
    links = _LINK.findall(_source(notebook["cells"][-1]))
    return {link.removesuffix(".ipynb") for link in links if link.startswith("deeper/")}


def wrong_numbers(right):
    """Return numbers near `right`, and far from it, none of which is right."""
    near = [right + 1, right - 1, 2 * right, right / 2, 10 * right, 10 * right + 100, -right, 0]
    return [number for number in dict.fromkeys(map(type(right), near)) if number != right]


def shows(message, right):
    """Does `message` show the number `right`, rounded however it is printed?"""
    for text in re.findall(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", message):
        digits = text.replace(",", "").replace("−", "-")
        decimals = len(digits.partition("e")[0].partition(".")[2])
        if float(digits) == right or (decimals >= 2 and float(digits) == round(float(right), decimals)):
            return True
    return False


def asked_numbers(stub, values):
    """Return {name: number} of what `stub` leaves open (`name = ...`) and `values` answers by a number."""
    names = [
        node.targets[0].id
        for node in ast.parse(stub).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is ...
    ]
    return {n: values[n] for n in names if isinstance(values[n], Number) and not isinstance(values[n], bool)}


def read(path):
    """Return the notebook at `path` as a dict."""
    return json.loads(path.read_text("utf8"))


def _source(cell):
    return "".join(cell["source"])


def _prose(cell):
    """A markdown cell's text without fenced blocks."""
    return _FENCED.sub("", _source(cell))


def _blocks(cell):
    """The Python blocks in a markdown cell."""
    return [text for language, text in _FENCED.findall(_source(cell)) if language == "python"]


def _tags(cell):
    return cell["metadata"].get("tags", [])


def _markdown(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def _code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and _source(cell).strip()]


def _written(notebook):
    """The cells that are not made by `launch`."""
    return [cell for cell in notebook["cells"] if cell["id"] not in (launch.LINKS_ID, launch.CELL_ID)]


def _titles(notebook):
    """(cell id, match of its first line) of the tasks."""
    tasks = [cell for cell in notebook["cells"] if re.fullmatch(r"ex\d+-task", cell["id"])]
    return [(cell["id"], _TITLE.match(_source(cell).partition("\n")[0])) for cell in tasks]


def _printed(cell):
    """What a cell prints or shows as text and nothing else."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output["output_type"] == "stream" and output["name"] == "stdout":
            found.append("".join(output["text"]))
        elif set(data) == {"text/plain"}:
            found.append("".join(data["text/plain"]))
    return found
