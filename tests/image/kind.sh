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
trap 'kind delete cluster --name "$cluster" >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
make image ENGINE=docker IMAGE_PREFIX= IMAGE_TAG=e2e
kind create cluster --name "$cluster" --kubeconfig "$folder/kubeconfig" --wait 180s
kind load docker-image --name "$cluster" wan-operator:e2e wan-runner:e2e
WAN_E2E_KUBECONFIG="$folder/kubeconfig" .venv/bin/pytest tests/e2e -m slow
