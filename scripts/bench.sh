#!/usr/bin/env bash
# Prints the figures that docs/performance.md quotes, measured here and now. `make bench` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

target/release/pe-worker bench --vms "${VMS:-20}" --images build/images --vm-assets build/vm/x86_64
echo
scripts/step.sh "building the bench" cargo build --quiet --release --locked -p pe-e2e --bins
target/release/phases
echo
target/release/overhead
echo
target/release/packings
