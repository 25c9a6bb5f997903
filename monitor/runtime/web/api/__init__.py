"""The HTTP API: alarms, baselines, diagnosis and history, and the document that describes every route."""
