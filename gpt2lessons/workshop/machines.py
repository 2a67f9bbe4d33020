"""Do the saved outputs hold on other machines? `python -m gpt2lessons execute --check --machines`.

Each notebook runs under settings that make this processor calculate like another one (other vector
instructions, other numbers of threads, other kernels) or that make it another place (language, width
of the terminal, time zone). What it prints is compared with what is saved.
"""

import concurrent.futures
import functools
import re

from gpt2lessons.workshop import notebooks

_MATH = "import torch; torch.backends.cuda.enable_flash_sdp(False); torch.backends.cuda.enable_mem_efficient_sdp(False)"
# name -> (environment of the kernel, code that runs before the first cell)
MACHINES = {
    "this one": ({}, ""),
    "no vectors": ({"ATEN_CPU_CAPABILITY": "default"}, ""),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2"}, ""),
    "avx512": ({"ATEN_CPU_CAPABILITY": "avx512"}, ""),
    "1 thread": ({"OMP_NUM_THREADS": "1"}, ""),
    "2 threads": ({"OMP_NUM_THREADS": "2"}, ""),
    "4 threads": ({"OMP_NUM_THREADS": "4"}, ""),
    "compatible": ({"MKL_CBWR": "COMPATIBLE"}, ""),
    "sse4.2": ({"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}, ""),
    "math attention": ({}, _MATH),
    "elsewhere": ({"LANG": "C", "LC_ALL": "C", "COLUMNS": "60", "TZ": "Asia/Kolkata"}, ""),
    # several at once: what differs here differs in one of the above
    "old": (
        {
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_CBWR": "COMPATIBLE",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "OMP_NUM_THREADS": "1",
            "LANG": "C",
            "LC_ALL": "C",
            "COLUMNS": "60",
            "TZ": "Asia/Kolkata",
        },
        _MATH,
    ),
    "new": ({"ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "4"}, ""),
}
_TEXTS = ("text/plain", "text/html", "text/markdown")


@functools.cache
def _sanitizers():
    """The rules of tests/nbval_sanitize.cfg, as [(pattern, replacement)]."""
    text = (notebooks.ROOT / "tests" / "nbval_sanitize.cfg").read_text("utf8")
    rules = re.findall(r"^regex: (.*)\nreplace: (.*)$", text, re.M)
    return [(re.compile(pattern), replacement) for pattern, replacement in rules]


def printed(cell):
    """Return what a code cell prints and shows, as nbval compares it: texts, without what changes by itself."""
    found = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            text = "".join(output["text"])
            if found and found[-1][0] == output["name"]:  # where a stream breaks depends on timing
                text = found.pop()[1] + text
            found.append((output["name"], text))
        elif output["output_type"] == "error":
            found.append(("error", f"{output['ename']}: {output['evalue']}"))
        else:
            data = output["data"]
            found += [(kind, "".join(data[kind])) for kind in _TEXTS if kind in data]
    texts = []
    for kind, text in found:
        for pattern, replacement in _sanitizers():
            text = pattern.sub(replacement, text)
        texts.append((kind, text))
    return texts


def differing(path, machine):
    """Return (ids of cells that print something else, ids of those among them tagged nbval-ignore-output).

    A cell that fails ends the run; it is named with a "!".
    """
    import nbformat
    from nbclient.exceptions import CellExecutionError

    saved = notebooks.code_cells(nbformat.read(path, as_version=4))
    env, first = MACHINES[machine]
    try:
        run = notebooks.execute(path, write=False, env=env, first=first)
    except CellExecutionError as error:
        return [f"! {error.ename}: {error.evalue}"[:80]], []
    found, ignored = [], []
    for old, new in zip(saved, notebooks.code_cells(run), strict=True):
        if printed(old) == printed(new):
            continue
        tagged = "nbval-ignore-output" in old["metadata"].get("tags", [])
        (ignored if tagged else found).append(old["id"])
    return found, ignored


def table(paths, machines=tuple(MACHINES), *, jobs=2):
    """Yield the lines of a table, notebook by machine: how many cells differ, and which."""
    width = max(len(notebooks.name_of(path)) for path in paths) + 2
    yield "".join([f"{'':{width}}", *(f"{machine:>16}" for machine in machines)])
    totals, names = dict.fromkeys(machines, 0), []
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        rows = {path: [pool.submit(differing, path, machine) for machine in machines] for path in paths}
        for path, futures in rows.items():
            cells = []
            for machine, future in zip(machines, futures, strict=True):
                found, ignored = future.result()
                cells.append(str(len(found)) + (f" (+{len(ignored)})" if ignored else ""))
                totals[machine] += len(found)
                names += [f"{notebooks.name_of(path)} on {machine}: {', '.join(found)}"] if found else []
            yield "".join([f"{notebooks.name_of(path):{width}}", *(f"{cell:>16}" for cell in cells)])
    yield "".join([f"{'all':{width}}", *(f"{total:>16}" for total in totals.values())])
    yield "In brackets: cells that are not compared, because they print times or versions."
    yield from names
