"""What the command line says of itself: completion for shells, the manual page."""
