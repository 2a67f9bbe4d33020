"""A hub on this machine that speaks enough of the protocol for `huggingface_hub`, and can misbehave on request."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_tiny_gpt2(folder, *, vocab_size=8449, n_layer=2, n_embd=16, seed=0):
    """Write a random GPT-2 the way the hub has it: mask buffers inside, no `transformer.` prefix, mini's tokenizer."""
    import shutil

    import torch
    from safetensors.torch import save_file
    from transformers import GPT2Config, GPT2LMHeadModel

    from gpt2lessons.loading.models import MINI

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    ends = {"bos_token_id": vocab_size - 1, "eos_token_id": vocab_size - 1}
    config = GPT2Config(vocab_size=vocab_size, n_positions=32, n_embd=n_embd, n_layer=n_layer, n_head=2, **ends)
    state = {k.removeprefix("transformer."): v.clone() for k, v in GPT2LMHeadModel(config).state_dict().items()}
    del state["lm_head.weight"]
    for i in range(n_layer):
        state[f"h.{i}.attn.bias"] = torch.ones(32, 32).tril()[None, None]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps(config.to_dict() | {"architectures": ["GPT2LMHeadModel"]}, default=str)
    (folder / "config.json").write_text(text, "utf8")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(MINI / name, folder / name)
    return folder


class FakeHub:
    """`files` {path: bytes} of the one model `owner/tiny`; `requests`: what was asked for; `faults`: what goes wrong.

    Faults: "html" (every answer is a log-in page), "html file" (the weights themselves are one), "cut" (weights end
    after a third), "corrupt" (one byte differs), "no range" (Range is ignored), "error 503", "slow" (weights come in
    small pieces).
    """

    def __init__(self, folder):
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.requests, self.faults = [], set()

    def answer(self, handler, body):
        self.requests.append((handler.command, handler.path, handler.headers.get("Range")))
        if "error 503" in self.faults:
            return self._send(handler, 503, {}, b"")
        if "html" in self.faults:
            return self._send(handler, 200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
        parts = handler.path.strip("/").split("/")
        if parts[:2] != ["owner", "tiny"]:
            return self._send(handler, 401, {"X-Error-Code": "RepoNotFound"}, b"")
        if parts[3] not in ("main", COMMIT):
            return self._send(handler, 404, {"X-Error-Code": "RevisionNotFound"}, b"")
        if (data := self.files.get(parts[4])) is None:
            return self._send(handler, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"")
        large = parts[4].endswith(".safetensors")
        if large and handler.command == "GET" and "html file" in self.faults:
            return self._send(handler, 200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Please log in</html>")
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        tag = hashlib.sha256(data).hexdigest() if large else git
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"', "X-Linked-Size": str(len(data))}
        if large and "corrupt" in self.faults:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start, status = 0, 200
        if (span := handler.headers.get("Range")) and "no range" not in self.faults:
            start, status = int(span.removeprefix("bytes=").rstrip("-")), 206
        self._send(
            handler, status, headers, data[start:], cut=large and "cut" in self.faults, slow="slow" in self.faults
        )

    def _send(self, handler, status, headers, data, *, cut=False, slow=False):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if handler.command == "GET":
            data = data[: len(data) // 3] if cut else data
            step = 1 << 13 if slow else len(data) or 1
            for i in range(0, len(data), step):
                handler.wfile.write(data[i : i + step])
        handler.close_connection = True


@contextmanager
def serve(folder):
    """Serve the files of `folder` as `owner/tiny`; yields (hub, endpoint)."""
    hub = FakeHub(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hub.answer(self, body=True)

        def do_HEAD(self):
            hub.answer(self, body=False)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
