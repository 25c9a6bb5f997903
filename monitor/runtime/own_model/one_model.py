"""One own model: the model of the configuration whose place it may take, and where it is."""

from dataclasses import dataclass
from pathlib import Path

from monitor.model.own.state import OwnState, Phase
from monitor.runtime.intake.channel import Progress
from monitor.runtime.own_model.sampler import Sampler


@dataclass
class OneModel:
    """Where one own model is."""

    name: str
    """The model's name in the configuration."""
    folder: Path
    """Its folder."""
    stretch_samples: int
    """Samples in a stretch."""
    state: OwnState
    """What is known of it."""
    holding: bool
    """Whether its channels wait for it before they learn what is healthy."""
    sampler: Sampler | None = None
    """Samples the channels; None: not yet, or no more."""
    progress: float = 0.0
    """How much of the time has been sampled, 0 to 1."""
    attempts: int = 0
    """Trainings that failed in this run."""
    lost: int = 0
    """Stretches that could not be written."""
    told: bool = False
    """Whether it was told that it is not trained here."""

    @property
    def waits(self) -> bool:
        """Whether its channels wait for it."""
        return self.holding and self.state.phase in {Phase.SAMPLING, Phase.TRAINING}

    @property
    def shown(self) -> Progress:
        """What its channels show while they wait."""
        return Progress(0.0, 0.0, str(self.state.phase), unsteady=False, curve=(), aside=(), left_out={})


@dataclass(frozen=True)
class OwnShown:
    """What metrics and page show of an own model."""

    model: str
    """The model's name in the configuration."""
    phase: Phase
    """What becomes of it."""
    progress: float
    """How much of the time has been sampled, 0 to 1."""
    gain: float | None
    """How much more of the signal's energy is foreseen with it; None: it was not judged."""
    lost: int
    """Stretches that could not be written."""
