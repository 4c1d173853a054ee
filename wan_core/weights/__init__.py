"""Weights on disk under three naming schemes, and our transformer: one table, read both ways."""
