"""The daemon around the core: MQTT, metrics, web, state, systemd."""
