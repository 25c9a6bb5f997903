"""What is checked before a start, a reload or an upgrade: files, what can be scored, and what was learned before."""
