"""What the operator and the runner share: the resource, the catalogue, the planner, the task contract.

Only `pipeline` may import torch; all else is light: no torch, numpy or boto3 (checked by import-linter).
"""
