"""The Hugging Face hub: what its cache on this machine holds, and a download that can be cancelled and continued.

Only `download` uses the network. It keeps what came so far, so that asking again continues, and puts the files
where every other Hugging Face library finds them too. `huggingface_hub` itself starts over after an interruption.
"""

import errno
import functools
import json
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from gpt2lessons import checksums

PATIENCE = 10  # seconds until a hub that does not answer counts as out of reach
_OPTIONAL = ("tokenizer_config.json", "generation_config.json")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Checkpoint:
    """A member of the GPT-2 family on the hub, at a commit, with the SHA-256 of its weights where it is known."""

    repo: str
    revision: str
    n_layer: int
    n_embd: int
    megabytes: int
    licence: str
    sha256: str | None = None


FAMILY = {
    "distilgpt2": Checkpoint(
        "distilbert/distilgpt2",
        "2290a62682d06624634c1f46a6ad5be0f47f38aa",
        *(6, 768, 353, "Apache 2.0"),
        "e1ff18884359fe8beb795a5f414feb85a6ce3d929ad019c0d958c039d2b94a1b",
    ),
    "gpt2": Checkpoint(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        *(12, 768, 548, "MIT"),
        "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    "gpt2-medium": Checkpoint(
        "openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da", 24, 1024, 1520, "MIT"
    ),
    "gpt2-large": Checkpoint(
        "openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519", 36, 1280, 3247, "MIT"
    ),
}


class CancelledError(Exception):
    """Raised by `download` when its `cancel` event is set; what came so far is kept."""


def is_offline():
    """Return whether the variables of the environment forbid the network."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def cache_folder():
    """Return the folder of the Hugging Face cache, as its libraries choose it; it need not exist."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser() / "hub"


def is_complete(folder):
    """Return whether `folder` has all that a model needs: configuration, tokenizer, safetensors."""
    if not (folder / "config.json").is_file():
        return False
    if not (folder / "tokenizer.json").is_file() and not all(
        (folder / f).is_file() for f in ("vocab.json", "merges.txt")
    ):
        return False
    if (folder / _WEIGHTS).is_file():
        return True
    try:
        return all((folder / name).is_file() for name in _shards(folder / _INDEX))
    except (OSError, ValueError):
        return False


def find_cached(repo, revision=None):
    """Return the folder of a complete copy in the cache, or None; `revision` first, then main, then the newest."""
    for name in dict.fromkeys([repo, repo.rpartition("/")[2]]):  # the family had short names until 2024
        storage = cache_folder() / f"models--{name.replace('/', '--')}"
        if (name != repo and repo not in {c.repo for c in FAMILY.values()}) or not storage.is_dir():
            continue
        main = storage / "refs" / "main"
        wanted = [revision, main.read_text("utf8").strip() if main.is_file() else None]
        newest = sorted(storage.glob("snapshots/*"), key=lambda p: p.stat().st_mtime, reverse=True)
        for folder in [*(storage / "snapshots" / w for w in wanted if w), *newest]:
            if is_complete(folder):
                return folder
    return None


def download(repo, revision="main", *, sha256=None, on_progress=None, cancel=None):
    """Fetch a model into the cache and return its folder; a download that was interrupted goes on where it stopped.

    `on_progress(done, total)` is told the bytes; `cancel` is a `threading.Event`. Raises `ConnectionError` when the
    hub cannot be reached (within 15 seconds), `ValueError` for an unknown or unusable model or a damaged file,
    `OSError` when the disk refuses, `CancelledError`.
    """
    if is_offline():
        raise ConnectionError(f"{repo} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it. {_ADVICE}")
    commit, wanted = _list_files(repo, revision)
    storage = cache_folder() / f"models--{repo.replace('/', '--')}"
    folder = storage / "snapshots" / commit
    total, done = sum(size for _, size, _ in wanted.values()), 0
    _make_room(storage, folder, total)
    for file, (url, size, etag) in wanted.items():
        target, partial = folder / file, storage / "blobs" / f"{commit}.{file}.incomplete"
        if not target.is_file():
            tick = functools.partial(_tell, on_progress, done, total)
            with _alone(partial):
                _fetch(url, repo, partial, size, tick, cancel)
                _verify(partial, size, sha256 if file == _WEIGHTS and sha256 else etag)
                os.replace(partial, target)
        done += size
        _tell(on_progress, done, total, 0)
    return folder


_ADVICE = (
    "Connect to the internet and run this again, or copy a GPT-2 folder to this machine and give its path to "
    'gl.load(), or go on with the model that is bundled: gl.load("gpt2-mini").'
)


def _list_files(repo, revision):
    """Return (commit, {file: (url, size, etag)}), weights last."""
    config = _ask(repo, revision, "config.json")
    if config is None:
        raise ValueError(f"{repo} at {revision} has no config.json: it is not a model for transformers.")
    commit = config.commit_hash
    found = {"config.json": config} | {file: _ask(repo, commit, file) for file in (*_OPTIONAL, "tokenizer.json")}
    if found["tokenizer.json"] is None:
        found |= {file: _ask(repo, commit, file) for file in ("vocab.json", "merges.txt")}
    found[_WEIGHTS] = _ask(repo, commit, _WEIGHTS)
    if found[_WEIGHTS] is None:
        raise ValueError(
            f"{repo} has no {_WEIGHTS}. This course fetches weights in that one file only: other formats can run "
            "code when they are opened. Take another model, or convert this one."
        )
    return commit, {f: (m.location, m.size or 0, m.etag) for f, m in found.items() if m is not None}


