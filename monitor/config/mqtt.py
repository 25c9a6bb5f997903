"""The section ``mqtt`` of the configuration: the connection to a broker, and what is published there.

Does not handle: which topics are subscribed to (``sensors``).
"""

import re
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from monitor.config.section import SecretFile, Section
from monitor.config.tls import Tls
from monitor.quantities import Bytes, Seconds


class HomeAssistant(Section):
    """Discovery messages for Home Assistant."""

    enabled: bool = False
    """Publish discovery messages."""
    prefix: str = "homeassistant"
    """Topic prefix that Home Assistant listens to."""


class Sparkplug(Section):
    """What the daemon sends to Sparkplug nodes."""

    rebirth: bool = False
    """Ask a node once for its births, by a command, where its data cannot be understood without them or messages of it
    are missing."""


class Mqtt(Section):
    """The connection to the broker."""

    section: ClassVar[str] = "mqtt"

    url: str = Field(default="mqtt://localhost:1883", examples=["mqtts://broker.example.com:8883"])
    """``mqtt://host[:port]`` or ``mqtts://host[:port]`` (TLS)."""
    version: Literal["5", "3.1.1"] = "5"
    """Protocol version."""
    client_id: str | None = Field(default=None, min_length=1, max_length=128, examples=["vibration-monitor-hall-3"])
    """Client identifier; two clients with the same identifier disconnect each other. Default: ``vibration-monitor-``,
    the host's name and a hash of ``state_dir``, or else of the file: unique, and the same after every start."""
    user: str | None = Field(default=None, examples=["vibration-monitor"])
    """User name."""
    password_file: SecretFile | None = Field(default=None, examples=["mqtt-password"])
    """File with the password; one trailing newline is ignored. A name without a folder is first looked up in
    systemd's credentials directory."""
    tls: Tls = Tls()
    """Certificates; only with ``mqtts://``."""
    qos: Literal[0, 1] = 0
    """Quality of service of the subscriptions."""
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """MQTT keep-alive in seconds."""
    reconnect_min: Seconds = Field(default=1.0, gt=0, le=60)
    """First wait before a reconnect."""
    reconnect_max: Seconds = Field(default=60.0, gt=0, le=3600)
    """Longest wait before a reconnect; waits double each time and have jitter."""
    max_payload: Bytes = Field(default=4 * 2**20, ge=100, le=256 * 2**20)
    """Largest payload that is decoded; larger ones are counted and dropped. If one is more than 128 KiB larger, its
    contents are not read. With MQTT 5 the broker is told the limit; messages that it then withholds are not counted."""
    status_topic: str | None = Field(default=None, examples=["plant/vibration-monitor/status"])
    """Retained ``online``, ``offline`` (the will) or ``stopped``. Default: ``vibration-monitor/status/`` and
    ``client_id``, so that each daemon has one of its own."""
    events_topic: str | None = Field(default=None, examples=["vibration-monitor/events"])
    """Topic prefix for alarm events as JSON, one topic a channel; without it, none are published."""
    baselines_topic: str | None = Field(default=None, examples=["vibration-monitor/baselines"])
    """Topic prefix for changes of baselines as JSON, one topic a channel, retained; without it, none are published."""
    homeassistant: HomeAssistant = HomeAssistant()
    """Discovery messages for Home Assistant."""
    sparkplug: Sparkplug = Sparkplug()
    """Commands to Sparkplug nodes."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError(f"'{url}' is not a broker address; write mqtt://host:1883 or mqtts://host:8883")
        if parts.username or parts.password:
            raise ValueError("no user or password in the url; use the keys user and password_file")
        _ = parts.port  # raises ValueError if out of range
        return url

    @property
    def address(self) -> str:
        """``host:port`` of the broker."""
        host, port = self.host_and_port
        return f"{host}:{port}"

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Host and port of the broker."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def status(self) -> str:
        """Topic of the status."""
        return self.status_topic or f"vibration-monitor/status/{re.sub('[+#/]', '_', self.client_id or '')}"

    @field_validator("status_topic", "events_topic", "baselines_topic")
    @classmethod
    def _check_topic(cls, topic: str | None) -> str | None:
        if topic is not None and (not topic or "+" in topic or "#" in topic):
            raise ValueError("a topic to publish to must not be empty or hold wildcards")
        return topic

    @model_validator(mode="after")
    def _own_topics(self) -> Self:
        if self.baselines_topic is not None and self.baselines_topic == self.events_topic:
            raise ValueError("baselines_topic and events_topic are the same; one would replace the other")
        return self

    @model_validator(mode="after")
    def _waits(self) -> Self:
        if self.reconnect_max < self.reconnect_min:
            raise ValueError("reconnect_max is below reconnect_min")
        return self

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if self.tls != Tls() and not self.secure:
            raise ValueError("tls is given, but the url is not encrypted; write mqtts://host:8883")
        return self
