#!/usr/bin/env bash
# Runs each fuzz target of crates/proto/fuzz for some seconds. Needs cargo-fuzz
# (`cargo install cargo-fuzz`); without the sanitizer it runs on a stable toolchain.
# What is found goes to target/found, not into the corpus: a crash becomes a named test first.
set -euo pipefail
cd "$(dirname "$0")/../crates/proto/fuzz"
seconds=${1:-30}
for target in $(cargo fuzz list); do
  mkdir -p "target/found/$target"
  ../../../scripts/step.sh "fuzz $target" cargo fuzz run -s none "$target" \
    "target/found/$target" "corpus/$target" -- \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512
done
