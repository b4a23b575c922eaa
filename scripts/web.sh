#!/usr/bin/env bash
# Builds the page into web/dist, if what it is built of changed since the last time. Says so and
# leaves all as it is where there is no Node that can; the load balancer runs without it.
# usage: web.sh [check]   (check: also types, unit tests and the budget of the first load)
set -euo pipefail
cd "$(dirname "$0")/../web"

node_is_fit() {
  command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || a === 22 && b >= 12 || a === 20 && b >= 19 ? 0 : 1)' 2>/dev/null
}
if ! node_is_fit; then
  echo "-- SKIPPED the page: it is built by Node 20.19 or newer (22.12 or newer of the 22s), which is not here"
  exit 0
fi

sum_of() { git ls-files -z --cached --others --exclude-standard -- "$@" | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1; }

packages=$(sum_of package.json package-lock.json .npmrc)
if [[ ! -d node_modules || $(cat node_modules/.pe-packages 2>/dev/null) != "$packages" ]]; then
  ../scripts/step.sh "fetching what the page is built of" npm ci --loglevel=error --no-audit --no-fund
  echo "$packages" >node_modules/.pe-packages
fi

sources=$(sum_of . ':!tests' ':!e2e')
if [[ ! -f dist/index.html || $(cat dist/.pe-sources 2>/dev/null) != "$sources" ]]; then
  ../scripts/step.sh "building the page" npm run --silent build
  echo "$sources" >dist/.pe-sources
fi

if [[ ${1:-} == check ]]; then
  npx tsc --noEmit
  npm run --silent test
  npm run --silent size
fi
