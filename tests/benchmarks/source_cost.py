"""What a message costs from the broker to the rings, over MQTT and from Kafka, one after the other on one machine.

Prints the daemon's processor time, libraries and their threads included, a million samples. Broker and sender are
processes of their own and do not count; nothing is forecast. Needs mosquitto and the Kafka of the tests
(``tests/support/kafka/pom.xml``). Run: ``python tests/benchmarks/source_cost.py``
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.config.file import parse_config, with_own_place
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.broker import Broker
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.log.internal_errors import InternalErrors
from tests.support.kafka.broker import kafka
from tests.support.servers import mosquitto, until

MESSAGES, CHANNELS, SAMPLES, PARTITIONS = 40_000, 1000, 1000, 4

SENSORS = (
    "sensors: [{topic: 'plant/{machine}/x', payload: {format: float32}, sampling_rate_hz: 12800}]\n"
    "limits: {channels: 1000, buffer: 10s}\n"
)

FROM_KAFKA = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 5, "queue.buffering.max.messages": 20_000})
for i in range(int(sys.argv[3])):
    while True:
        producer.poll(0)
        try:
            producer.produce("cost", bytes(int(sys.argv[2])), f"plant/{i % int(sys.argv[4])}/x")
            break
        except BufferError:
            producer.poll(0.01)
producer.flush()
"""

FROM_MQTT = """
import sys
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
client = paho.Client(CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
for i in range(int(sys.argv[3])):
    sent = client.publish(f"plant/{i % int(sys.argv[4])}/x", bytes(int(sys.argv[2])))
    if i % 256 == 255:
        sent.wait_for_publish()
sent.wait_for_publish()
client.disconnect()
"""


async def measure(text: str, send: Callable[[], "subprocess.Popen[bytes]"]) -> float:
    """Processor time in ms a million samples, over the last nine tenths of the messages."""
    config = with_own_place(parse_config(text + SENSORS, Path("source-cost")), Path("source-cost"))
    rings = Rings(CHANNELS, 1280, 100)
    rings._slots[:] = 0.0  # what takes a page of memory for the first time costs as much again
    ingest = Ingest(config, {"default": rings}, lambda _: None, time.monotonic)
    broker = Broker(config, ingest, InternalErrors(time.monotonic))
    broker.start()
    await until(lambda: broker.state.connected, "the broker")
    sender = await asyncio.to_thread(send)

    async def come(share: float) -> int:
        while ingest.messages < share * MESSAGES:
            await asyncio.sleep(0.02)
            rings._taken[:] = rings._complete
        return ingest.messages

    before, before_s = await come(0.1), time.process_time()
    count = await come(1.0) - before
    used_s = time.process_time() - before_s
    await asyncio.to_thread(sender.wait)
    await broker.stop()
    if ingest.rejected:
        raise SystemExit(f"messages were rejected: {dict(ingest.rejected)}")
    return used_s / (count * SAMPLES) * 1e9


def main() -> None:
    """Print one line a source and round."""
    numbers = [str(4 * SAMPLES), str(MESSAGES), str(CHANNELS)]

    def sender(code: str, where: str) -> Callable[[], "subprocess.Popen[bytes]"]:
        return lambda: subprocess.Popen([sys.executable, "-c", code, where, *numbers])

    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name)) as port, kafka(Path(name)) as cluster:
        cluster.create("cost", PARTITIONS)
        sources = {
            "mqtt": (f"mqtt: {{url: 'mqtt://127.0.0.1:{port}'}}\n", sender(FROM_MQTT, str(port))),
            "kafka": (
                f"kafka: {{bootstrap: '{cluster.bootstrap}', topic: cost}}\n",
                sender(FROM_KAFKA, cluster.bootstrap),
            ),
        }
        found: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(3):
            for source, (text, send) in sources.items():
                found[source].append(asyncio.run(measure(text, send)))
                print(f"{source}: {found[source][-1]:.1f} ms of processor time a million samples")
    print(f"kafka over mqtt: {np.median(found['kafka']) / np.median(found['mqtt']):.2f}")


if __name__ == "__main__":
    main()
