"""From the bytes of one message to the value of one measured operating quantity, or to the reason of its rejection.

A payload is the text of one number, or a JSON object that has it under a key. Does not handle: what the number means.
"""

import re
from collections.abc import Callable

from monitor.core.messages.formats.document import LARGEST
from monitor.core.messages.rejection import Reason, Rejected, shown

LONGEST_NUMBER = 64
"""Most bytes of a number's text, spaces included. Fewer: a number with many digits is rejected. More: it is not a
number."""

LONGEST_OBJECT = 2**16
"""Most bytes of a JSON object. Fewer: the whole status of a drive is rejected. More: a wrong topic costs more time."""

ConditionDecoder = Callable[[bytes], float]

_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NOT_FINITE = {b"nan", b"inf", b"infinity"}
_BOM = b"\xef\xbb\xbf"


def condition_decoder(kind: str, key: str | None) -> ConditionDecoder:
    """The decoder of a quantity's payloads.

    Args:
        kind: ``number``, the text of one decimal number; ``json``, an object that has the number under ``key``.
        key: the key, for ``json``.

    Returns:
        A function from payload bytes to a finite value. For any bytes, it raises nothing but :class:`Rejected`.
    """
    return _of_text if key is None or kind == "number" else _of_object(key)


def _of_text(payload: bytes) -> float:
    _require_size(payload, LONGEST_NUMBER)
    text = payload.strip()
    if text.lstrip(b"+-").lower() in _NOT_FINITE:
        raise Rejected(Reason.NON_FINITE, f"the value is {shown(text)}; a finite number is expected")
    if not _NUMBER.fullmatch(text):
        raise Rejected(Reason.UNDECODABLE, f"the text of one number is expected, such as 1480.5; found {shown(text)}")
    return _finite(float(text))


def _of_object(key: str) -> ConditionDecoder:
    # Imported here, so that a daemon without documents does not load the library.
    import msgspec

    entries = msgspec.json.Decoder(dict[str, msgspec.Raw])
    number = msgspec.json.Decoder(float)

    def decode(payload: bytes) -> float:
        _require_size(payload, LONGEST_OBJECT)
        try:
            found = entries.decode(payload.removeprefix(_BOM)).get(key)
            if found is None:
                raise Rejected(Reason.UNDECODABLE, f"the object has no key {shown(key)}")
            value = number.decode(found)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            if b"NaN" in payload or b"Infinity" in payload:
                raise Rejected(Reason.NON_FINITE, f"NaN or Infinity, which JSON does not have ({error})") from error
            raise Rejected(
                Reason.UNDECODABLE, f"not a JSON object with a number under {shown(key)}: {error}"
            ) from error
        except RecursionError as error:
            raise Rejected(Reason.UNDECODABLE, "not a JSON object: nested too deep") from error
        return _finite(value)

    return decode


def _require_size(payload: bytes, most: int) -> None:
    if not payload:
        raise Rejected(Reason.EMPTY, "the payload is empty")
    if len(payload) > most:
        raise Rejected(Reason.TOO_LARGE, f"{len(payload)} bytes; a measured quantity has at most {most}")


def _finite(value: float) -> float:
    if not abs(value) < LARGEST:
        raise Rejected(Reason.NON_FINITE, f"the value is NaN, infinite or beyond {LARGEST:g}")
    return value
