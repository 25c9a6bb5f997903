"""A simulated machine whose faults grow."""
