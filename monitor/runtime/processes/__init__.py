"""The daemon as a process of Linux, and the processes that it starts."""
