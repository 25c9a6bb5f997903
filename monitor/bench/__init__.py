"""Benchmarks: the engine alone, the pipeline, and the daemon end to end over MQTT or Kafka."""
