"""A real Kubernetes control plane, an S3 server and faults between them, for tests on one machine.

What runs here is the real thing, built from the Go modules pinned in `modules/`: etcd, the API server, the
controller manager, the scheduler, kubectl, helm and an S3 gateway. What is not: containers, an overlay
network, a GPU. Nothing here is shipped; `wan_core`, `wan_operator` and `wan_runner` import nothing of it.
"""
