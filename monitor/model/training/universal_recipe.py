"""The settings of a universal training, each with what another value costs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UniversalRecipe:
    """Settings of a universal training."""

    sequences: int = 64
    """Sequences in a batch."""
    blocks: int = 128
    """Input blocks of a sequence, a multiple of both lengths of a piece. Its pieces are trained on in their order with
    the carried state."""
    piece_blocks: tuple[int, int] = (8, 32)
    """Blocks of a sequence in one training step, in the beginning and later; the gradient reaches as far back. More in
    the beginning: fewer steps, which are what counts there (2.9 million blocks of simple machines: gap ratio 0.63 with
    32, 0.49 with 8). Fewer later: more time, for as good a result (8 million blocks at a low rate: 0.490 with 8, 0.483
    with 16 in 0.65 of the time)."""
    beginning: float = 0.08
    """Share of the batches that are the beginning. Lower: high frequencies are not learned. Higher: less time for what
    only a low learning rate can learn."""
    together: int = 32
    """Batches whose pieces are trained on in turn, in random order. With 1, consecutive steps see the same machines,
    and the network learns half as fast (700 steps on simple machines: gap ratio 0.81 instead of 0.69)."""
    uncounted_blocks: int = 2
    """Blocks at the start of a sequence whose forecasts do not count in the loss."""
    learning_rate: float = 1.2e-2
    """Highest learning rate."""
    weight_decay: float = 0.1
    """Decay of the weights, relative to the learning rate. Lower: they grow without end under Muon, whose steps are all
    of the same size, and the gates saturate (a standard deviation of 2 after 48,000 steps). Higher: less is kept (2.9
    million blocks of simple machines: gap ratio 0.49 with 0, 0.46 with 0.03, 0.45 with 0.1)."""
    floor: float = 0.1
    """Added to the relative residual energy before the logarithm. Lower: almost noiseless machines dominate the loss.
    Higher: they do not get better than this."""
    renewed: int = 3
    """Signals of the pool that are renewed with each batch."""
    excess: float = 10.0
    """Weight of what the residual of a piece has more energy than its signal. Lower: signals that the network does not
    know are forecast wrongly instead of not at all."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 1
    """Random seed of weights and signals."""


CONTINUED_UNIVERSAL = UniversalRecipe(beginning=0.0, piece_blocks=(8, 64), learning_rate=3e-3)
"""The recipe for continuing with a universal model's weights: no beginning, and a rate that keeps what they know. At
such a rate the noise of the gradient is what limits; pieces of 64 blocks have less of it (4 million blocks more at
1e-3, held-out random machines and CWRU's drive end: 0.390 and 0.846 with 32, 0.389 and 0.811 with 64). Higher: lines
are forgotten that a short training does not learn again (the same with 4e-3 and 32: 0.399 and 0.856). Lower: little is
learned."""
