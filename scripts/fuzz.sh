#!/usr/bin/env bash
# Runs each fuzz target of crates/proto/fuzz for some seconds. Needs cargo-fuzz
# (`cargo install cargo-fuzz`); on a stable toolchain its nightly flags are let through.
set -euo pipefail
cd "$(dirname "$0")/../crates/proto"
seconds=${1:-30}
export RUSTC_BOOTSTRAP=1
for target in $(cargo fuzz list); do
  ../../scripts/step.sh "fuzz $target" cargo fuzz run "$target" -- -max_total_time="$seconds"
done
