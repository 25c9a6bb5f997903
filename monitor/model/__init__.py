"""The forecasting network: its shape, training, the artefact that carries it, and the engines that run it."""
