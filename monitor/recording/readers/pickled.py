"""A pickle that holds one plain numpy array, read without running anything of it.

A pickle is a program for a small stack machine that can call any Python function. This module is such a machine that
cannot call: it knows the few instructions of which an array consists, and where the program asks for one of numpy's
four building functions it writes down what was asked. Only at the end, when shape, type and bytes agree, an array is
made over the bytes. Anything else (another function, a list, a class) ends the reading with its name.
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
"""The only names a pickle may mention, and what they stand for here."""

LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG1", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

MAX_INSTRUCTIONS = 1000
"""An array's program has 20 to 60, however large it is. Without a bound a file of pure instructions takes hours."""

PLAIN_TYPE = re.compile(r"[A-Za-z]\d{0,4}")
"""What a type's code looks like; records and dates with units are longer."""


@dataclass
class _Type:
    """A numpy type as far as it has been described."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """An array as far as it has been described."""

    shape: Any = None
    type: Any = None
    columns_first: bool = False
    data: Any = None


def read_pickle(path: Path) -> Contents:
    """The one array of a ``.pkl`` file.

    Raises:
        RecordingError: the pickle holds or does anything else; nothing of it was run.
    """
    refuse_whole(path.name, path.stat().st_size)
    array = load_array(path.read_bytes(), path.name)
    return Contents({"": Stored("", array.shape, in_memory(array))})


def load_array(program: bytes, what: str) -> Numbers:
    """The array that a pickle describes, over the bytes in it.

    Args:
        program: the whole pickle, protocol 0 to 5.
        what: its name, for messages.

    Returns:
        An array of integers or floats, of one to three axes, of at least two values.

    Raises:
        RecordingError: it is anything but one such array.
        Exception: it is damaged; which one depends on the damage.
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
    """The stack, the marks in it and the numbered memory of a pickle program."""

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
        """Follow one instruction."""
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
        """The last ``count`` values, off the stack."""
        if len(self.stack) < count:
            raise ValueError("the pickle's stack is empty")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def gather(self, start: int) -> None:
        """Everything from ``start`` on becomes one tuple."""
        if not 0 <= start <= len(self.stack):
            raise ValueError("the pickle's stack is empty")
        self.stack[start:] = [tuple(self.stack[start:])]

    def remember(self, slot: int) -> None:
        """Keep the last value under a number."""
        self.memory[slot] = self.stack[-1]

    def mention(self, module: Any, name: Any) -> None:
        """Put one of numpy's builders on the stack, as a word."""
        # Only text is compared and shown: a few bytes make a tuple of tuples that takes for ever to hash or print.
        if not isinstance(module, str) or not isinstance(name, str):
            raise _refusal(self.what, "asks for a function without naming it")
        if (module, name) not in BUILDERS:
            raise _refusal(self.what, f"asks for {module[:100]}.{name[:100]}")
        self.stack.append(("builder", BUILDERS[module, name]))

    def call(self, function: Any, arguments: Any) -> None:
        """Write down what a builder was asked for."""
        match function, arguments:
            case ("builder", "encode"), (str() as characters, *_):
                self.stack.append(characters)  # bytes, as protocol 0 to 2 write them; encoded when the array is made
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
    """Make the array, if what was written down agrees."""
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
