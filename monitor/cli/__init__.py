"""The command line, one module for each command: parse options, call, print, set the exit code."""
