"""From a Kafka cluster to the intake: records are messages, their keys the topics."""
