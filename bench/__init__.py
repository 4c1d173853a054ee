"""Benches: each makes or measures one thing, started by hand. Imported by no product code."""
