"""The network on the CPU with ONNX Runtime.

The state of all channels is one array, a row a channel. A batch is cut into tiles whose intermediate results stay in
the processor's cache. It runs on one core: more cores are for more processes, none of which waits for another between
two operators. Refuses to know: how the graph came about, units, time.
"""

import math
from typing import Any

import numpy as np

from monitor.core.arrays import Bool, Float32, Rows
from monitor.core.forecaster import CarriedState
from monitor.core.rings import index_of
from monitor.errors import ArtefactError
from monitor.model.artefact.onnx_border import check_graph
from monitor.model.network import Shape

TILE_ROWS = 128
"""Rows of one run. Lower: the cost of a run (30 microseconds) shows. Higher: the gates of the rows no longer fit the
second-level cache; 1,024 rows in a run cost a tenth more a row, 4,096 a quarter (EPYC, 1 MiB a core)."""


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

    def __init__(self, shape: Shape, graph: bytes) -> None:
        """Make a session.

        Args:
            shape: the network's dimensions.
            graph: what :func:`monitor.model.artefact.onnx_graph.onnx_bytes` gives.

        Raises:
            ArtefactError: the graph is not ours, or ONNX Runtime does not take it.
        """
        check_graph(graph, shape)
        import onnxruntime as ort

        self.block_samples = shape.block_samples
        self.window_blocks = shape.window_blocks
        self._width = 2 * sum(shape.units)
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
        for first in range(0, len(rows), TILE_ROWS):
            tile = slice(first, first + TILE_ROWS)
            forecasts[tile] = self._step_tile(blocks[tile], state.values, rows[tile])
        return forecasts

    def _step_tile(self, blocks: Float32, values: Float32, rows: Rows) -> Float32:
        index = index_of(rows)
        before = values[index]
        forecast, after = self._run(blocks[None], before)
        # One number of the state tells for all of a row. The sum over all rows is enough while nothing is wrong.
        if not math.isfinite(float(np.einsum("ij->", blocks)) + float(np.einsum("i->", before[:, 0]))):
            _keep_nan(~np.isfinite(np.einsum("ij->i", blocks) + before[:, 0]), forecast, after)
        values[index] = after
        return forecast

    def forecast_windows(self, windows: Float32) -> Float32:
        """Whole windows from a zero state; see :class:`monitor.core.forecaster.Engine`."""
        forecasts = np.empty((len(windows), self.block_samples), np.float32)

        for first in range(0, len(windows), TILE_ROWS):
            by_step = np.ascontiguousarray(windows[first : first + TILE_ROWS].transpose(1, 0, 2))
            forecast, after = self._run(by_step, np.zeros((by_step.shape[1], self._width), np.float32))
            _keep_nan(~np.isfinite(np.einsum("kij->i", by_step)), forecast, after)
            forecasts[first : first + TILE_ROWS] = forecast
        return forecasts

    def _run(self, blocks: Float32, state: Float32) -> tuple[Float32, Float32]:
        outputs: Any = self._session.run(None, {"blocks": blocks, "state": state})
        return outputs[0], outputs[1]


def _keep_nan(tainted: Bool, *arrays: Float32) -> None:
    """Put NaN back into the rows that had one: ONNX Runtime's activations clamp it to a number."""
    if tainted.any():
        for array in arrays:
            array[tainted] = np.nan
