"""The measured quantities of the blocks that run through the pipeline.

The pipeline knows a block by its row and its index in the row's stream; conditions are kept by record and block. Every
record starts a context, so the contexts tell which record a row is in.
"""

from collections.abc import Sequence

import numpy as np

from monitor.core.arrays import Float32, Int64, Rows
from monitor.core.samples.rings import DueBlocks
from monitor.recording.conditions import Conditions


class BlockConditions:
    """Finds the values of blocks while a run goes through the records of some recordings."""

    def __init__(self, conditions: Sequence[Conditions], block_samples: int) -> None:
        """Take the conditions of each row, all with the same names; none: there are no quantities."""
        self._conditions = conditions if any(each.quantities for each in conditions) else ()
        self._block_samples = block_samples
        self._record = [-1] * len(self._conditions)
        self._origin = [0] * len(self._conditions)

    def enter(self, due: DueBlocks) -> None:
        """Go on to the next record in the rows whose context starts; call it before the batch is processed."""
        if self._conditions:
            for row, start in zip(due.rows[due.first].tolist(), due.start_sample[due.first].tolist(), strict=True):
                self._record[row] += 1
                self._origin[row] = start

    def at(self, rows: Rows, start_sample: Int64) -> dict[str, Float32]:
        """The values of blocks of the records that their rows are in.

        Args:
            rows: (n,) the row of each block, at least one; a row may have several.
            start_sample: (n,) stream index of each block's first sample.

        Returns:
            (n,) values by name, NaN where unknown; no names without conditions.
        """
        if not self._conditions:
            return {}
        found = []
        for row, start in zip(rows.tolist(), start_sample.tolist(), strict=True):
            block = np.array([(start - self._origin[row]) // self._block_samples])
            found.append(self._conditions[row].at(self._record[row], block))
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}
