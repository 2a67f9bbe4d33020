"""How fast our decoding loop is, beside transformers' `generate`, on this machine: `python -m gpt2lessons bench`.

Both write the same number of tokens with the same weights, in turns, in one process; the figures are medians over the
turns, and the ratio is the median of the ratios, so that whatever else the machine does weighs on both. With one
text at a time every step has to read all weights once, so that the memory's speed sets a limit that no program can
beat; the table says how close each side comes to it. Peak memory is taken in a process of its own for each side.
"""

import json
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from gpt2lessons.decoding.generation import generate
from gpt2lessons.gpt2 import GPT2, GPT2Config
from gpt2lessons.training import make_mini

STRATEGIES = {
    "greedy": {},
    "top-k 50, top-p 0.9": {"do_sample": True, "top_k": 50, "top_p": 0.9},
    "top-p 0.9": {"do_sample": True, "top_p": 0.9},
}
PROMPT_TOKENS = 16


@dataclass(frozen=True)
class Case:
    """One line of the table: which model writes how many tokens of how many texts, and how."""

    model: str
    strategy: str
    batch: int
    use_cache: bool
    new_tokens: int


@dataclass(frozen=True)
class Result:
    """Seconds per run of each side, turn by turn, and how many greedy tokens were the same."""

    case: Case
    ours: list
    theirs: list
    same: float

    @property
    def ratio(self):
        """How many times as fast ours is: the median over the turns."""
        return statistics.median(t / o for o, t in zip(self.ours, self.theirs, strict=True))

    def tokens_per_second(self, side):
        """Tokens per second of `side`, "ours" or "theirs", all texts of the batch together."""
        return self.case.batch * self.case.new_tokens / statistics.median(getattr(self, side))

    def share_of_limit(self, side, weight_bytes, bandwidth):
        """How much of the memory's speed `side` uses when every step reads all weights once."""
        return weight_bytes * self.case.new_tokens / statistics.median(getattr(self, side)) / bandwidth


def cases(*, quick=False):
    """Return the `Case`s of the table; `quick` leaves out the large model's slow ones."""
    found = []
    for model, length in (("mini", 64), ("124M", 24)):
        for batch in (1, 32):
            for use_cache in (True, False):
                for strategy in STRATEGIES:
                    few = 8 if batch > 1 or not use_cache else 12
                    new = length if use_cache and batch == 1 else length // 3
                    slow = model == "124M" and (batch > 1 or not use_cache)
                    if not (quick and (slow or strategy == "top-p 0.9")):
                        found.append(Case(model, strategy, batch, use_cache, few if quick else new))
    return found


def models(name):
    """Return (our GPT-2, transformers' model) with the same weights: "mini", or a random one of 124M parameters."""
    if name == "mini":
        from gpt2lessons.loading.models import load

        theirs = load("gpt2-mini").model
    else:
        theirs = random_gpt2()
    theirs.generation_config.eos_token_id = theirs.config.eos_token_id = None  # all texts get their full length
    return GPT2.from_transformers(theirs), theirs


def random_gpt2():
    """Return transformers' model in the shape of GPT-2 small (124M parameters), with random weights."""
    import transformers

    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()


def write(side, model, ids, case):
    """Let one side continue `ids` (B, T); return the texts (B, T + N)."""
    settings = STRATEGIES[case.strategy]
    if side == "ours":
        return generate(model, ids, max_new_tokens=case.new_tokens, use_cache=case.use_cache, **settings).sequences
    settings = {"do_sample": False, **settings}
    if settings["do_sample"]:
        settings.setdefault("top_k", 0)  # transformers' own default is 50
    return model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=case.new_tokens, use_cache=case.use_cache,
        pad_token_id=0, **settings,
    )  # fmt: skip


def measure(case, ours, theirs, *, turns):
    """Return the `Result` of `turns` turns, each side beginning every other time, after one that is not counted."""
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(ours.config.vocab_size, (case.batch, PROMPT_TOKENS), generator=rng)
    sides = {"ours": ours, "theirs": theirs}
    texts = {side: write(side, model, ids, case) for side, model in sides.items()}
    same = (texts["ours"] == texts["theirs"])[:, PROMPT_TOKENS:].float().mean().item()
    seconds = {"ours": [], "theirs": []}
    for turn in range(turns):
        for side in sorted(sides, reverse=turn % 2 == 1):
            start = time.perf_counter()
            write(side, sides[side], ids, case)
            seconds[side].append(time.perf_counter() - start)
    return Result(case, seconds["ours"], seconds["theirs"], same)


