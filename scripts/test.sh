#!/usr/bin/env bash
# Every test. `make test` calls it once all that the tests need is built. First each crate by
# itself, then the whole with jobs in real VMs: cloud-hypervisor's in the nested lab where that
# program is found, then QEMU's; the last prints the closing summary.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1; then
  scripts/step.sh "format, lints, architecture" make --no-print-directory check
else
  echo "-- SKIPPED format and lints: this toolchain has no clippy or rustfmt"
  cargo xtask check
fi
# Peers' own judges of what deploy/ has for them, and makers of images; without them those tests are
# skipped, and say so. One that cannot be had leaves the others alone.
for tool in prometheus nginx docker-registry skopeo libgpgme11 libassuan0 umoci buildah; do
  vm-assets/tools.sh "$tool" || true
done
if command -v cargo-nextest >/dev/null; then
  scripts/step.sh "unit and property tests" \
    cargo nextest run --locked --workspace --exclude pe-e2e --exclude pe-fleet --no-fail-fast
else
  scripts/step.sh "unit and property tests" \
    timeout 1800 cargo test --locked --workspace --exclude pe-e2e --exclude pe-fleet --no-fail-fast -- --test-threads=1
fi
scripts/step.sh "the fleet by seeds (SEEDS=n, FIRST=n, SEED=x for one)" \
  timeout 600 cargo run -q --locked --release -p pe-sim
if command -v node >/dev/null; then
  scripts/step.sh "job digests in JavaScript" node --test web/digest/
  scripts/step.sh "the page: types, unit tests, size" scripts/web.sh check
else
  echo "-- SKIPPED job digests in JavaScript, and the page: there is no node"
fi
scripts/step.sh "the API as docs/openapi.json has it (EXAMPLES=n, SEED=n)" scripts/judge-api.sh
scripts/step.sh "load balancer and workers killed, restarted and flooded, as processes" \
  timeout 900 cargo test -q --locked --release -p pe-fleet -- --test-threads=1
scripts/step.sh "fetching a pinned program" vm-assets/cloud-hypervisor.test.sh
scripts/step.sh "jobs on cloud-hypervisor, in the nested lab (a few; all: make test-nested)" tests/nested/e2e.sh smoke
if [[ -f web/dist/index.html ]] && { [[ -x /usr/bin/chromium ]] || vm-assets/packages.sh chromium; }; then
  scripts/step.sh "the page in a browser, against real VMs" timeout 600 node web/e2e/run.mjs
else
  echo "-- SKIPPED the page in a browser: there is no page or no chromium"
fi
scripts/step.sh "jobs in real VMs" timeout 2400 cargo test --locked --release -p pe-e2e --lib --test vms
