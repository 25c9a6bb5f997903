"""The shape and the weights of a model so small that writing it takes no time."""

import numpy as np

from monitor.core.arrays import Float32
from monitor.model.network import Shape

TINY = Shape(block_samples=8, window_blocks=4, units=(6, 5), hidden=4)


def tiny_weights(seed: int = 0) -> list[Float32]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0.0, 0.4, size).astype(np.float32) for size in TINY.weight_shapes]
