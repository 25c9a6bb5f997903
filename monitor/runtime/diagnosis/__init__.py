"""Names the fault of a channel in warning or alarm, and on demand: listens to it, and diagnoses in a process beside."""
