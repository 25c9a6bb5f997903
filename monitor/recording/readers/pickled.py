"""Pickles that hold one plain NumPy array, read without executing them.

A pickle is a program for a stack machine that can call any Python function. This module implements a restricted
machine that calls nothing. It knows only the instructions that describe an array, and records the arguments for NumPy's
four constructor functions. At the end, if shape, type and size agree, it makes an array over the bytes. Anything else
(another function, a list, a class) is rejected with its name.
"""

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import Contents, Dtype, Stored, in_memory, refuse_whole, why_unusable

BUILDERS = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "blank" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "from_buffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "type",
    ("_codecs", "encode"): "encode",
}
"""The only functions that a pickle may name, and how they are recorded."""

LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG1", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

MAX_INSTRUCTIONS = 1000
"""Most instructions; an array of any size needs 20 to 60. Without a limit a hostile file takes hours."""

PLAIN_TYPE = re.compile(r"[A-Za-z]\d{0,4}")
"""Type codes of plain numbers; records, and dates with units, have longer ones."""


@dataclass
class _Type:
    """A NumPy type, as far as the program has described it."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """An array, as far as the program has described it."""

    shape: Any = None
    type: Any = None
    columns_first: bool = False
    data: Any = None


def read_pickle(path: Path) -> Contents:
    """Read the array of a ``.pkl`` file.

    Raises:
        RecordingError: the pickle holds anything else; nothing of it was executed.
    """
    refuse_whole(path.name, path.stat().st_size)
    array = load_array(path.read_bytes(), path.name)
    return Contents({"": Stored("", array.shape, in_memory(array))})


def load_array(program: bytes, what: str) -> Numbers:
    """The array that a pickle describes; it uses the memory of ``program``.

    Args:
        program: the whole pickle, protocol 0 to 5.
        what: name of the file, for error messages.

    Returns:
        An array of integers or floats with one to three axes and at least two values.

    Raises:
        RecordingError: it is not exactly one such array.
        Exception: it is damaged; the type depends on the damage.
    """
    machine = _Machine(what)
    for count, (operation, argument, _) in enumerate(pickletools.genops(program)):
        if operation.name == "STOP":
            break
        if count >= MAX_INSTRUCTIONS:
            raise _refusal(what, f"has more than {MAX_INSTRUCTIONS} instructions")
        machine.step(operation.name, argument)
    return _assemble(machine.stack.pop(), what)


def _refusal(what: str, found: str) -> RecordingError:
    return RecordingError(
        f"{what}: {found}; a .pkl may hold one plain numpy array of numbers and nothing else, and nothing of this one "
        "was run. If you trust where it comes from, load it yourself and save the array with numpy.save"
    )


class _Machine:
    """The state of the machine: the stack, its marks and the memo."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}
        self.instructions: dict[str, Callable[[Any], None]] = {
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
            "MARK": lambda _: self.marks.append(len(self.stack)),
            "TUPLE": lambda _: self.gather(self.marks.pop()),
            "GLOBAL": lambda argument: self.mention(*argument.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self.mention(*self.take(2)),
            "REDUCE": lambda _: self.call(*self.take(2)),
            "BUILD": lambda _: self.build(self.stack.pop()),
            "MEMOIZE": lambda _: self.remember(len(self.memory)),
        }
        for name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.instructions[name] = self.remember
        for name in ("GET", "BINGET", "LONG_BINGET"):
            self.instructions[name] = lambda argument: self.stack.append(self.memory[argument])

    def step(self, name: str, argument: Any) -> None:
        """Process one instruction."""
        if name in LITERALS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.gather(len(self.stack) - TUPLES[name])
        elif name in self.instructions:
            self.instructions[name](argument)
        else:
            raise _refusal(self.what, f"holds more than an array (instruction {name})")

    def take(self, count: int) -> list[Any]:
        """Pop the last ``count`` values from the stack."""
        if len(self.stack) < count:
            raise ValueError("the pickle's stack is empty")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def gather(self, start: int) -> None:
        """Replace everything on the stack from ``start`` on by one tuple."""
        if not 0 <= start <= len(self.stack):
            raise ValueError("the pickle's stack is empty")
        self.stack[start:] = [tuple(self.stack[start:])]

    def remember(self, slot: int) -> None:
        """Store the value on top of the stack in the memo."""
        self.memory[slot] = self.stack[-1]

    def mention(self, module: Any, name: Any) -> None:
        """Push the name of one of NumPy's constructor functions."""
        # Only strings are compared and shown: a few bytes can make nested tuples that take forever to hash or print.
        if not isinstance(module, str) or not isinstance(name, str):
            raise _refusal(self.what, "asks for a function without naming it")
        if (module, name) not in BUILDERS:
            raise _refusal(self.what, f"asks for {module[:100]}.{name[:100]}")
        self.stack.append(("builder", BUILDERS[module, name]))

    def call(self, function: Any, arguments: Any) -> None:
        """Record the arguments of a constructor function."""
        match function, arguments:
            case ("builder", "encode"), (str() as characters, *_):
                self.stack.append(characters)  # bytes as written by protocols 0 to 2; encoded when the array is made
            case ("builder", "type"), (str() as code, *_):
                self.stack.append(_Type(code))
            case ("builder", "blank"), _:
                self.stack.append(_Array())
            case ("builder", "from_buffer"), (data, _Type() as kind, shape, order):
                self.stack.append(_Array(shape, kind, order == "F", data))
            case _:
                raise _refusal(self.what, "calls one of numpy's functions in a way numpy does not")

    def build(self, state: Any) -> None:
        """Complete the type or array on top of the stack."""
        match self.stack[-1], state:
            case _Type() as kind, (int(), str() as order, None, None, None, *_):
                kind.order = order
            case _Array() as array, (int(), tuple() as shape, _Type() as kind, columns_first, data):
                array.shape, array.type, array.columns_first, array.data = shape, kind, bool(columns_first), data
            case _:
                raise _refusal(self.what, "describes an array in a way numpy does not")


def _assemble(found: Any, what: str) -> Numbers:
    """Make the array if the recorded shape, type and bytes agree."""
    if not isinstance(found, _Array) or not isinstance(found.type, _Type):
        raise _refusal(what, "holds no array")
    shape, data = found.shape, found.data
    if not isinstance(shape, tuple) or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise _refusal(what, "has a shape that is not a tuple of whole numbers")
    dtype = _plain_type(found.type, what)
    reason = why_unusable(shape, dtype)
    if reason:
        raise RecordingError(f"{what}: the array {reason}")
    if isinstance(data, str):
        data = data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape) * dtype.itemsize:
        raise RecordingError(f"{what}: shape {shape} and type {dtype} do not agree with the bytes that are there")
    array: Numbers = np.frombuffer(data, dtype).reshape(shape, order="F" if found.columns_first else "C")
    return array


def _plain_type(kind: _Type, what: str) -> Dtype:
    code = kind.code.lstrip("<>|=")
    if not PLAIN_TYPE.fullmatch(code) or kind.order not in {"<", ">", "|", "="}:
        raise _refusal(what, f"has the type {kind.code[:40]!r}")
    order = kind.code[0] if kind.code != code else kind.order
    return np.dtype(order.replace("|", "=") + code)
