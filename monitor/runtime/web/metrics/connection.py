"""The families about the connection: those of MQTT or of Kafka, and of what is written to a topic."""

from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.ownership import Ownership
from monitor.runtime.intake.kafka.source import KafkaState
from monitor.runtime.intake.kafka.state_topic import Ignored
from monitor.runtime.intake.kafka.stream_writer import Reason
from monitor.runtime.intake.source import SourceState
from monitor.runtime.scores.desk import ScoreDesk
from monitor.runtime.web.metrics.exposition import MetricsPage


def write_ownership(page: MetricsPage, ownership: Ownership) -> None:
    """Write the families of the state that moves between workers."""
    topic = ownership.topic
    text = "Seconds of samples read again to warm up, over all channels that came."
    page.single("vibration_kafka_replayed_seconds_total", "counter", text, ownership.replayed_s)
    text = "States of channels written to kafka.state_topic."
    page.single("vibration_kafka_states_written_total", "counter", text, topic.written)
    text = "States of channels that kafka.state_topic did not accept."
    page.single("vibration_kafka_state_write_failures_total", "counter", text, topic.failures)
    page.family(
        "vibration_kafka_states_ignored_total",
        "counter",
        "Records of kafka.state_topic that were not used, by reason.",
        ((f'reason="{reason}"', topic.ignored[reason]) for reason in Ignored),
    )


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
        if source.ownership is not None:
            write_ownership(page, source.ownership)
        page.single("vibration_kafka_records_received_total", "counter", "Records that were read.", ingest.messages)
        page.single("vibration_kafka_bytes_received_total", "counter", "Bytes of their values.", ingest.payload_bytes)
    else:
        text = "Whether the broker connection is up and subscribed."
        page.single("vibration_mqtt_connected", "gauge", text, source.connected)
        page.single("vibration_mqtt_reconnects_total", "counter", "Connections after the first.", source.reconnects)
        page.single("vibration_mqtt_messages_received_total", "counter", "Messages that arrived.", ingest.messages)
        text = "Payload bytes that arrived."
        page.single("vibration_mqtt_bytes_received_total", "counter", text, ingest.payload_bytes)


def write_scores(page: MetricsPage, scores: ScoreDesk | None) -> None:
    """Write the families of the topic of scores, if there is one."""
    if scores is None or scores.written is None:
        return
    page.single("vibration_scores_written_total", "counter", "Intervals written to kafka.scores_topic.", scores.written)
    page.family(
        "vibration_scores_dropped_total",
        "counter",
        "Intervals not written to kafka.scores_topic, by reason.",
        ((f'reason="{reason}"', scores.dropped[reason]) for reason in Reason),
    )
