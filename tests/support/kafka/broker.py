"""A real Kafka broker for tests: one node, KRaft, on loopback, small; it ends with its block.

Its libraries are those of ``pom.xml`` beside this file, in ``$KAFKA_HOME/libs``, or else in ``.kafka/libs`` of the
repository.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from tests.support.programs import ROOT, missing, program
from tests.support.servers import free_port, listening, process, wait_for

JVM = (
    "-Xmx256m",
    "-Xms64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:ActiveProcessorCount=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
"""A broker of a test moves little: a small heap, one thread of the garbage collector, quick compilation."""

CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
"""Identifier of the cluster: a UUID in Base64."""

SETTINGS = """\
process.roles=broker,controller
node.id=1
listeners={listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listener}://127.0.0.1:{port}
listener.security.protocol.map={listener}:{listener},CONTROLLER:PLAINTEXT
inter.broker.listener.name={listener}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.heartbeat.interval.ms=500
group.consumer.min.heartbeat.interval.ms=500
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
background.threads=1
log.cleaner.dedupe.buffer.size=4194304
"""


@dataclass
class KafkaBroker:
    """A broker that answers."""

    port: int
    log: Path
    process: "subprocess.Popen[str]"
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    """What clients need beside its address."""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it without a warning."""
        self.process.kill()
        self.process.wait(10)

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Create a topic, and wait until it is there."""
        admin = self._admin()
        for done in admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values():
            done.result(20)
        wait_for(lambda: topic in admin.list_topics(timeout=10).topics, f"topic {topic}")

    def topics(self) -> list[str]:
        """The names of all topics."""
        return list(self._admin().list_topics(timeout=10).topics)

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        admin = self._admin()  # it must live until the answer
        for done in admin.create_partitions([NewPartitions(topic, partitions)]).values():
            done.result(20)

    def send(
        self,
        topic: str,
        records: Iterable[tuple[str | bytes | None, bytes | None]],
        *,
        partition: int = -1,
        at_s: Sequence[float] = (),
        headers: Sequence[tuple[str, bytes]] = (),
        options: Mapping[str, str | int] = MappingProxyType({}),
    ) -> None:
        """Send records of (key, value), with UNIX times ``at_s`` if given; ends when the broker has all of them."""
        failed: list[object] = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, **self.options, **options})
        for i, (key, value) in enumerate(records):
            at_ms = round(at_s[i] * 1000) if at_s else 0
            producer.produce(
                topic, value, key, partition, timestamp=at_ms, headers=list(headers),
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )  # fmt: skip
            producer.poll(0)
        assert producer.flush(20) == 0
        assert not failed, failed

    @contextlib.contextmanager
    def following(self, topic: str, limit_s: float = 60.0) -> Iterator[Iterator[Message]]:
        """The records of a topic from its beginning; ends when none has come for ``limit_s``."""
        settings = {"group.id": f"follow-{topic}", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer({"bootstrap.servers": self.bootstrap, **settings, **self.options})
        consumer.subscribe([topic])

        def records() -> Iterator[Message]:
            while (record := consumer.poll(limit_s)) is not None:
                if record.error() is None:
                    yield record

        try:
            yield records()
        finally:
            consumer.close()

    def read(self, topic: str, count: int) -> list[Message]:
        """The first records of a topic, once there are ``count`` of them."""
        settings = {"group.id": f"read-{topic}", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer({"bootstrap.servers": self.bootstrap, **settings, **self.options})
        consumer.subscribe([topic])
        found: list[Message] = []

        def enough() -> bool:
            found.extend(each for each in consumer.consume(count, 0.1) if each.error() is None)
            return len(found) >= count

        try:
            wait_for(enough, f"{count} records in {topic}")
        finally:
            consumer.close()
        return found

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, **self.options})


@contextlib.contextmanager
def kafka(
    folder: Path,
    *lines: str,
    port: int | None = None,
    listener: str = "PLAINTEXT",
    formatting: Sequence[str] = (),
    jvm: Sequence[str] = JVM,
) -> Iterator[KafkaBroker]:
    """A broker in a folder, which keeps its data if started there again.

    Args:
        folder: for its data and settings.
        lines: added to its settings.
        port: of its listener.
        listener: how clients talk to it.
        formatting: options of the formatting of a new folder.
        jvm: options of the Java machine.
    """
    port = port or free_port()
    command = [program("java"), *jvm, "-cp", f"{libraries()}/*"]
    settings = folder / "server.properties"
    values = {"port": port, "controller": free_port(), "folder": folder, "listener": listener}
    settings.write_text(SETTINGS.format(**values) + "\n".join([*lines, ""]))
    if not (folder / "log" / "meta.properties").exists():
        subprocess.run(
            [
                *command,
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "-t",
                CLUSTER,
                "-c",
                settings,
                *formatting,
            ],
            check=True,
            capture_output=True,
        )
    log = folder / "kafka.log"
    with log.open("a") as stream, process(*command, "kafka.Kafka", settings, stdout=stream, stderr=stream) as child:
        wait_for(lambda: listening(port) or child.poll() is not None, "Kafka to listen", 60)
        assert child.poll() is None, log.read_text()[-4000:]
        yield KafkaBroker(port, log, child)


def libraries() -> Path:
    """The folder with the broker's libraries; the test skips, or fails in CI, without."""
    homes = [Path(home) for home in [os.environ.get("KAFKA_HOME"), ROOT / ".kafka"] if home]
    found = next((home / "libs" for home in homes if list((home / "libs").glob("kafka_*.jar"))), None)
    return found or missing("no Kafka in $KAFKA_HOME or .kafka; tests/support/kafka/pom.xml says how it gets there")
