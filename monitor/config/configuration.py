"""The configuration: every key with its type, bounds, default and one line of explanation.

The objects are immutable; a reload creates new ones. Rules across several keys are checked here too. Does not handle:
the contents of the files that it names.
"""

import re
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.config.section import SecretFile, Section
from monitor.config.sensors import Sensor
from monitor.core.messages.decode import SPARKPLUG
from monitor.core.messages.topics import TopicPattern
from monitor.core.samples.condition_values import CONDITIONS_IN_ALL
from monitor.quantities import Bytes, Seconds

MOST_REASONS = 5
"""Sensors of which it is said why a channel is none of theirs; all of a plant's would fill the screen."""

HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?")
"""A DNS name without port."""

PAGE_URL = re.compile(r"https?://[A-Za-z0-9.:_\[\]-]+(/[^\s?#\"]*)?")
"""The URL of a page, without user, query and fragment."""


class Inference(Section):
    """How forecasts are computed."""

    engine: Literal["auto", "onnxruntime", "tensorflow", "jax"] = "auto"
    """``auto``: TensorFlow or JAX if a GPU is visible and one of them is installed, else ONNX Runtime."""
    mode: Literal["carried", "windowed"] = "carried"
    """Carry the LSTM state from block to block, or start each forecast with a zero state and a window (25 times the
    work)."""
    workers: int = Field(default=0, ge=0, le=256)
    """Worker processes that share a model's channels; 0: as many as ``limits.channels`` needs, at most one a core."""
    max_batch: int = Field(default=1024, ge=1, le=262_144)
    """Most blocks in one batch."""
    max_delay: Seconds = Field(default=0.005, ge=0, le=1)
    """Wait for a fuller batch where no block is due, and of a worker that is busy with small batches while its oldest
    block is younger than 50 ms. Lower: less latency, but less throughput."""


class Scoring(Section):
    """From gaps to alarms."""

    interval: Seconds = Field(default=1.0, ge=0.01, le=3600)
    """Duration of signal that one score covers."""
    false_alarms_per_month: float = Field(default=1.0, gt=0, le=10_000)
    """Accepted false alarms of a healthy channel, in episodes a month."""
    warmup_blocks: int | None = Field(default=None, ge=1, le=10_000, examples=[50])
    """Blocks after a reset that are not scored, for channels without a calibration (default 25)."""
    silent_after: Seconds = Field(default=60.0, ge=1)
    """A channel without samples for this long is silent, and its gauges are removed."""
    rate_tolerance: float = Field(default=0.05, gt=0, le=1e6)
    """Relative difference by which the rate of arriving samples may differ from the configured one. A channel that
    exceeds it for a minute is not scored. With 10, recordings can be replayed up to eleven times as fast."""
    forget_after: Seconds = Field(default=30 * 86400.0, ge=1)
    """A channel without samples for this long is removed; to remove a channel now, lower the value and reload."""


class Learning(Section):
    """Channels without a calibration file learn what is healthy from their own life."""

    enabled: bool = False
    """Whether channels without a calibration file learn. It needs a ``state_dir``."""
    duration: Seconds = Field(default=7 * 86400.0, ge=1, le=366 * 86400.0)
    """Running time of a machine that its channels learn from; then their limits are locked."""
    minimum: Seconds = Field(default=3600.0, ge=1, le=366 * 86400.0)
    """Running time after which a channel has a provisional calibration."""
    settle: Seconds = Field(default=600.0, ge=0, le=366 * 86400.0)
    """Running time that is left out at the beginning, and after a standstill that was longer than this."""
    model: Literal["reference", "own"] = Field(default="reference", examples=["own"])
    """The model that forecasts the channels that learn. ``reference``: the configured one. ``own``: one trained from it
    on the first ``minimum`` of running of all channels, if that foresees more; learning begins after that. It needs the
    extra ``[tensorflow]``."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.duration:
            raise ValueError(f"minimum ({self.minimum:g} s) is longer than duration ({self.duration:g} s)")
        return self


class Limits(Section):
    """Limits on memory."""

    channels: int = Field(default=1024, ge=1, le=1_000_000)
    """Most channels; messages of further channels are counted and dropped."""
    buffer: Seconds = Field(default=2.0, ge=0.1, le=600)
    """Length of each channel's buffer; a message longer than this is truncated."""


