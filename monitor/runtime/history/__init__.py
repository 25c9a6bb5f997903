"""What the daemon keeps of every channel over hours, days and weeks: figures, alarms and healthy spectra."""
