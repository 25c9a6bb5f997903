"""What follows a change of an alarm state: log line, capture, MQTT event."""
