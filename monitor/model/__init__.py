"""The forecasting network: its shape, its training, the model directory, and the engines that run it."""
