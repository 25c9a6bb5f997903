"""Readers, one module for each family of recording formats."""