def _ask(repo, revision, file):
    """Return what the hub says about a file, None if it has none; patience is limited, name look-up included."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hf_hub_url(repo, file, revision=revision, endpoint=endpoint)
    token = False if repo in {c.repo for c in FAMILY.values()} else None  # a stale token must not block a public model
    answer = {}

    def ask():
        try:
            answer["is"] = get_hf_file_metadata(url, token=token, timeout=PATIENCE, endpoint=endpoint)
        except Exception as error:
            answer["error"] = error

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    error = answer.get("error", None if answer else TimeoutError("no answer"))
    if isinstance(error, errors.EntryNotFoundError):
        return None
    if isinstance(error, errors.GatedRepoError):
        raise ValueError(f"{repo} asks for its conditions to be accepted on its hub page first.") from error
    if isinstance(error, errors.RevisionNotFoundError):
        raise ValueError(f"the hub's {repo} has no revision {revision!r}.") from error
    if isinstance(error, errors.RepositoryNotFoundError):
        raise ValueError(f"the hub has no model {repo!r}, or it is private. Look at the spelling.") from error
    if isinstance(error, errors.HfHubHTTPError) and not isinstance(error, errors.OfflineModeIsEnabled):
        code = error.response.status_code
        raise ConnectionError(f"the hub answered the request for {repo} with error {code}. Try again later.") from error
    if error is not None:
        raise ConnectionError(f"{repo} is not on this machine, and the hub cannot be reached. {_ADVICE}") from error
    if answer["is"].commit_hash is None or answer["is"].etag is None:
        raise ConnectionError(
            f"something answered the request for {repo}, but not as the hub does: probably a proxy or a log-in page. "
            + _ADVICE
        )
    return answer["is"]


def _fetch(url, repo, partial, size, tick, cancel):
    """Append to `partial` until it has `size` bytes (or the answer ends)."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers

    have = partial.stat().st_size if partial.exists() else 0
    tick(have)
    if have and have == size:
        return
    own = url.startswith(os.environ.get("HF_ENDPOINT") or "https://huggingface.co/")
    headers = build_hf_headers(token=None if own and repo not in {c.repo for c in FAMILY.values()} else False)
    headers |= {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with get_session().stream("GET", url, headers=headers, timeout=PATIENCE) as answer:
            if answer.status_code not in (200, 206):
                partial.unlink(missing_ok=True)
                raise ConnectionError(f"the hub answered with error {answer.status_code}. Run this again later.")
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise ConnectionError(f"a web page came in place of a file: probably a proxy or log-in page. {_ADVICE}")
            have = have if answer.status_code == 206 else 0
            with partial.open("ab" if have else "wb") as file:
                for piece in answer.iter_raw():
                    file.write(piece)
                    have += len(piece)
                    tick(have)
                    if cancel is not None and cancel.is_set():
                        raise CancelledError("Cancelled. What came so far is kept: run this again to go on.")
    except (OSError, CancelledError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise OSError("the disk is full. What came so far is kept: make room, then run this to go on.") from error
        raise
    except Exception as error:  # the HTTP library's own errors, whose module depends on its version
        raise ConnectionError("the connection broke. What came so far is kept: run this again to go on.") from error


def _verify(partial, size, etag):
    """Raise unless the file is what the hub announced: its size, and its SHA-256 or git hash."""
    have, etag = partial.stat().st_size, etag.strip('"')
    if have < size:
        raise ConnectionError("the connection ended too early. What came so far is kept: run this again to go on.")
    found = checksums.digest(partial, git=len(etag) == 40) if len(etag) in (40, 64) else etag
    if (size and have > size) or found != etag:
        partial.unlink()
        raise ValueError(
            f"the file that came is not the one announced (its checksum differs: {found[:12]}…, not {etag[:12]}…), so "
            "it was thrown away. Run this "
            "again; if it happens twice, something on the way changes downloads, for example a proxy."
        )


def _make_room(storage, folder, total):
    try:
        for place in (folder, storage / "blobs"):
            place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "Set the variable HF_HOME to a folder of yours, before Jupyter starts."
        raise OSError(f"nothing can be written to {cache_folder()} ({error.strerror}). {advice}") from error
    free = shutil.disk_usage(storage).free
    if free < total:
        raise OSError(f"the download needs {total / 1e6:,.0f} MB, but the disk has {free / 1e6:,.0f} MB free.")


def _alone(partial):
    """Return a lock on the file: two notebooks must not write to one download."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{partial}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        raise ConnectionError("this model is being downloaded by another notebook. Wait for that one to end.") from None


def _tell(on_progress, before, total, have):
    if on_progress is not None:
        on_progress(before + have, total)


def _shards(index):
    return set(json.loads(index.read_text("utf8"))["weight_map"].values())
