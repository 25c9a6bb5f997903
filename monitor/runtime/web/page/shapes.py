"""The JSON documents of the page's routes, field by field, for the description of the API.

The documents are made in ``documents`` and ``captures``; a test compares what a running daemon sends with what is
described here, both ways.
"""

from monitor.runtime.intake.channel import Acknowledgement, ChannelState, Progress
from monitor.runtime.lanes.loading import ModelInfo
from monitor.runtime.own_model.one_model import OwnShown
from monitor.runtime.web.api.openapi import Shape


class ServiceState(Shape):
    """The service as a whole."""

    version: str
    """Version of the daemon."""
    now_s: float
    """UNIX seconds of this document."""
    broker: str
    """URL of the broker."""
    connected: bool
    """Whether the broker is connected."""
    channels: int
    """Number of channels."""
    channels_not_shown: int
    """Channels that the page leaves out, because there are too many; the metrics have all of them."""
    channels_silent: int
    """Channels that send nothing."""
    last_sample_age_s: float | None
    """Seconds since the last samples of any channel; null: there is no channel."""
    rejected: dict[str, int]
    """Messages that were rejected since the start, by reason."""
    unready: list[str]
    """Why the service is not ready, as ``/-/ready`` says it; empty: it is."""
    grafana: str | None
    """URL of Grafana (``http.grafana_url``); null: none is configured."""
    models: list[ModelInfo]
    """The models in use: name in the configuration, hash of the manifest, engine and device."""
    own_models: list[OwnShown]
    """What becomes of the plant's own models: phase, share of the time that was sampled, and what each would gain."""


class Measured(Shape):
    """A measured quantity beside the samples."""

    value: float | None
    """The value; null: unknown, or too old."""
    stale: bool
    """Whether a value came and is too old."""


class ChannelFigures(Shape):
    """One channel with its latest figures. A figure that is missing is null; a silent channel has none."""

    name: str
    """Values of its labels with ``/`` between them."""
    labels: dict[str, str]
    """Its labels."""
    model: str
    """Name of its model in the configuration."""
    sampling_rate_hz: float
    """Configured sampling rate."""
    trust: float | None
    """How far the forecast is used, 0 to 1; null: no calibration."""
    sample: int
    """Number of the sample of the page's history to which the figures belong."""
    score: float | None
    """Score of the last interval; 1 is the limit."""
    alarm_state: int | None
    """0 ok, 1 warning, 2 alarm."""
    acknowledged: Acknowledgement | None
    """Who has seen its warning or alarm; null: nobody, or there is none."""
    gap: float | None
    """RMS of measured minus forecast, in m/s²."""
    gap_ratio: float | None
    """Energy of measured minus forecast as a share of the signal's energy."""
    gap_whitened: float | None
    """Energy of the whitened residual; about 1 on a healthy machine."""
    rms: float | None
    """RMS of the samples, in m/s²."""
    peak: float | None
    """Largest absolute sample, in m/s²."""
    coverage: float | None
    """Share of the interval that was scored."""
    condition_distance: float | None
    """How far the measured quantities are outside what was learned: 0 inside, 1 at the margin."""
    velocity_rms: float | None
    """RMS of velocity from 10 Hz to 1 kHz of the last record, in m/s."""
    crest_factor: float | None
    """Largest deviation from the mean over RMS, of the last record."""
    kurtosis: float | None
    """Fourth moment over squared second moment of the last record; 3 for noise."""
    peak_to_peak: float | None
    """Largest minus smallest sample of the last record, in m/s²."""
    record_s: float | None
    """Seconds of the last record."""
    zone: int | None
    """Zone of the velocity by the configured limits: 0 A, 1 B, 2 C, 3 D; null: no velocity, or no limits."""
    velocity_refusal: str | None
    """Why there is no velocity; null: there is one, or the first record is not finished."""
    refusal: str | None
    """Why the last interval was not scored; null: it was."""
    state: ChannelState
    """What the channel does."""
    state_reason: str | None
    """Why it is ``unusable``; null: it is not."""
    condition_weights: list[float] | None
    """Weights of the learned conditions that explain the last interval, in their order; null: it has no score."""
    learning: Progress | None
    """How far its learning is; null: it does not learn."""
    last_sample_age_s: float | None
    """Seconds since the last samples."""
    silent: bool
    """Whether nothing came for ``scoring.silent_after``."""
    samples_received: int
    """Samples received since the start."""
    samples_missing: int
    """Samples that did not come."""
    evidence: dict[str, float | None]
    """Score of each kind of evidence alone."""
    band_hz: tuple[float, float] | None
    """Edges of the frequency band that stands out most; null: none does."""
    conditions: dict[str, Measured]
    """The measured quantities by name."""
    without_conditions: list[str]
    """Quantities that its calibration was learned with, and that are not known at present."""


class Channels(Shape):
    """All channels."""

    service: ServiceState
    """The service as a whole."""
    channels: list[ChannelFigures]
    """The channels, in order of their first appearance."""


class EvidenceFile(Shape):
    """One file of a capture."""

    name: str
    """File name, for ``/api/v1/evidence/{name}``."""
    bytes: int
    """Its size."""
    modified_at_s: float
    """UNIX seconds of its last change."""


class EvidenceFiles(Shape):
    """The files of captures."""

    files: list[EvidenceFile]
    """The newest 500, newest first."""
