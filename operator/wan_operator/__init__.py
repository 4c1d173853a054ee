"""The operator: observe, decide, act, write one status. Never imports torch, numpy or boto3."""
