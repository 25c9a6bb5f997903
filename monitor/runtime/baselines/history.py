"""A channel's baselines: what each was learned from, and who changed what, when and why.

A baseline is a calibration with its history. The calibration itself is a calibration file beside the history.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitor.core.scoring.calibration.calibration import OVER_S, Calibration
from monitor.errors import ArtefactError
from monitor.model.calibration_file import CalibrationFile
from monitor.runtime.file_names import file_slug

KEPT_BASELINES = 5
"""Baselines of a channel that are kept. Fewer: a person finds a mistake too late to undo it. More: more disk."""

KEPT_CHANGES = 30
"""Changes of a channel that are kept, the newest and the last ``learn``. Fewer: nobody knows why a limit is what it is.
More: more disk."""

MOST_BYTES = 262_144
"""Largest file of a history; a full one has 20 kB of plain text, and at most 130 kB of any text."""

LONGEST_BY = 100
"""Most characters of the name of who changed something."""

LONGEST_REASON = 500
"""Most characters of a reason."""

MOST_ASIDE = 20
"""Stretches that were set aside and are named, the latest. Fewer: a person does not see one. More: more disk."""

MOST_STEADINESS = 100
"""Values of the curve of steadiness, the latest. Fewer: slow changes do not show. More: more disk."""

MOST_SLUGS = 10_000
"""Names of files that are remembered, 0.3 kB each. Fewer: a hash for each channel whenever it is configured."""

What = Literal["learned", "extended", "imported", "accepted", "reverted", "learn", "extend"]
"""What happened to a channel; ``learn`` and ``extend`` were asked for, ``learned`` and ``extended`` are done."""

Text = Annotated[str, Field(max_length=300)]
Seconds = Annotated[float, Field(ge=0.0, le=1e11)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Source:
    """What a calibration was learned from, as far as the calibration does not say it."""

    from_s: float | None = None
    """UNIX seconds from which on it was learned; None: not known."""
    to_s: float | None = None
    """UNIX seconds until which it was learned."""
    provisional: bool = False
    """Whether the channel learns on."""
    aside: tuple[tuple[float, float, float], ...] = ()
    """Stretches that were set aside: from when, until when in UNIX seconds, and how many intervals."""
    steadiness: tuple[float, ...] = ()
    """How far later stretches lay from what earlier ones explain, in their order."""


class Baseline(_Frozen):
    """One calibration of a channel, and what it was learned from."""

    number: int = Field(ge=1, le=2**31)
    """Number among the channel's baselines; later ones have larger numbers."""
    provisional: bool
    """Whether the channel still learns, so that another one follows."""
    made_at_s: Seconds
    """UNIX seconds at which it was made or imported."""
    from_s: Seconds | None
    """UNIX seconds from which on it was learned; None: not known, as of recordings."""
    to_s: Seconds | None
    """UNIX seconds until which it was learned."""
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the model that it belongs to."""
    arrays_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash in its calibration file, by which that is recognised."""
    sampling_rate_hz: float
    """Sampling rate of what it was learned from."""
    healthy_s: float
    """Seconds of healthy signal."""
    intervals: float
    """Independent healthy intervals."""
    aside_intervals: float
    """Intervals that were set aside while learning."""
    prototypes: int = Field(ge=1)
    """Number of learned conditions."""
    conditions: dict[Text, tuple[float, float]]
    """Lowest and highest value of the measured quantities."""
    trust: float
    """Share of the healthy signal's energy that is foreseen."""
    level_mps2: float
    """Median RMS of healthy intervals."""
    sensitivity_db: dict[Text, float]
    """Smallest lasting rise of all bands together that raises the alarm, in dB, by the time that it takes."""

    aside: tuple[tuple[Seconds, Seconds, float], ...] = Field(default=(), max_length=MOST_ASIDE)
    """Stretches that were set aside: from when, until when in UNIX seconds, and how many intervals."""
    steadiness: tuple[float, ...] = Field(default=(), max_length=MOST_STEADINESS)
    """How far later stretches of the learning time lay from what earlier ones explain, in their order."""

    @property
    def source(self) -> Source:
        """What it was learned from."""
        return Source(self.from_s, self.to_s, self.provisional, self.aside, self.steadiness)

    @classmethod
    def of(
        cls, number: int, file: CalibrationFile, made_at_s: float, calibration: Calibration, source: "Source"
    ) -> Self:
        """The baseline with a calibration from a file."""
        ranges = zip(calibration.quantities, calibration.ranges.tolist(), strict=True)
        return cls(
            number=number,
            provisional=source.provisional,
            made_at_s=made_at_s,
            from_s=source.from_s,
            to_s=source.to_s,
            aside=source.aside[-MOST_ASIDE:],
            steadiness=source.steadiness[-MOST_STEADINESS:],
            model_sha256=file.header.model_sha256,
            arrays_sha256=file.header.sha256,
            sampling_rate_hz=calibration.sampling_rate_hz,
            healthy_s=calibration.healthy_s,
            intervals=calibration.intervals,
            aside_intervals=calibration.aside_intervals,
            prototypes=len(calibration.prototypes),
            conditions={name: (low, high) for name, (low, high) in ranges},
            trust=calibration.trust,
            level_mps2=calibration.level_mps2,
            sensitivity_db=dict(zip(OVER_S, calibration.sensitivity[-1].tolist(), strict=True)),
        )


