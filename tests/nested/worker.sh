#!/usr/bin/env bash
# The worker's own tests of its cloud-hypervisor backend, inside the nested lab.
# usage: worker.sh [FILTER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
"$here/lab.sh" vmm >/dev/null || exit 0 # e2e.sh says so

tests=$(cargo test --locked -p pe-worker --test cloud_hypervisor --no-run --message-format=json 2>/dev/null |
  jq -r 'select(.reason == "compiler-artifact" and .target.name == "cloud_hypervisor") | .executable')
[[ -x $tests ]] || { echo "worker: its tests do not build: cargo test -p pe-worker --test cloud_hypervisor --no-run" >&2; exit 1; }
# They find the assets by way of the folder of their crate, which need not have anything in it.
NESTED_THINGS=$tests exec "$here/lab.sh" run --limit "${NESTED_LIMIT:-3600}" \
  bash -c "mkdir -p $PWD/crates/worker && exec $tests --test-threads=1 ${1:-}"
