"""The errors that a user can meet, each with the exit code of the command.

A message says what was being done, what was found, what was expected and what to do. The command line prints it
without a traceback.
"""


class MonitorError(Exception):
    """A failure at run time that the user can act on."""

    exit_code = 4


class ConfigurationError(MonitorError):
    """A usage or configuration error; the text lists every problem found, one a line."""

    exit_code = 2


class ArtefactError(MonitorError):
    """A model or calibration that cannot be used: damaged, unsafe, or made for something else."""

    exit_code = 3


class RecordingError(MonitorError):
    """A recording that cannot be read, or does not meet the requirements."""

    exit_code = 3
