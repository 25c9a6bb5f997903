"""The network on the CPU with ONNX Runtime.

The state of all channels is one array, a row a channel, so a batch needs one gather and one scatter. Refuses to know:
how the graph came about, units, time.
"""

from typing import Any

import numpy as np

from monitor.core.forecaster import CarriedState, Float32, Rows
from monitor.errors import ArtefactError
from monitor.model.network import Shape


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
            threads: threads of one run; 0: as many as the process may use.

        Raises:
            ArtefactError: ONNX Runtime does not take the graph, or its inputs are not of this shape.
        """
        import onnxruntime as ort

        self.block_samples = shape.block_samples
        self.window_blocks = shape.window_blocks
        self._width = 2 * sum(shape.units)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Arenas keep the largest batch's memory for ever, which is what a daemon's steady state wants anyway.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
        before = state.values[rows]
        forecast, after = self._run(blocks[None], before)
        # ONNX Runtime's activations clamp NaN to a number; a row that was ever NaN is put back to NaN here. A sum is
        # NaN or infinite where a sample is, and one number of the state tells for all.
        tainted = ~np.isfinite(np.einsum("ij->i", blocks) + before[:, 0])
        if tainted.any():
            forecast[tainted] = np.nan
            after[tainted] = np.nan
        state.values[rows] = after
        return forecast

    def forecast_windows(self, windows: Float32) -> Float32:
        """Whole windows from a zero state; see :class:`monitor.core.forecaster.Engine`."""
        zero = np.zeros((len(windows), self._width), np.float32)
        forecast = self._run(np.ascontiguousarray(windows.transpose(1, 0, 2)), zero)[0]
        forecast[~np.isfinite(np.einsum("ijk->i", windows))] = np.nan
        return forecast

    def _run(self, blocks: Float32, state: Float32) -> tuple[Float32, Float32]:
        outputs: Any = self._session.run(None, {"blocks": blocks, "state": state})
        return outputs[0], outputs[1]
