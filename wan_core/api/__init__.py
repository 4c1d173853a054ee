"""The resource `VideoGeneration`, defined once: pydantic models, their rules, and the CRD emitted from them.

Pure: no I/O but reading a manifest's text. Nothing here knows the catalogue, a cluster or a device.
"""
