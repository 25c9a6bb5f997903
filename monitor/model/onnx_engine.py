"""The network on the CPU with ONNX Runtime.

The state of all channels is one array, a row a channel. A batch is cut into tiles whose intermediate results stay in
the processor's cache, and the tiles are shared out over a few threads, each of which runs the graph by itself: no
thread waits for another between two operators, as they would inside one run. Refuses to know: how the graph came about,
units, time.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.core.forecaster import CarriedState, Float32, Rows
from monitor.errors import ArtefactError
from monitor.model.network import Shape

TILE_ROWS = 128
"""Rows of one run. Lower: the cost of a run (30 microseconds) shows. Higher: the gates of the rows no longer fit the
second-level cache; 1,024 rows in a run cost a tenth more a row, 4,096 a quarter (EPYC, 1 MiB a core)."""

ROWS_A_THREAD = 128
"""Fewest rows worth handing to a second thread. Lower: the hand-over costs more than it saves; at 32 rows each, half as
much processor time again as on one thread."""


class HostState:
    """The state of some channels in host memory."""

    def __init__(self, channels: int, width: int) -> None:
        self.values: Float32 = np.zeros((channels, width), np.float32)

    def reset(self, rows: Rows) -> None:
        """Zero state for ``rows``."""
        self.values[rows] = 0.0


class OnnxEngine:
    """See :class:`monitor.core.forecaster.Engine`."""

    name = "onnxruntime"
    device = "cpu"

    def __init__(self, shape: Shape, graph: bytes, threads: int = 0) -> None:
        """Make a session.

        Args:
            shape: the network's dimensions.
            graph: what :func:`monitor.model.onnx_graph.onnx_bytes` gives.
            threads: threads that share a batch; 0: as many as the process may use.

        Raises:
            ArtefactError: ONNX Runtime does not take the graph, or its inputs are not of this shape.
        """
        import onnxruntime as ort

        self.block_samples = shape.block_samples
        self.window_blocks = shape.window_blocks
        self.threads = threads or len(os.sched_getaffinity(0))
        """Threads that share a batch."""
        self._width = 2 * sum(shape.units)
        self._pool = ThreadPoolExecutor(self.threads - 1, "onnx") if self.threads > 1 else None
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise ArtefactError(f"ONNX Runtime cannot use the graph: {error}") from error
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        expected = {"blocks": ["steps", "n", self.block_samples], "state": ["n", self._width]}
        if inputs != expected:
            raise ArtefactError(f"the graph's inputs are {inputs}, the manifest's shape asks for {expected}")

    def new_state(self, channels: int) -> HostState:
        """A zero state."""
        return HostState(channels, self._width)

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        """One step of the carried mode; see :class:`monitor.core.forecaster.Engine`."""
        assert isinstance(state, HostState)  # noqa: S101 - states are made by new_state of the same engine
        if len(rows) <= TILE_ROWS:
            return self._step_tile(blocks, state.values, rows)
        forecasts = np.empty((len(rows), self.block_samples), np.float32)

        def tile(first: int, last: int) -> None:
            forecasts[first:last] = self._step_tile(blocks[first:last], state.values, rows[first:last])

        self._share_out(len(rows), tile)
        return forecasts

    def _step_tile(self, blocks: Float32, values: Float32, rows: Rows) -> Float32:
        before = values[rows]
        forecast, after = self._run(blocks[None], before)
        # One number of the state tells for all of a row. The sum over all rows is enough while nothing is wrong.
        if not math.isfinite(float(np.einsum("ij->", blocks)) + float(np.einsum("i->", before[:, 0]))):
            _keep_nan(~np.isfinite(np.einsum("ij->i", blocks) + before[:, 0]), forecast, after)
        values[rows] = after
        return forecast

    def forecast_windows(self, windows: Float32) -> Float32:
        """Whole windows from a zero state; see :class:`monitor.core.forecaster.Engine`."""
        forecasts = np.empty((len(windows), self.block_samples), np.float32)

        def tile(first: int, last: int) -> None:
            zero = np.zeros((last - first, self._width), np.float32)
            by_step = np.ascontiguousarray(windows[first:last].transpose(1, 0, 2))
            forecast, after = self._run(by_step, zero)
            _keep_nan(~np.isfinite(np.einsum("kij->i", by_step)), forecast, after)
            forecasts[first:last] = forecast

        self._share_out(len(windows), tile)
        return forecasts

    def _share_out(self, rows: int, tile: Callable[[int, int], None]) -> None:
        """Call ``tile`` for all rows, a few at a time, on all threads; the calling thread takes a share."""

        def share(first: int, last: int) -> None:
            for begin in range(first, last, TILE_ROWS):
                tile(begin, min(begin + TILE_ROWS, last))

        shares = max(1, min(self.threads, rows // ROWS_A_THREAD))
        ends = [rows * k // shares for k in range(shares + 1)]
        if self._pool is None or shares == 1:
            share(0, rows)
            return
        others = [self._pool.submit(share, ends[k], ends[k + 1]) for k in range(1, shares)]
        share(0, ends[1])
        for other in others:
            other.result()

    def _run(self, blocks: Float32, state: Float32) -> tuple[Float32, Float32]:
        outputs: Any = self._session.run(None, {"blocks": blocks, "state": state})
        return outputs[0], outputs[1]


def _keep_nan(tainted: npt.NDArray[np.bool_], *arrays: Float32) -> None:
    """Put NaN back into the rows that had one: ONNX Runtime's activations clamp it to a number."""
    if tainted.any():
        for array in arrays:
            array[tainted] = np.nan
