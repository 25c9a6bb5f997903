"""Payloads as sensors send them, for what publishes samples: ``replay``, the demo, the benchmarks."""

import json

from monitor.core.arrays import Float32


def encode(samples: Float32, payload_format: str, at_s: float) -> bytes:
    """The payload of one message.

    Args:
        samples: (n,) of one channel.
        payload_format: ``json``: a document with ``t``; anything else: ``float32``.
        at_s: UNIX seconds of the first sample; only a document carries it.
    """
    if payload_format == "json":
        return json.dumps({"t": at_s, "samples": samples.tolist()}).encode()
    return packed_samples(samples)


def packed_samples(samples: Float32) -> bytes:
    """The payload ``float32`` of (n,) samples."""
    return samples.astype("<f4", copy=False).tobytes()
