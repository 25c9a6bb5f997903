"""The section ``kafka`` of the configuration: a consumer group whose records hold the messages of sensors.

Does not handle: what the files hold that it names, and librdkafka's own options, which librdkafka checks
(``runtime/intake/kafka/client.py``).
"""

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from monitor.config.section import SecretFile, Section
from monitor.config.tls import Tls
from monitor.quantities import Bytes

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?)(:(\d{1,5}))?")
"""One broker: a host name or address, with or without port."""

TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
"""A topic of Kafka."""

OWN_OPTIONS = frozenset(
    {
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "client.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "enable.ssl.certificate.verification",
        "group.id",
        "group.protocol",
        "metadata.broker.list",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "statistics.interval.ms",
    }
)
"""Options of librdkafka that follow from other keys, or that the daemon relies on."""


class Sasl(Section):
    """Our account at the brokers; only with ``security: sasl_ssl`` or ``sasl_plaintext``."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the account is proven."""
    user: str | None = Field(default=None, min_length=1, examples=["vibration-monitor"])
    """User name."""
    password_file: SecretFile | None = Field(default=None, examples=["kafka-password"])
    """File with the password; one trailing newline is ignored. A name without a folder is first looked up in
    systemd's credentials directory."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        return self


class Kafka(Section):
    """A Kafka cluster instead of an MQTT broker, whose records hold the messages of the sensors."""

    section: ClassVar[str] = "kafka"

    bootstrap: str = Field(default="localhost:9092", examples=["kafka-1.example.com:9093,kafka-2.example.com:9093"])
    """``host:port`` of some brokers, with commas between them."""
    group: str = Field(default="vibration-monitor", min_length=1, max_length=249, examples=["vibration-hall-3"])
    """Consumer group. Daemons with the same group share the channels; each channel is scored by one of them."""
    topic: str | tuple[str, ...] = Field(default="vibration.acceleration", examples=["vibration.acceleration"])
    """Topic of Kafka, or a list of topics, with the messages of the sensors; also with those of measured quantities
    where one daemon is alone in its group."""
    conditions_topic: str | None = Field(default=None, examples=["vibration.conditions"])
    """Topic with measured quantities, of which every daemon reads all partitions: a value may belong to channels of any
    of them. Values that still hold are read again at the start."""
    topic_header: str | None = Field(default=None, min_length=1, max_length=128, examples=["mqtt.topic"])
    """Header of a record with the topic that its sensor publishes to. Default: the key of the record."""
    start: Literal["latest", "earliest"] = "latest"
    """Where a group without a committed position begins; later it goes on where it stopped."""
    events_topic: str | None = Field(default=None, examples=["vibration.events"])
    """Topic for alarm events as JSON, keyed by the channel's labels with ``/`` between them; without it, none are
    written. If the topic is compacted, it keeps the last event of each channel."""
    scores_topic: str | None = Field(default=None, examples=["vibration.scores"])
    """Topic for the score and the figures of every interval of a channel with a calibration as JSON, keyed likewise;
    ``scores.schema.json`` beside this file describes it. Without it, none are written."""
    baselines_topic: str | None = Field(default=None, examples=["vibration.baselines"])
    """Topic for changes of baselines as JSON, as alarm events."""
    state_topic: str | None = Field(default=None, examples=["vibration.state"])
    """Compacted topic with the state of every channel, so that a channel goes on where the daemon before it stopped;
    without it, a channel that moves to another daemon begins anew. All daemons of a group name the same one, and every
    group its own."""
    protocol: Literal["auto", "consumer", "classic"] = "auto"
    """Protocol of the group: ``auto`` is ``consumer`` (KIP-848, Kafka 4.0) where the brokers have it, else
    ``classic``."""
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    """Kafka's ``security.protocol``: with or without TLS, with or without an account."""
    tls: Tls = Tls()
    """Certificates; only with ``ssl`` and ``sasl_ssl``."""
    sasl: Sasl = Sasl()
    """Our account."""
    client_id: str | None = Field(default=None, min_length=1, max_length=128, examples=["vibration-monitor-hall-3"])
    """Name of this daemon in the brokers' logs and quotas. Default: as ``mqtt.client_id``."""
    max_payload: Bytes = Field(default=4 * 2**20, ge=100, le=256 * 2**20)
    """Largest value of a record that is decoded; larger ones are counted and dropped."""
    options: dict[str, str | int | float | bool] = Field(default={}, examples=[{"client.rack": "hall-3"}])
    """Further options of librdkafka by name. Those that have a key of their own here are refused."""

    @field_validator("bootstrap")
    @classmethod
    def _brokers(cls, bootstrap: str) -> str:
        for broker in bootstrap.split(","):
            found = ADDRESS.fullmatch(broker.strip())
            if not found or int(found[4] or 9092) > 65535:
                raise ValueError(f"'{broker.strip()}' is not the address of a broker; write for example localhost:9092")
        return bootstrap

    @field_validator("topic", "conditions_topic", "events_topic", "scores_topic", "baselines_topic", "state_topic")
    @classmethod
    def _topics(cls, topic: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        named = (topic,) if isinstance(topic, str) else topic
        if named is not None and not named:
            raise ValueError("name at least one topic")
        for one in named or ():
            if not TOPIC.fullmatch(one):
                raise ValueError(
                    f"'{one}' is not a topic of Kafka (letters, digits, '.', '_' and '-', at most 249); the topics "
                    "that sensors publish to are the keys of its records"
                )
        if len(set(named or ())) < len(named or ()):
            raise ValueError("a topic is named twice")
        return topic

    @field_validator("options")
    @classmethod
    def _free(cls, options: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        if own := sorted(OWN_OPTIONS & options.keys()):
            raise ValueError(f"'{own[0]}' is set by the daemon itself, from its own keys; leave it out")
        if secret := sorted(name for name in options if "password" in name or "secret" in name):
            raise ValueError(f"'{secret[0]}' is a secret, which does not belong into this file; use sasl.password_file")
        return options

    @model_validator(mode="after")
    def _secured(self) -> Self:
        written = (self.events_topic, self.scores_topic, self.baselines_topic, self.state_topic)
        named = [*self.topics, self.conditions_topic, *written]
        if twice := next((topic for topic in named if topic is not None and named.count(topic) > 1), None):
            raise ValueError(f"the topic '{twice}' is named twice; what is read and what is written needs its own")
        if self.tls != Tls() and not self.secure:
            raise ValueError(f"tls is given, but security is {self.security}; write security: ssl, or sasl_ssl")
        with_account = self.security.startswith("sasl")
        if with_account and self.sasl.user is None:
            raise ValueError(
                f"security is {self.security}, but there is no account; give sasl.user and its password_file"
            )
        if not with_account and self.sasl.user is not None:
            raise ValueError(f"sasl is given, but security is {self.security}; write security: sasl_ssl")
        return self

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the group reads."""
        return (self.topic,) if isinstance(self.topic, str) else self.topic

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.security.endswith("ssl")

    @property
    def address(self) -> str:
        """``host:port`` of some brokers."""
        return self.bootstrap

    @property
    def url(self) -> str:
        """The cluster, for messages."""
        return f"kafka://{self.bootstrap}"
