"""Simulation of rotating machines: known ones with growing faults, and random ones to train on."""