class BasicAuth(Section):
    """HTTP basic authentication."""

    user: str = Field(examples=["prometheus"])
    """User name."""
    password_file: SecretFile = Field(examples=["page-password"])
    """File with the password."""


class Http(Section):
    """Metrics, health and the live page."""

    listen: str = Field(default="127.0.0.1:9108", examples=["0.0.0.0:9108"])
    """``address:port``; port 0 takes a free one."""
    page: bool = True
    """Serve the live page and its data."""
    reload: bool = False
    """Accept ``POST /-/reload``."""
    cert_file: SecretFile | None = Field(default=None, examples=["/etc/vibration-monitor/page.pem"])
    """Certificate: serve HTTPS."""
    key_file: SecretFile | None = Field(default=None, examples=["/etc/vibration-monitor/page-key.pem"])
    """Key of the certificate."""
    basic_auth: BasicAuth | None = None
    """Require a user and a password."""
    bearer_token_file: SecretFile | None = Field(default=None, examples=["page-token"])
    """Require the bearer token in this file."""
    allowed_hosts: tuple[str, ...] = Field(default=(), examples=[["monitor.example.com"]])
    """Further host names of the page, for example that of a reverse proxy. ``localhost`` and the machine's own name and
    addresses are always allowed. ``/metrics`` and the health checks accept any name."""

    public_url: str | None = Field(default=None, examples=["https://monitor.example.com"])
    """URL at which people open the live page, for links in alerts and events; its host is allowed as well. Default:
    ``listen``."""
    grafana_url: str | None = Field(default=None, examples=["https://grafana.example.com"])
    """URL of a Grafana with the dashboards of ``config/grafana``, for links on the live page."""

    @field_validator("public_url", "grafana_url")
    @classmethod
    def _url(cls, url: str | None) -> str | None:
        if url is not None and not PAGE_URL.fullmatch(url):
            raise ValueError(f"'{url}' is not the URL of a page; write for example https://monitor.example.com")
        return url and url.rstrip("/")

    @field_validator("listen")
    @classmethod
    def _address(cls, listen: str) -> str:
        host, separator, port = listen.rpartition(":")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"'{listen}' is not an address; write for example 127.0.0.1:9108 or [::1]:9108")
        return listen

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not HOST_NAME.fullmatch(name):
                raise ValueError(f"'{name}' is not a host name; write for example monitor.example.com, without port")
        return names

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if self.basic_auth and self.bearer_token_file:
            raise ValueError("basic_auth and bearer_token_file exclude each other")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Evidence(Section):
    """Samples that are stored about an alarm."""

    enabled: bool = True
    """Write the samples around an alarm to ``state_dir/evidence``."""
    before: Seconds = Field(default=2.0, ge=0, le=600)
    """Duration of samples before the alarm, as far as the buffer reaches."""
    after: Seconds = Field(default=2.0, ge=0, le=600)
    """Duration of samples after the alarm."""
    max_size: Bytes = Field(default=500 * 10**6, ge=10**6)
    """Largest total size; the oldest files are deleted first."""
    max_age: Seconds = Field(default=90 * 86400.0, ge=60)
    """Age at which files are deleted."""


