"""Documents: one parser a format, and the one place where what they hold is checked and bounded."""
