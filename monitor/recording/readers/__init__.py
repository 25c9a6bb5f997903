"""One file a family of recording formats."""
