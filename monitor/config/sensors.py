"""The section ``sensors`` of the configuration: topics, contents and measured conditions.

Does not handle: rules between sensors, and between sections (``config``).
"""

import re
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from monitor.config.machine import Machine
from monitor.config.section import Section
from monitor.core.messages.decode import FORMATS, SPARKPLUG
from monitor.core.messages.sparkplug.addresses import require_metric_topic
from monitor.core.messages.topics import LABEL, RESERVED_LABELS, TopicPattern, no_channel_has
from monitor.core.samples.condition_values import LONGEST_CONDITION_NAME
from monitor.core.units import UNITS_MPS2
from monitor.quantities import Seconds

CONDITION_NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of measured quantities."""

SPEED = "speed_rpm"
"""Name of the measured quantity that is the speed of the shaft."""

CONDITIONS_A_SENSOR = 8
"""Most measured quantities of a sensor. Fewer: machines with speed, load, temperatures and pressures do not fit. More:
nobody has healthy data for all their combinations."""


class Payload(Section):
    """How a sensor's payloads are encoded."""

    format: str = Field(examples=["float32"], json_schema_extra={"enum": list(FORMATS)})
    """One of the payload formats."""
    bytes: Literal["float32", "float64", "int16"] | None = None
    """How samples are packed in Sparkplug metrics of type Bytes; metrics of other types need nothing."""

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"'{value}' is not a payload format; known are {', '.join(FORMATS)}")
        return value

    @model_validator(mode="after")
    def _bytes(self) -> Self:
        if self.bytes is not None and self.format != SPARKPLUG:
            raise ValueError(f"bytes is for metrics of format sparkplug; {self.format} says by itself how it is packed")
        return self


class ConditionPayload(Section):
    """How the payloads of a measured quantity are encoded."""

    format: Literal["number", "json"]
    """``number``: the text of one number; ``json``: an object with the number under ``key``."""
    key: str | None = Field(default=None, min_length=1, max_length=128, examples=["rpm"])
    """The key, with ``json``."""

    @model_validator(mode="after")
    def _key(self) -> Self:
        if self.format == "json" and self.key is None:
            raise ValueError("json needs the key of the number; write {format: json, key: rpm}")
        if self.format == "number" and self.key is not None:
            raise ValueError("a number has no key; write {format: number}, or format: json")
        return self


class Condition(Section):
    """A measured operating quantity: where its values come from."""

    topic: str = Field(examples=["plant/{machine}/speed"])
    """Topic pattern. Its named levels are labels of the sensor; all channels that have them alike get the value."""
    payload: ConditionPayload
    """Encoding of the payloads."""
    max_age: Seconds = Field(default=30.0, gt=0, le=366 * 86400.0)
    """A value that arrived longer ago than this is unknown. A retained value arrives when the daemon subscribes."""

    @field_validator("topic")
    @classmethod
    def _pattern(cls, topic: str) -> str:
        TopicPattern.parse(topic)
        return topic


