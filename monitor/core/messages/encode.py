"""Encodes samples as a sensor would, for the publishers: ``replay``, the demo and the benchmarks."""

import json

from monitor.core.arrays import Float32


def encode(samples: Float32, payload_format: str, at_s: float) -> bytes:
    """Encode one message.

    Args:
        samples: (n,) of one channel.
        payload_format: ``json`` for a document with ``t``; anything else for ``float32``.
        at_s: UNIX seconds of the first sample; used by ``json`` only.
    """
    if payload_format == "json":
        return json.dumps({"t": at_s, "samples": samples.tolist()}).encode()
    return packed_samples(samples)


def packed_samples(samples: Float32) -> bytes:
    """Encode (n,) samples as a ``float32`` payload (little-endian)."""
    return samples.astype("<f4", copy=False).tobytes()
