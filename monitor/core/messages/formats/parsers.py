"""The parser of every document format, and the decoder that is made of one.

Imported only where a sensor sends documents: with packed samples the daemon does not load the parsing libraries.
"""

from collections.abc import Callable

import msgspec

from monitor.core.messages.formats.cbor import parse_cbor
from monitor.core.messages.formats.document import Document, Message, checked
from monitor.core.messages.formats.json_document import parse_json
from monitor.core.messages.formats.message_pack import parse_msgpack
from monitor.core.messages.formats.senml import parse_senml
from monitor.core.messages.rejection import Reason, Rejected

PARSERS: dict[str, Callable[[bytes, tuple[str, ...]], Document]] = {
    "json": parse_json,
    "cbor": parse_cbor,
    "msgpack": parse_msgpack,
    "senml": parse_senml,
}


def document_decoder(kind: str, axes: tuple[str, ...], sampling_rate_hz: float) -> Callable[[bytes], Message]:
    """The decoder of one sensor's documents; arguments as for :func:`monitor.core.messages.decode.decoder`."""
    parse = PARSERS[kind]

    def decode(payload: bytes) -> Message:
        if not payload:
            raise Rejected(Reason.EMPTY, "the payload is empty")
        try:
            document = parse(payload, axes)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Rejected(Reason.UNDECODABLE, f"not a {kind} document: {error}") from error
        except RecursionError as error:
            raise Rejected(Reason.UNDECODABLE, f"not a {kind} document: nested too deep") from error
        return checked(document, axes, sampling_rate_hz)

    return decode
