"""The demo: broker, simulated machines, daemon and live page in one command."""
