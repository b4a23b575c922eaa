#!/usr/bin/env bash
# The worker's own tests of its cloud-hypervisor backend, inside the nested lab: the VMs, what
# confines them on a host that has all of it, and what the doctor says of such a host.
# usage: worker.sh [FILTER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
"$here/lab.sh" vmm >/dev/null || exit 0 # e2e.sh says so

say() { echo "worker: $*" >&2; }
# The programs of the worker's tests, by `KIND NAME EXECUTABLE`.
built=$(cargo test --locked -p pe-worker --no-run --message-format=json \
  --test cloud_hypervisor --test isolation --test doctor --example jail_probe --bin pe-worker 2>/dev/null |
  jq -r 'select(.reason == "compiler-artifact" and .executable) | "\(.target.kind[0]) \(.target.name) \(.executable)"')
program() { # KIND NAME
  awk -v kind="$1" -v name="$2" '$1 == kind && $2 == name { print $3; exit }' <<<"$built"
}
tests=$(program test cloud_hypervisor) isolation=$(program test isolation) doctor=$(program test doctor)
worker=$PWD/target/debug/pe-worker probe=$PWD/target/debug/examples/jail_probe
for path in "$tests" "$isolation" "$doctor" "$worker" "$probe"; do
  [[ -x $path ]] || { say "its tests do not build: cargo test -p pe-worker --no-run ('$path')"; exit 1; }
done

# Times: a guest boots twenty times slower in there. Assets are found by way of the folder of the
# tests' crate, which need not have anything in it.
read -r -d '' all <<'END' || true
set -u
mkdir -p "$1/crates/worker"
export PE_TEST_VMM=cloud-hypervisor PE_TEST_BOOT_MS=180000 PE_JAIL_PROBE=$5
rc=0
"$2" --test-threads=1 $6 || rc=$?
"$3" --test-threads=1 --nocapture $6 || rc=$?
"$4" --test-threads=1 on_cloud_hypervisor || rc=$?
exit "$rc"
END
NESTED_THINGS="$tests $isolation $doctor $worker $probe" exec "$here/lab.sh" run --limit "${NESTED_LIMIT:-3600}" \
  bash -c "$all" all "$PWD" "$tests" "$isolation" "$doctor" "$probe" "${1:-}"
