"""Forecasts and scores, computed by worker processes over shared memory.

``worker`` is a process of them, ``workers`` the daemon's side of it, ``lane`` the arrays that both see.
"""
