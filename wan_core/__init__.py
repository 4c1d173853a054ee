"""What the operator and the runner share: the resource, the catalogue, the planner, the task contract.

Everything here down to `task` and `cli` is light: no torch, numpy or boto3 (checked by import-linter).
Only `pipeline` (and the rooms that later stand beside it) may import torch.
"""
