"""Commands about the daemon: run it, try it, check what it will do, change its baselines."""