class Change(_Frozen):
    """One thing that happened to a channel's baselines."""

    at_s: Seconds
    """UNIX seconds."""
    what: What
    """What happened."""
    by: str = Field(max_length=LONGEST_BY)
    """Who did it; ``learning`` is the daemon itself."""
    reason: str = Field(max_length=LONGEST_REASON)
    """Why."""
    baseline: int | None = None
    """Number of the baseline that the channel has since; None: it has none."""


class History(_Frozen):
    """Everything that is known of one channel's baselines."""

    format: Literal["vibration-monitor baselines"] = "vibration-monitor baselines"
    """Identifies the file format."""
    format_version: Literal[1] = 1
    """Version of the file's layout."""
    labels: dict[Text, Text] = Field(min_length=1, max_length=100)
    """The channel's labels that are not empty, in the order of its name."""
    current: int | None = None
    """Number of the baseline that judges the channel; None: it has none yet."""
    request: Change | None = None
    """Learning that was asked for and is not done."""
    baselines: tuple[Baseline, ...] = Field(default=(), max_length=KEPT_BASELINES)
    """The baselines that are kept, the oldest first."""
    changes: tuple[Change, ...] = Field(default=(), max_length=KEPT_CHANGES)
    """The latest changes, the oldest first."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        numbers = [baseline.number for baseline in self.baselines]
        if numbers != sorted(set(numbers)):
            raise ValueError("its baselines are not in order")
        if self.current is not None and self.current not in numbers:
            raise ValueError(f"there is no baseline {self.current}, which it says is current")
        return self

    @property
    def name(self) -> str:
        """The channel's name."""
        return name_of(self.labels)

    @property
    def slug(self) -> str:
        """Beginning of the names of the channel's files."""
        return slug_of(self.labels)

    @property
    def baseline(self) -> Baseline | None:
        """The current baseline."""
        return next((one for one in self.baselines if one.number == self.current), None)

    @property
    def extends(self) -> bool:
        """Whether a person wants the baseline extended."""
        return self.request is not None and self.request.what == "extend"

    @property
    def before(self) -> Baseline | None:
        """The baseline before the current one, to which a channel can go back."""
        older = [one for one in self.baselines if self.current is not None and one.number < self.current]
        return older[-1] if older else None

    def file_name(self, number: int) -> str:
        """Name of the calibration file of a baseline."""
        return f"{self.slug}.{number}.npz"

    @property
    def exported(self) -> "History":
        """The history with its current baseline only, as another machine gets it."""
        now = () if self.baseline is None else (self.baseline,)
        return self.model_copy(update={"baselines": now, "request": None})

    def with_older(self, other: "History | None") -> "History":
        """The history with those baselines of another one that it lacks, as far as there is room."""
        own = {one.number for one in self.baselines}
        lacked = [] if other is None else [one for one in other.baselines if one.number not in own]
        room = KEPT_BASELINES - len(own)
        older = [one for one in reversed(lacked) if not one.provisional][:room]
        together = sorted([*older, *self.baselines], key=lambda one: one.number)
        return self.model_copy(update={"baselines": tuple(together)})

    def since(self, change: Change, **values: Any) -> "History":
        """The history after a change, with some values replaced.

        When the channel was last to be learned anew stays among the changes: what it has collected belongs to that.
        """
        changes = (*values.get("changes", self.changes), change)
        older, latest = changes[:-KEPT_CHANGES], changes[-KEPT_CHANGES:]
        anew = [one for one in older if one.what == "learn"]
        if anew and not any(one.what == "learn" for one in latest):
            latest = (anew[-1], *latest[1:])
        values["changes"] = latest
        return History.model_validate(self.model_copy(update=values).model_dump())

    def text(self) -> bytes:
        """The history as a file."""
        return self.model_dump_json(indent=1).encode()


def given(labels: dict[str, str]) -> dict[str, str]:
    """The labels that are not empty; by them channels are told apart, in whatever order."""
    return {name: value for name, value in labels.items() if value}


def name_of(labels: dict[str, str]) -> str:
    """A channel's name: the values of its labels, without empty ones."""
    return "/".join(given(labels).values())


def slug_of(labels: dict[str, str]) -> str:
    """Beginning of the names of a channel's files; the order of the labels does not count, a reload may change it."""
    return _slug(tuple(sorted(given(labels).items())))


@lru_cache(maxsize=MOST_SLUGS)
def _slug(ordered: tuple[tuple[str, str], ...]) -> str:
    return file_slug("/".join(value for _, value in ordered), json.dumps(ordered))


def read_history(path: Path) -> History:
    """Read and check the file of a history.

    Raises:
        ArtefactError: it cannot be read, is damaged, or belongs to another channel than its name says.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ArtefactError(f"{path}: has more than {MOST_BYTES} bytes; this is not a history of baselines")
        history = History.model_validate_json(text)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("format_version",):
            raise ArtefactError(f"{path}: is of another version of the format; it is left alone") from error
        where = ".".join(str(part) for part in first["loc"])
        raise ArtefactError(
            f"{path}: is not a history of baselines, or is damaged ({where}: {first['msg']})"
        ) from error
    if path.name != f"{history.slug}.json":
        raise ArtefactError(f"{path}: is the history of {history.name}, whose file is {history.slug}.json")
    return history


def require_model(baseline: Baseline, model_sha256: str) -> None:
    """Reject a baseline that was learned with another model.

    Raises:
        ArtefactError: the model is another one.
    """
    if baseline.model_sha256 != model_sha256:
        raise ArtefactError(
            f"baseline {baseline.number} was learned with model {baseline.model_sha256[:12]}, this is "
            f"{model_sha256[:12]}; learn again, or revert to a baseline of this model"
        )
