"""Fit a request into a device. Arithmetic only: no torch, no I/O, no clock."""
