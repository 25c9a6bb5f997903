"""The generation of a membership in a consumer group, by which a late writer is recognised.

The coordinator of a group raises its generation (KIP-848: the epoch of a member) whenever partitions move. Whoever gets
a partition has a higher generation than the one who had it, whatever their clocks say. So of two records about one
channel the owner's has the higher generation, and what a frozen daemon writes when it wakes has a lower one. Does not
handle: who looks at it.
"""

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import Consumer

MARK = b"CGMDv2:"
"""How librdkafka's description of a membership begins; the generation follows as a 32-bit number."""

NONE = -1
"""No generation: no member, or librdkafka describes memberships in another way."""


def generation_of(consumer: "Consumer") -> int:
    """The present generation of a consumer's membership; asks librdkafka's own thread, not the cluster."""
    described = bytes(consumer.consumer_group_metadata() or b"")
    if not described.startswith(MARK) or len(described) < len(MARK) + 4:
        return NONE
    return int(struct.unpack_from("<i", described, len(MARK))[0])
