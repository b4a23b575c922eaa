#!/usr/bin/env bash
# The end-to-end suite on cloud-hypervisor, inside the nested lab. `make test-nested` calls it.
# usage: e2e.sh [smoke] [FILTER]   (smoke: the few scenarios that show the backend works)
# Without a cloud-hypervisor binary it says so and succeeds.
#
# All of it is a lab for each group of scenarios, one after another. Should the emulated machine crash or
# stand still, its group is run once more in a new one, and that is said. A scenario that fails is never
# run again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

set_of_scenarios='' limit=${NESTED_LIMIT:-5400}
if [[ ${1:-} == smoke ]]; then
  set_of_scenarios=smoke limit=${NESTED_LIMIT:-900}
  shift
fi

if ! program=$("$here/lab.sh" vmm); then
  [[ -z ${CLOUD_HYPERVISOR:-} ]] || exit 1
  echo "-- SKIPPED cloud-hypervisor in the nested lab: no such program in \$CLOUD_HYPERVISOR, on PATH or in" \
    "build/cloud-hypervisor (pin one in vm-assets/assets.lock and run: make cloud-hypervisor)"
  exit 0
fi
echo "-- $("$program" --version | sed -n 1p) from $program"

suite=$(cargo test --locked --release -p pe-e2e --test vms --no-run --message-format=json 2>/dev/null |
  jq -r 'select(.reason == "compiler-artifact" and .target.name == "vms") | .executable')
[[ -x $suite ]] || { echo "e2e: the suite does not build: cargo test --release -p pe-e2e --test vms --no-run" >&2; exit 1; }

# Times: emulated in here, a guest boots in 5 to 15 s, and everything else is as slow.
# NESTED_WORKER_FLAGS is for developers: another way to restore, more logs.
# `packs::` wants a static program; there is no network in the lab to fetch it from.
vm-assets/tools.sh busybox-static
tools="$PWD/vm-assets/tools.sh $PWD/build/tools/bin/busybox $PWD/build/tools/.packages"
in_lab() { # FILTER...
  NESTED_THINGS="$suite $tools" "$here/lab.sh" run --limit "$limit" \
    env PE_E2E_SET="$set_of_scenarios" PE_E2E_TIME_FACTOR="${NESTED_TIME_FACTOR:-8}" \
    PE_E2E_WORKER_FLAGS="--vmm cloud-hypervisor --boot-ms 120000 --memory-mib 512 ${NESTED_WORKER_FLAGS:-}" \
    "$suite" "$@"
}

if [[ -n $set_of_scenarios ]] || (( $# )); then
  in_lab "$@"
  exit
fi

lab_ended=70 # the status of lab.sh, then
summary=() failed=0
for group in $("$suite" --list | sed -n 's/::.*: test$//p' | sort -u); do
  echo "-- $group"
  log=$(mktemp)
  for attempt in first second; do
    rc=0
    in_lab "$group::" | tee "$log" || rc=$?
    if (( rc != lab_ended )) || [[ $attempt == second ]]; then break; fi
    echo "-- $group: the lab ended before its scenarios did; once more in a new one"
  done
  summary+=("$group: $(grep '^test result:' "$log" || echo "no result, status $rc")")
  (( rc == 0 )) || failed=1
  rm -f "$log"
done
printf -- '-- %s\n' "${summary[@]}"
exit "$failed"
