"""The few errors a user can meet, each with the exit code of the command that raises it.

A message says what was being done, what was found, what was expected and what to do. The command line prints it
alone, without a traceback. Knows nothing of the rest of the package.
"""


class MonitorError(Exception):
    """A failure at run time that a person can act upon."""

    exit_code = 4


class ConfigurationError(MonitorError):
    """A usage or configuration error; the text lists every problem found, one a line."""

    exit_code = 2


class ArtefactError(MonitorError):
    """A model or calibration that cannot be used: damaged, unsafe, or made for something else."""

    exit_code = 3


class RecordingError(MonitorError):
    """A recording that cannot be read, or does not fit what is asked of it."""

    exit_code = 3
