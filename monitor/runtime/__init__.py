"""The daemon around the core, from the broker to metrics and alarms.

``daemon`` wires the folders, ``reload`` prepares another configuration, ``signals`` runs it as a process.
"""
