"""Benches: each makes or measures one thing, and writes its figures as JSON. Imported by no product code."""
