"""The families about the connection that messages come from: those of MQTT, or those of Kafka."""

from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.source import KafkaState
from monitor.runtime.intake.source import SourceState
from monitor.runtime.web.metrics.exposition import MetricsPage


def write_connection(page: MetricsPage, source: SourceState, ingest: Ingest) -> None:
    """Write the families of one connection."""
    if isinstance(source, KafkaState):
        text = "Whether a broker answers and the group is joined."
        page.single("vibration_kafka_connected", "gauge", text, source.connected)
        text = "How often partitions came or went."
        page.single("vibration_kafka_rebalances_total", "counter", text, source.rebalances)
        text = "Records of our partitions still to be read."
        page.single("vibration_kafka_lag_records", "gauge", text, source.lag_records)
        text = "Time since a partition was last read to its end; 0 if all are."
        page.single("vibration_kafka_behind_seconds", "gauge", text, source.behind_s)
        page.single("vibration_kafka_records_received_total", "counter", "Records that were read.", ingest.messages)
        page.single("vibration_kafka_bytes_received_total", "counter", "Bytes of their values.", ingest.payload_bytes)
    else:
        text = "Whether the broker connection is up and subscribed."
        page.single("vibration_mqtt_connected", "gauge", text, source.connected)
        page.single("vibration_mqtt_reconnects_total", "counter", "Connections after the first.", source.reconnects)
        page.single("vibration_mqtt_messages_received_total", "counter", "Messages that arrived.", ingest.messages)
        text = "Payload bytes that arrived."
        page.single("vibration_mqtt_bytes_received_total", "counter", text, ingest.payload_bytes)
