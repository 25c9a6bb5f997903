"""Names the fault of a machine from its vibration, and measures what standards ask for. Arrays in, arrays out."""
