"""The command line, one module for each command: parse options, call, print, set the exit code.

``main`` has the list of commands with the folder of each.
"""
