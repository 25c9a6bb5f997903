"""The families about the connection that messages come from: those of MQTT, or those of Kafka."""

from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.source import KafkaState
from monitor.runtime.intake.source import SourceState
from monitor.runtime.web.metrics.exposition import MetricsPage


def write_connection(page: MetricsPage, source: SourceState, ingest: Ingest) -> None:
    """Write the families of one connection."""
    families: list[tuple[str, str, str, float]] = []
    if isinstance(source, KafkaState):
        families += [
            (
                "vibration_kafka_connected",
                "gauge",
                "Whether a broker answers and the group is joined.",
                source.connected,
            ),
            ("vibration_kafka_rebalances_total", "counter", "How often partitions came or went.", source.rebalances),
            ("vibration_kafka_lag_records", "gauge", "Records of our partitions still to be read.", source.lag_records),
            (
                "vibration_kafka_behind_seconds",
                "gauge",
                "Time since a partition was last read to its end; 0 if all are.",
                source.behind_s,
            ),
            ("vibration_kafka_records_received_total", "counter", "Records that were read.", ingest.messages),
            ("vibration_kafka_bytes_received_total", "counter", "Bytes of their values.", ingest.payload_bytes),
        ]
    else:
        families += [
            (
                "vibration_mqtt_connected",
                "gauge",
                "Whether the broker connection is up and subscribed.",
                source.connected,
            ),
            ("vibration_mqtt_reconnects_total", "counter", "Connections after the first.", source.reconnects),
            ("vibration_mqtt_messages_received_total", "counter", "Messages that arrived.", ingest.messages),
            ("vibration_mqtt_bytes_received_total", "counter", "Payload bytes that arrived.", ingest.payload_bytes),
        ]
    for name, kind, text, value in families:
        page.family(name, kind, text, [("", float(value))])
