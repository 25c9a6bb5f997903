"""The pure core: arrays in, arrays out; no sockets, clocks, files, threads, logging or TensorFlow."""