def bandwidth(megabytes=512):
    """Return how many bytes per second this machine reads: the best of ten multiplications of a large matrix."""
    matrix, vector = torch.ones(megabytes * 256, 1024), torch.ones(1024)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        torch.mv(matrix, vector)
        best = min(best, time.perf_counter() - start)
    return matrix.numel() * 4 / best


def step_bytes(model):
    """Return how many bytes of weights a step has to read: all but the rows of the position table."""
    return sum(p.numel() * p.element_size() for name, p in model.named_parameters() if name != "wpe.weight")


def peak_memory(side, model, batch=32):
    """Return the peak memory in bytes of a fresh process in which one `side` alone has the model and samples."""
    code = f"from gpt2lessons.workshop import bench; bench.report_memory({side!r}, {model!r}, {batch})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report_memory(side, name, batch):
    """Write a few texts with one side only and print the peak memory of this process in bytes."""
    size = asdict(make_mini.sizes()) if name == "mini" else {}
    torch.manual_seed(0)
    with torch.no_grad():
        if side == "ours":
            model = GPT2(GPT2Config(**size)).eval()
        else:
            import transformers

            model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**size)).eval()
            model.generation_config.eos_token_id = model.config.eos_token_id = None
    vocab_size = model.config.vocab_size
    ids = torch.randint(vocab_size, (batch, PROMPT_TOKENS), generator=torch.Generator().manual_seed(0))
    write(side, model, ids, Case(name, "top-k 50, top-p 0.9", batch, True, 16))
    print(json.dumps(peak_so_far()))


def peak_so_far():
    """Return the most memory in bytes that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent process held when it started this one
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf8"))[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def line(result, weight_bytes, speed):
    """Return the table's line for `result`."""
    case = result.case
    cells = f"{case.model:5} {case.strategy:20} {case.batch:5} {'on' if case.use_cache else 'off':>6}"
    cells += f" {result.tokens_per_second('ours'):9.1f} {result.tokens_per_second('theirs'):13.1f} {result.ratio:6.2f}"
    if case.batch == 1 and case.use_cache:
        shares = (result.share_of_limit(side, weight_bytes, speed) for side in ("ours", "theirs"))
        cells += "".join(f" {share:8.0%}" for share in shares)
    return cells + (f"   {result.same:.0%} of the tokens equal" if case.strategy == "greedy" else "")


def run(*, quick=False, turns=None):
    """Measure everything and print the table; returns the exit code 0."""
    turns = turns or (3 if quick else 7)
    speed = bandwidth(128 if quick else 512)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), memory read at {speed / 1e9:.1f} GB/s")
    print(f"medians of {turns} turns; tokens per second of the whole batch; ratio = how many times as fast ours is\n")
    print(
        f"{'model':5} {'strategy':20} {'batch':>5} {'cache':>6} {'ours':>9} {'transformers':>13} {'ratio':>6}", end=" "
    )
    print("limit: ours / theirs", flush=True)
    table = cases(quick=quick)
    for name in dict.fromkeys(case.model for case in table):
        ours, theirs = models(name)
        for case in table:
            if case.model == name:
                print(line(measure(case, ours, theirs, turns=turns), step_bytes(ours), speed), flush=True)
    print("\npeak memory of a process that samples 32 texts (MB)")
    for name in dict.fromkeys(case.model for case in table):
        ours, theirs = (peak_memory(side, name) / 1e6 for side in ("ours", "theirs"))
        print(f"{name:5} ours {ours:7.0f}   transformers {theirs:7.0f}", flush=True)
    print("\ntuning: texts per second, written and scored, 27 settings in one sweep and one after another")
    for name in dict.fromkeys(case.model for case in table):
        sweep, loop, ratio = tuning_speed(name)
        print(f"sweep {name:5} ours {sweep:7.2f}   transformers {loop:7.2f}   ratio {ratio:.1f}", flush=True)
    return 0


def tuning_speed(name):
    """Return (sweep's, loop's, ratio) texts per second; the 124M model writes fewer and shorter texts."""
    from gpt2lessons.loading.models import LanguageModel, load
    from gpt2lessons.workshop.speed import texts_per_second

    mini = load("gpt2-mini")
    if name == "mini":
        mini.model.generation_config.eos_token_id = None
        return texts_per_second(mini, samples_per_setting=4, max_new_tokens=40, loop_settings=9)
    # the mini's tokenizer writes the prompt; what random weights answer is not worth reading
    large = type("Wordless", (LanguageModel,), {"decode": lambda self, ids: ""})
    lm = large(models(name)[1], mini.tokenizer, name, "random weights")
    return texts_per_second(lm, samples_per_setting=1, max_new_tokens=16, loop_settings=3)
