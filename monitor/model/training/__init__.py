"""Training: from recordings to a trained network and its report."""
