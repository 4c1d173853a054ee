#!/usr/bin/env bash
# The tests on a cluster, on one that kind makes for them and that is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/../.."
refuse() { echo "make e2e-kind: $1" >&2; exit 1; }
for program in docker kind; do
  command -v "$program" >/dev/null || refuse "$program is not installed; docker and kind are needed"
done
docker info >/dev/null 2>&1 || refuse "docker's daemon does not answer"

cluster=wan-e2e-$$
folder=$(mktemp -d)
export WAN_E2E_KUBECONFIG="$folder/kubeconfig"
trap 'kind delete cluster --name "$cluster" >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
make image ENGINE=docker IMAGE_PREFIX= IMAGE_TAG=e2e
kind create cluster --name "$cluster" --kubeconfig "$WAN_E2E_KUBECONFIG" --wait 180s
kind load docker-image --name "$cluster" wan-operator:e2e wan-runner:e2e
# S3 listens where the cluster's pods see this machine: kind's network ends at a bridge of ours, on Linux.
gateways=$(docker network inspect kind --format '{{range .IPAM.Config}}{{println .Gateway}}{{end}}')
WAN_E2E_S3_HOST=$(grep -m1 -E '^[0-9.]+$' <<<"$gateways") || refuse "kind's network has no IPv4 gateway"
export WAN_E2E_S3_HOST
.venv/bin/pytest tests/e2e -m slow