class Sensor(Section):
    """One kind of messages: their topics and their contents."""

    topic: str = Field(examples=["plant/{machine}/{sensor}/{axis}/acceleration"])
    """Topic pattern; a level ``{name}`` becomes a label, ``+`` matches a level without a name. Of a Sparkplug metric:
    the topic of its data, with its name behind."""
    payload: Payload
    """Encoding of the payloads."""
    sampling_rate_hz: float = Field(gt=0, le=10_000_000, examples=[12000])
    """Sampling rate of each axis."""
    unit: Literal["g", "mg", "m/s2"] = "m/s2"
    """Unit of the samples after ``scale``."""
    scale: float = Field(default=1.0, allow_inf_nan=False, examples=[0.000488])
    """Factor from raw counts to ``unit``."""
    axes: tuple[str, ...] = Field(default=(), examples=[["x", "y", "z"]])
    """Names of the axes, in order, if a message holds several; they become the label ``axis``."""
    labels: dict[str, str] = Field(default={}, examples=[{"hall": "3"}])
    """Labels added to every channel of this sensor."""
    model: str = "default"
    """Name of a model in the section ``models``."""
    calibration: str | None = Field(default=None, examples=["calibrations/{machine}-{sensor}-{axis}.calibration"])
    """Calibration file; ``{label}`` in its name is replaced by the channel's label. Without one there is no score."""
    conditions: dict[str, Condition] = Field(default={})
    """Measured operating quantities of its machines, by name, such as ``speed_rpm`` or ``load``."""
    machine: Machine = Machine()
    """Facts of its machines, for naming faults and judging the velocity."""
    expect: tuple[dict[str, str], ...] = Field(
        default=(), examples=[[{"machine": "fan-1", "sensor": "de", "axis": "x"}]]
    )
    """Labels of channels that must exist; one that has never sent is shown as silent."""

    @field_validator("topic")
    @classmethod
    def _pattern(cls, topic: str) -> str:
        TopicPattern.parse(topic)
        return topic

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("a scale of 0 turns every sample into 0")
        return scale

    @field_validator("labels")
    @classmethod
    def _label_names(cls, labels: dict[str, str]) -> dict[str, str]:
        for name in labels:
            if not LABEL.fullmatch(name) or name.startswith("__") or name in RESERVED_LABELS:
                raise ValueError(f"'{name}' is not usable as a label name")
        return labels

    @field_validator("conditions")
    @classmethod
    def _condition_names(cls, conditions: dict[str, Condition]) -> dict[str, Condition]:
        for name in conditions:
            if not CONDITION_NAME.fullmatch(name) or len(name) > LONGEST_CONDITION_NAME:
                raise ValueError(
                    f"'{name:.60}' is not the name of a quantity; write for example speed_rpm: at most "
                    f"{LONGEST_CONDITION_NAME} small letters, digits and underscores, a letter first"
                )
        if len(conditions) > CONDITIONS_A_SENSOR:
            raise ValueError(f"{len(conditions)} quantities are named; at most {CONDITIONS_A_SENSOR} for a sensor")
        return conditions

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = TopicPattern.parse(self.topic).names
        twice = sorted(set(names) & set(self.labels))
        if twice:
            raise ValueError(f"label '{twice[0]}' is both in the topic and in labels")
        if self.axes and "axis" in {*names, *self.labels}:
            raise ValueError("axes are given, and the label 'axis' too; drop one of the two")
        if len(set(self.axes)) != len(self.axes):
            raise ValueError("axes holds a name twice")
        for name in re.findall(r"\{([^}]*)\}", self.calibration or ""):
            if name not in {*self.label_names}:
                raise ValueError(f"calibration names the label '{name}', which this sensor does not have")
        for i, labels in enumerate(self.expect):
            if problem := no_channel_has(labels, self.topic, self.labels, self.axes):
                raise ValueError(f"expect[{i}]: {problem}")
        return self

    @model_validator(mode="after")
    def _sparkplug(self) -> Self:
        if self.payload.format == SPARKPLUG:
            require_metric_topic(self.topic)
            if self.axes:
                raise ValueError("axes: a Sparkplug metric is one channel; name the metric of each axis in the topic")
        return self

    @model_validator(mode="after")
    def _joined(self) -> Self:
        known = self.label_names
        for name, condition in self.conditions.items():
            if unknown := [label for label in TopicPattern.parse(condition.topic).names if label not in known]:
                where = f"conditions.{name}.topic"
                raise ValueError(f"{where}: this sensor has no label '{unknown[0]}'; it has {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _facts(self) -> Self:
        problems = self.machine.problems(self.sampling_rate_hz, measures_speed=SPEED in self.conditions)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def expected(self) -> list[tuple[str, str]]:
        """Topic and axis of each channel in ``expect``."""
        pattern = TopicPattern.parse(self.topic)
        everything = [self.labels | labels for labels in self.expect]
        return [(pattern.topic_of(labels), labels.get("axis", "")) for labels in everything]

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of this sensor's channels, in order."""
        names = (*TopicPattern.parse(self.topic).names, *self.labels)
        return names if "axis" in names else (*names, "axis")

    def why_no_channel(self, labels: Mapping[str, str]) -> str | None:
        """The reason why labels are not exactly those of a channel of this sensor; None if they are."""
        missing = [name for name in self.labels if name not in labels]
        if missing:
            return f"the label '{missing[0]}' is missing; name {', '.join(self.label_names)}"
        return no_channel_has(labels, self.topic, self.labels, self.axes)

    def calibration_of(self, labels: Mapping[str, str]) -> str | None:
        """The calibration file of the channel with these labels, as in the configuration; None if none is named."""
        name = self.calibration
        for label, value in labels.items() if name is not None else ():
            # A label comes from a topic: it must not lead out of the folder.
            name = str(name).replace(f"{{{label}}}", value.replace("/", "_").replace("..", "_"))
        return name

    @property
    def samples_only(self) -> Self:
        """The sensor as far as its samples are concerned: what a reload must not change for its channels to go on."""
        return self.model_copy(update={"expect": (), "conditions": {}, "machine": Machine()})

    @property
    def factor_mps2(self) -> float:
        """Factor from a raw sample to m/s²."""
        return self.scale * UNITS_MPS2[self.unit]
