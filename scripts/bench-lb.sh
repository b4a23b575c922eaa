#!/usr/bin/env bash
# Measures the load balancer against its peers and writes the table of docs/performance.md.
# usage: bench-lb.sh [flags of `pe-perf run`]
set -euo pipefail
cd "$(dirname "$0")/.."

vm-assets/packages.sh nginx-light haproxy varnish nghttp2-client openssl
scripts/step.sh "building the load balancer as it is installed (some minutes the first time)" \
  cargo build --quiet --profile dist --locked -p pe-lb --bins
scripts/step.sh "building its bench" cargo build --quiet --release --locked -p pe-perf --bins
# 10,000 connections are a descriptor each, here and in each server.
ulimit -n "$(ulimit -Hn)"
(( $(ulimit -n) >= 12000 )) || echo "only $(ulimit -n) open files: expect fewer idle connections" >&2
exec target/release/pe-perf run --lb target/dist/pe-lb "$@"
