"""How much an interval's features speak for a fault: kinds of evidence, their healthy tails, and all of them in one."""
