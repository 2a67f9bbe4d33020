"""What may pass between the grading kernel and a student's process: plain data as JSON, and calls.

Values become lists ["kind", …]. Whatever is no plain data arrives as an `Opaque`, which equals nothing but
itself: an object whose `==` always answers True is just an object of some type on the other side.
A value of a derived type (a Counter, an enumeration's member, a list with methods) arrives as its plain base.
"""

import base64
import json
from decimal import Decimal
from fractions import Fraction

BASES = (bool, int, float, str, bytes, list, tuple, set, frozenset, dict)
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "bfloat16", "float16", "float32", "float64")
SHOWN = 20_000  # characters of what a cell has printed
MOST = 16 << 20  # bytes of one message, in either direction


class Opaque:
    """Stands for a value of the other process that is no plain data; knows the name of its type."""

    def __init__(self, kind):
        self.kind = kind

    def __repr__(self):
        return f"<an object of type {self.kind}>"


def encode(value, special=None):
    """Return `value` as JSON-able lists; `special(value)` may encode what is not plain data."""
    if value is None:
        return ["plain", None]
    kind = type(value)
    # what isinstance says can be a lie, the type's own ancestors cannot
    base = next((ancestor for ancestor in kind.__mro__ if ancestor in BASES), None)
    if base in (list, tuple, set, frozenset):
        return [base.__name__, [encode(v, special) for v in base.__iter__(value)]]
    if base is dict:
        items = [[encode(k, special), encode(v, special)] for k, v in dict.items(value)]
        return ["dict", items]
    if base is not None:
        return _scalar(base, value)
    if kind in (Fraction, Decimal) and (kind is Fraction or value.is_finite()):
        return ["Fraction", list(value.as_integer_ratio())]
    if kind.__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", ()):
        # Python has no long doubles: of one, `item` is the long double itself
        item = float(value) if kind.__name__ == "longdouble" else value.item()
        if type(item) is not kind:
            return encode(item, special)
    coded = _coded_tensor(value)
    if coded is None and special is not None:
        coded = special(value)
    return ["opaque", kind.__name__] if coded is None else coded


def _scalar(base, value):
    """Encode a value by its plain base's own methods, whatever its type has made of them."""
    if base is float:
        return ["float", float.hex(value)]
    if base is bytes:
        return ["bytes", base64.b64encode(value).decode()]
    if base is int:
        value = int.__index__(value)
    return ["plain", str.__str__(value) if base is str else value]


def _coded_tensor(value):
    """Encode a tensor, also one of a derived type; None if `value` is none, or holds complex numbers."""
    import torch

    if not issubclass(type(value), torch.Tensor):
        return None
    data = value.detach().as_subclass(torch.Tensor).cpu().contiguous()
    name = str(data.dtype).removeprefix("torch.")
    if name not in DTYPES:
        return None
    raw = data.cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
    return ["tensor", [name, list(data.shape), base64.b64encode(raw).decode()]]


def decode(coded, special=None):
    """Return the value that `encode` wrote; `special(kind, content)` reads what it wrote for its own kinds.

    Raises `ValueError`, `TypeError` or another ordinary error for what `encode` would not have written.
    """
    kind, content = coded
    if kind == "plain":
        return content if type(content) in (type(None), bool, int, str) else Opaque(type(content).__name__)
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

    if name not in DTYPES:
        raise ValueError(f"a tensor of {name!r} cannot be read; known are {', '.join(DTYPES)}")
    dtype, raw = getattr(torch, name), bytearray(base64.b64decode(data))
    flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    return flat.reshape([int(n) for n in shape])


def send(stream, message):
    """Write one message, a line; raise `ValueError` if it is longer than `MOST`."""
    line = json.dumps(message).encode() + b"\n"
    if len(line) > MOST:
        raise ValueError(f"more than {MOST >> 20} MB at once; return less")
    stream.write(line)
    stream.flush()


def receive(stream):
    """Return the next message, None at the end of the stream or if the message is longer than `MOST`."""
    line = stream.readline(MOST)
    return json.loads(line) if line.endswith(b"\n") else None
