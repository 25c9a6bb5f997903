"""From an MQTT broker to the intake: the client, its connection, and why a connection was lost."""
