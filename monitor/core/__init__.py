"""The pure core: arrays in, arrays out; no sockets, clocks, files, threads, logging or TensorFlow.

``pipeline`` joins the folders: from blocks of samples to scored intervals.
"""
