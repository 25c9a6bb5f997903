"""From residuals to a score and an alarm state: an interval is measured, compared with what is normal, and judged.

``judge`` does all of it; ``alarm`` decides on the alarm state.
"""
