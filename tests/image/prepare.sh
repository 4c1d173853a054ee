#!/usr/bin/env bash
# Gives a CI machine what the image tests need, where that is possible: root on Debian without an engine.
# Never fails: where it cannot help, the tests skip and say why.
set -uo pipefail
if command -v podman >/dev/null && command -v debootstrap >/dev/null; then exit 0; fi
if docker info >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "image tests: no podman, no docker, and this is no root on Debian: they will be skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -qq -y --no-install-recommends podman crun debootstrap >/dev/null ||
  echo "image tests: podman could not be installed: they will be skipped" >&2
exit 0
