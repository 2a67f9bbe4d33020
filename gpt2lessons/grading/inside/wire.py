"""What may pass between the grading kernel and a student's process: plain data as JSON, and calls.

Values become lists ["kind", …]. Whatever is no plain data arrives as an `Opaque`, which equals nothing but itself: an
object whose `==` always answers True is just an object of some type on the other side.
"""

import base64
import json
from fractions import Fraction

PLAIN = (type(None), bool, int, str)
MOST = 16 << 20  # bytes of one message; a student's process could write without end


class Opaque:
    """Stands for a value of the other process that is no plain data; knows the name of its type."""

    def __init__(self, kind):
        self.kind = kind

    def __repr__(self):
        return f"<an object of type {self.kind}>"


def encode(value, special=None):
    """Return `value` as JSON-able lists; `special(value)` may encode what is not plain data."""
    kind = type(value)
    if kind in PLAIN:
        return ["plain", value]
    if kind is float:
        return ["float", value.hex()]
    if kind is bytes:
        return ["bytes", base64.b64encode(value).decode()]
    if kind in (list, tuple, set, frozenset):
        return [kind.__name__, [encode(v, special) for v in value]]
    if kind is dict:
        return ["dict", [[encode(k, special), encode(v, special)] for k, v in value.items()]]
    if kind is Fraction:
        return ["Fraction", [value.numerator, value.denominator]]
    if (kind.__module__, kind.__name__) in (("torch", "Tensor"), ("torch.nn.parameter", "Parameter")):
        data = value.detach().cpu().contiguous()
        name = str(data.dtype).removeprefix("torch.")
        if name in ("float32", "float64", "int64", "int32", "bool"):
            return ["tensor", [name, list(data.shape), base64.b64encode(data.numpy().tobytes()).decode()]]
    if kind.__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", ()):
        return encode(value.item(), special)
    coded = special(value) if special else None
    return coded if coded is not None else ["opaque", kind.__name__]


def decode(coded, special=None):
    """Return the value that `encode` wrote; `special(kind, content)` reads what it wrote for its own kinds."""
    kind, content = coded
    if kind == "plain":
        return content if type(content) in PLAIN else Opaque(type(content).__name__)
    if kind == "float":
        return float.fromhex(content)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind in ("list", "tuple", "set", "frozenset"):
        makers = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
        return makers[kind]([decode(c, special) for c in content])
    if kind == "dict":
        return {decode(k, special): decode(v, special) for k, v in content}
    if kind == "Fraction":
        return Fraction(int(content[0]), int(content[1]))
    if kind == "tensor":
        return _tensor(*content)
    if special is not None and kind != "opaque":
        return special(kind, content)
    return Opaque(str(content))


def _tensor(name, shape, data):
    import torch

    dtypes = {n: getattr(torch, n) for n in ("float32", "float64", "int64", "int32", "bool")}
    raw = bytearray(base64.b64decode(data))
    flat = torch.frombuffer(raw, dtype=dtypes[name]) if raw else torch.empty(0, dtype=dtypes[name])
    return flat.reshape([int(n) for n in shape])


def send(stream, message):
    """Write one message, a line."""
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def receive(stream):
    """Return the next message, None at the end of the stream or if the message is longer than `MOST`."""
    line = stream.readline(MOST)
    return json.loads(line) if line.endswith(b"\n") else None
