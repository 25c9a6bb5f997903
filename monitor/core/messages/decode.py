"""From the bytes of one message to the samples of its axes, or to the reason of its rejection.

Packed samples are used without a copy. Each document format is one function from bytes to a
:class:`~monitor.core.messages.formats.document.Document`, which is then checked in one place. Any error in a payload
raises :class:`Rejected` with a reason from a fixed list. Decoding takes at most eight times the message's size in
memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.core.messages.formats.document import Message, require_finite
from monitor.core.messages.rejection import Reason, Rejected

__all__ = ["FORMATS", "Decoder", "Message", "Reason", "Rejected", "decoder"]

Decoder = Callable[[bytes], Message]


def decoder(kind: str, axes: tuple[str, ...], sampling_rate_hz: float) -> Decoder:
    """The decoder of one sensor's payloads.

    Args:
        kind: ``float32``, ``float64``, ``int16`` (packed little-endian, axes interleaved), ``json``, ``cbor``,
            ``msgpack`` (a document as in the interface description), or ``senml``. ``sparkplug``: no message is of one
            stream only, so all are rejected; see :mod:`monitor.core.messages.sparkplug.nodes`.
        axes: names of the axes in a message, in order; one name for a message of one channel.
        sampling_rate_hz: checked against the rate that a document states.

    Returns:
        A function from payload bytes to :class:`Message`. For any bytes, it raises nothing but :class:`Rejected`.
    """
    if kind in PACKED:
        return _packed(np.dtype(PACKED[kind]), axes)
    if kind == SPARKPLUG:
        return _not_alone
    # Imported here, so that a daemon without documents does not load their libraries.
    from monitor.core.messages.formats.parsers import document_decoder

    return document_decoder(kind, axes, sampling_rate_hz)


PACKED = {"float32": "<f4", "float64": "<f8", "int16": "<i2"}


def _packed(dtype: np.dtype[Any], axes: tuple[str, ...]) -> Decoder:
    width = dtype.itemsize * len(axes)
    exact = dtype.kind == "i"

    def decode(payload: bytes) -> Message:
        size = len(payload)
        if not size:
            raise Rejected(Reason.EMPTY, "the payload is empty")
        if size % width:
            what = f"{len(axes)} axes of {dtype.name}" if len(axes) > 1 else dtype.name
            raise Rejected(Reason.WRONG_LENGTH, f"{size} bytes are not a multiple of {width} ({what})")
        samples = np.frombuffer(payload, dtype)
        if not exact:
            require_finite(samples)
        if len(axes) == 1:
            return Message({axes[0]: samples})
        columns = samples.reshape(-1, len(axes))
        return Message({axis: columns[:, i] for i, axis in enumerate(axes)})

    return decode


def _not_alone(payload: bytes) -> Message:
    del payload
    raise Rejected(Reason.UNKNOWN_TOPIC, "this is the topic of a Sparkplug metric, which no message arrives on")


SPARKPLUG = "sparkplug"
"""The format whose messages hold metrics of many topics."""

ONE_STREAM = (*PACKED, "json", "cbor", "msgpack", "senml")
"""Formats whose messages hold the samples of one stream."""

FORMATS = (*ONE_STREAM, SPARKPLUG)
"""All payload formats."""
