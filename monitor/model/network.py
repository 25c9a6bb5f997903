"""The network's shape, and how Keras builds it.

Two LSTM layers and two dense layers. Each step takes a block of samples and returns the forecast of the next block. The
dense layers are linear, as in the tutorial that the network comes from. TensorFlow is imported only when a network is
built.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Units = Annotated[int, Field(ge=1, le=4096)]


class Shape(BaseModel):
    """The network's dimensions; the defaults are the reference network's, 181,000 parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block_samples: int = Field(default=100, ge=8, le=4096)
    """Samples in a block: the step and the horizon."""
    window_blocks: int = Field(default=25, ge=2, le=1000)
    """Blocks in a window."""
    units: tuple[Units, Units] = (100, 100)
    """Units of the LSTM layers."""
    hidden: int = Field(default=100, ge=1, le=4096)
    """Units of the first dense layer; the second has ``block_samples`` units."""

    @property
    def layers(self) -> tuple[tuple[str, int], ...]:
        """Name and number of parameters of each layer."""
        first, second = self.units
        return (
            ("lstm_1", 4 * first * (self.block_samples + first + 1)),
            ("lstm_2", 4 * second * (first + second + 1)),
            ("dense_1", self.hidden * (second + 1)),
            ("dense_2", self.block_samples * (self.hidden + 1)),
        )

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        return sum(count for _, count in self.layers)

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the weight arrays in Keras' order: kernel, recurrent kernel, bias; kernel, bias of dense layers."""
        first, second = self.units
        return (
            (self.block_samples, 4 * first),
            (first, 4 * first),
            (4 * first,),
            (first, 4 * second),
            (second, 4 * second),
            (4 * second,),
            (second, self.hidden),
            (self.hidden,),
            (self.hidden, self.block_samples),
            (self.block_samples,),
        )


CHATTER = (b"oneDNN custom operations are on", b"before absl::InitializeLog()")
"""Messages that TensorFlow 2.21 writes to standard error at any log level."""


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up messages, and let it allocate GPU memory only as needed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    is_first = "tensorflow" not in sys.modules
    with _without_chatter() if is_first else nullcontext():
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, enable=True)
        if is_first:
            # The first operation repeats the messages.
            with tf.device("/CPU:0"):
                tf.matmul(tf.ones((1, 1)), tf.ones((1, 1)))


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Redirect the file descriptor of standard error, and write all lines except the chatter to it at the end."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = [line for line in held if not any(words in line for words in CHATTER)]
            if lines:
                os.write(2, b"".join(lines))


def build_network(shape: Shape, *, every_block: bool) -> Any:
    """A Keras model with fresh weights.

    Args:
        shape: the dimensions.
        every_block: forecast after every block, (n, blocks, block_samples) to the same shape, for training on all of
            them; if False only after the last, (n, window_blocks, block_samples) to (n, block_samples).

    Returns:
        A ``keras.Sequential`` with layers named as in :attr:`Shape.layers`; its weights do not depend on
        ``every_block``.
    """
    quiet_tensorflow()
    import keras

    blocks = None if every_block else shape.window_blocks
    first, second = shape.units
    return keras.Sequential(
        [
            keras.layers.Input((blocks, shape.block_samples)),
            keras.layers.LSTM(first, return_sequences=True, name="lstm_1"),
            keras.layers.LSTM(second, return_sequences=every_block, name="lstm_2"),
            keras.layers.Dense(shape.hidden, name="dense_1"),
            keras.layers.Dense(shape.block_samples, name="dense_2"),
        ],
        name="forecaster",
    )


def build_carrying_networks(shape: Shape, lengths: Iterable[int]) -> list[Any]:
    """Keras models that share fresh weights and carry their state, for training on long sequences piece by piece.

    Args:
        shape: the dimensions.
        lengths: blocks of a piece, for each model.

    Returns:
        One ``keras.Model`` for each length, from ``[blocks, h1, c1, h2, c2]`` to ``[forecasts, h1, c1, h2, c2]``: (n,
        length, block_samples) to the same shape, and the state after the last block. The weights are those of
        :func:`build_network`.
    """
    quiet_tensorflow()
    import keras

    first, second = shape.units
    # Without a loop in the graph, short pieces run a tenth faster.
    kept: dict[str, Any] = {"return_sequences": True, "return_state": True, "unroll": True}
    lstm_1, lstm_2 = (keras.layers.LSTM(units, name=f"lstm_{n}", **kept) for n, units in enumerate(shape.units, 1))
    dense_1 = keras.layers.Dense(shape.hidden, name="dense_1")
    dense_2 = keras.layers.Dense(shape.block_samples, name="dense_2")
    models = []
    for length in lengths:
        inputs = keras.layers.Input((length, shape.block_samples))
        state = [keras.layers.Input((units,)) for units in (first, first, second, second)]
        below, h1, c1 = lstm_1(inputs, initial_state=state[:2])
        above, h2, c2 = lstm_2(below, initial_state=state[2:])
        forecasts = dense_2(dense_1(above))
        models.append(keras.Model([inputs, *state], [forecasts, h1, c1, h2, c2], name="forecaster"))
    return models
