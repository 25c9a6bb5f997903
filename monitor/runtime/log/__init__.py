"""The daemon's log: its lines, unexpected errors, and text from outside made printable."""
