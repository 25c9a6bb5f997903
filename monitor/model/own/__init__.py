"""A plant's own model, as it lies in the state directory: what was sampled for it, and what became of it."""
