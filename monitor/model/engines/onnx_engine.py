"""Runs the network on the CPU with ONNX Runtime.

The state of all channels is one array with one row a channel. A batch is split into tiles whose intermediate results
stay in the CPU cache. An engine uses one core; more cores are used by more processes, which never wait for each other.
"""

import math
from typing import Any

import numpy as np

from monitor.core.arrays import Bool, Float32, Rows
from monitor.core.forecasting.forecaster import CarriedState
from monitor.core.samples.rings import index_of
from monitor.errors import ArtefactError
from monitor.model.artefact.onnx_border import check_graph
from monitor.model.network import Shape

TILE_ROWS = 128
"""Rows per run. Lower: the fixed cost of a run (30 microseconds) matters. Higher: the gates no longer fit the
second-level cache; a row costs 10 % more with 1,024 rows, 25 % more with 4,096 (EPYC, 1 MiB a core)."""


class HostState:
    """The state of some channels in host memory."""

    def __init__(self, channels: int, width: int) -> None:
        self.values: Float32 = np.zeros((channels, width), np.float32)

    def reset(self, rows: Rows) -> None:
        """Set the state of ``rows`` to zero."""
        self.values[rows] = 0.0

    def export(self, rows: Rows) -> Float32:
        """A copy of the state of ``rows``, (n, width)."""
        return self.values[rows]

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Replace the state of ``rows`` by the result of :meth:`export`."""
        self.values[rows] = exported


class OnnxEngine:
    """Runs the network on one CPU core; see :class:`monitor.core.forecasting.forecaster.Engine`."""

    name = "onnxruntime"
    device = "cpu"

    def __init__(self, shape: Shape, graph: bytes) -> None:
        """Create an ONNX Runtime session.

        Args:
            shape: dimensions of the network.
            graph: the result of :func:`monitor.model.artefact.onnx_graph.onnx_bytes`.

        Raises:
            ArtefactError: the graph differs from the expected one, or ONNX Runtime cannot load it.
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
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise ArtefactError(f"ONNX Runtime cannot use the graph: {error}") from error
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        expected = {"blocks": ["steps", "n", self.block_samples], "state": ["n", self._width]}
        if inputs != expected:
            raise ArtefactError(f"the graph's inputs are {inputs}, the manifest's shape asks for {expected}")

    def new_state(self, channels: int) -> HostState:
        """A zero state for ``channels`` rows."""
        return HostState(channels, self._width)

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        """Run one step of the carried mode; see :class:`monitor.core.forecasting.forecaster.Engine`."""
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
        # A NaN spreads over the whole state of its row, so one number a row is enough. Usually their sum is finite.
        if not math.isfinite(float(np.einsum("ij->", blocks)) + float(np.einsum("i->", before[:, 0]))):
            _keep_nan(~np.isfinite(np.einsum("ij->i", blocks) + before[:, 0]), forecast, after)
        values[index] = after
        return forecast

    def forecast_windows(self, windows: Float32) -> Float32:
        """Forecast from whole windows and a zero state; see :class:`monitor.core.forecasting.forecaster.Engine`."""
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
    """Set the rows whose input had a NaN to NaN again: ONNX Runtime's activations clamp NaN to a number."""
    if tainted.any():
        for array in arrays:
            array[tainted] = np.nan