class Config(Section):
    """The whole configuration."""

    mqtt: Mqtt = Mqtt()
    """The broker."""
    kafka: Kafka | None = Field(default=None, examples=[{"bootstrap": "localhost:9092"}])
    """A Kafka cluster instead."""
    models: dict[str, str] = Field(default={"default": "models/reference"}, examples=[{"default": "reference"}])
    """Models by name: each a directory, relative to this file, or the name of a shipped model such as ``reference``."""
    sensors: tuple[Sensor, ...]
    """Topics to subscribe to, and what their messages hold."""
    inference: Inference = Inference()
    """Engine and batching."""
    scoring: Scoring = Scoring()
    """Intervals and limits."""
    learning: Learning = Learning()
    """How channels without a calibration file learn what is healthy from their own life."""
    limits: Limits = Limits()
    """Limits on memory."""
    http: Http = Http()
    """The HTTP server."""
    evidence: Evidence = Evidence()
    """Evidence of alarms."""
    state_dir: Path | None = Field(default=None, examples=["/var/lib/vibration-monitor"])
    """Folder for state and evidence, relative to this file; without it nothing is stored. Default: systemd's
    STATE_DIRECTORY."""

    @field_validator("sensors")
    @classmethod
    def _not_empty(cls, sensors: tuple[Sensor, ...]) -> tuple[Sensor, ...]:
        if not sensors:
            raise ValueError("name at least one sensor")
        return sensors

    @model_validator(mode="after")
    def _one_broker(self) -> Self:
        if self.kafka is None:
            return self
        if "mqtt" in self.model_fields_set:
            raise ValueError("kafka: is given beside mqtt; messages come from one of them, leave the other out")
        for i, sensor in enumerate(self.sensors):
            if sensor.payload.format == SPARKPLUG:
                raise ValueError(
                    f"sensors[{i}].payload.format: sparkplug needs mqtt; births, data and deaths of a node have "
                    "different topics, and Kafka does not keep the order of records with different keys"
                )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [
            f"sensors[{i}].model: there is no model '{sensor.model}'; known are {', '.join(self.models) or 'none'}"
            for i, sensor in enumerate(self.sensors)
            if sensor.model not in self.models
        ]
        if self.learning.model == "own":
            problems += [
                f"sensors[{i}].calibration: belongs to the configured model '{sensor.model}', which learning.model: "
                "own exchanges; give the sensors with a calibration a model of their own name, such as models: "
                f"{{calibrated: {self.models.get(sensor.model, 'reference')}}}"
                for i, sensor in enumerate(self.sensors)
                if sensor.calibration is not None
                and any(other.model == sensor.model for other in self.sensors if other.calibration is None)
            ]
        if self.scoring.forget_after < self.scoring.silent_after:
            problems.append("scoring.forget_after: is below scoring.silent_after")
        patterns = [TopicPattern.parse(sensor.topic) for sensor in self.sensors]
        for (i, one), (j, other) in combinations(enumerate(patterns), 2):
            if (topic := one.shared_topic(other)) is not None:
                problems.append(
                    f"sensors[{j}].topic: '{other.text}' and '{one.text}' of sensors[{i}] both match '{topic}', whose "
                    "samples would count twice; no topic may fit two sensors"
                )
        for (i, sensor), (j, pattern) in product(enumerate(self.sensors), enumerate(patterns)):
            for name, condition in sensor.conditions.items():
                if (topic := TopicPattern.parse(condition.topic).shared_topic(pattern)) is not None:
                    problems.append(
                        f"sensors[{i}].conditions.{name}.topic: '{condition.topic}' and '{pattern.text}' of "
                        f"sensors[{j}] both match '{topic}'; samples and a measured quantity need topics of their own"
                    )
        if len(self.condition_names) > CONDITIONS_IN_ALL:
            problems.append(
                f"sensors: the conditions have {len(self.condition_names)} different names; at most {CONDITIONS_IN_ALL}"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def broker(self) -> Mqtt | Kafka:
        """Where the messages come from."""
        return self.mqtt if self.kafka is None else self.kafka

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of all channels: every sensor's names in order of appearance."""
        names = dict.fromkeys(name for sensor in self.sensors for name in sensor.label_names if name != "axis")
        return (*names, "axis")

    def why_no_channel(self, labels: Mapping[str, str]) -> str | None:
        """The reason why no sensor has a channel with these labels, which a person gave; None if one has."""
        found = [sensor.why_no_channel(labels) for sensor in self.sensors]
        if not all(found):
            return None
        reasons = [f"sensors[{i}]: {why}" for i, why in enumerate(found[:MOST_REASONS])]
        return "no sensor of the configuration has a channel with these labels: " + "; ".join(reasons)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """The names of all measured quantities, in order of appearance."""
        return tuple(dict.fromkeys(name for sensor in self.sensors for name in sensor.conditions))
