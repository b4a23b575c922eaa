#!/usr/bin/env bash
# `pe-worker bench` on cloud-hypervisor, inside the nested lab: ratios are worth reading, times are not.
# usage: bench.sh [MORE FLAGS OF pe-worker bench]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
"$here/lab.sh" vmm >/dev/null || { echo "bench: there is no cloud-hypervisor here" >&2; exit 1; }
exec "$here/lab.sh" run --limit "${NESTED_LIMIT:-3600}" "$PWD/target/release/pe-worker" bench --vmm cloud-hypervisor \
  --boot-ms 120000 --memory-mib 512 --vms "${VMS:-3}" --image busybox --images "$PWD/build/images" \
  --vm-assets "$PWD/build/vm/x86_64" "$@"
