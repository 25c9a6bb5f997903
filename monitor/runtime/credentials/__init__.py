"""Secrets and certificates, read from files and never shown."""
