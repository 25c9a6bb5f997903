"""Simulation of rotating machines with growing faults."""
