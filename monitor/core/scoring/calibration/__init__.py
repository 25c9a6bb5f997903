"""What is normal for one channel: its calibration, its learned conditions, and whether an interval lies in them."""
