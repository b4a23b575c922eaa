#!/usr/bin/env bash
# Asks a running load balancer, with scripted workers, all that docs/openapi.json allows and some that
# it does not, and looks whether the answers are those of the file (docs/testing.md). Bounded in
# requests and time, and the same each time: EXAMPLES=n and SEED=n choose others.
# usage: judge-api.sh [FOLDER_OF_PROGRAMS]
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:-target/release}
version=4.32.5
judge=build/tools/schemathesis
scratch=$(mktemp -d)
pids=()
# shellcheck disable=SC2317 # called by the trap
stop() {
  trap - EXIT
  for pid in "${pids[@]}"; do
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$scratch"
}
trap stop EXIT

if [[ ! -x $judge/bin/schemathesis ]]; then
  mkdir -p build/tools
  if ! { python3 -m venv "$judge" && "$judge/bin/pip" install --quiet "schemathesis==$version"; } >"$scratch/pip" 2>&1; then
    tail -n 3 "$scratch/pip" >&2
    rm -rf "$judge"
    echo "-- SKIPPED the judge of the API: schemathesis cannot be had from PyPI"
    exit 0
  fi
fi

digest=sha256:$(printf '1%.0s' {1..64})
cat >"$scratch/catalogue.json" <<END
{"version":2,"images":[{"name":"busybox","tags":["1"],"title":"BusyBox","description":"","platforms":[
  {"arch":"x86_64","digest":"$digest","pack":{"digest":"$digest","bytes":1,"prefix":""},
   "config":{"entrypoint":[],"cmd":["echo","hello"],"env":[],"workdir":"","user":""}}],"playground":null}]}
END
# The job of readiness checks, in the words of scripted workers.
printf '[canary]\nargs = ["exit", "0"]\n' >"$scratch/lb.toml"
# Ports of the kernel's choosing are told in the log.
"$bin/pe-lb" --config "$scratch/lb.toml" --catalogue "$scratch/catalogue.json" --listen 127.0.0.1:0 --listen-workers 127.0.0.1:0 \
  --listen-admin none --log-json >"$scratch/lb" 2>&1 &
pids+=($!)
for ((tries = 0; tries < 100; tries++)); do
  if listening=$(grep -m1 '"listening"' "$scratch/lb"); then break; fi
  sleep 0.1
done
address() { jq -r ".fields.$1" <<<"$listening" | sed 's/^.*127/127/'; }
clients=$(address clients)
workers=$(address workers)
"$bin/scripted-worker" --lb "$workers" --images "$digest" --workers 2 >"$scratch/worker" 2>&1 &
pids+=($!)
"$bin/pe" wait-ready --quiet --server "http://$clients" --timeout 30s

cat >"$scratch/schemathesis.toml" <<END
seed = ${SEED:-1}
request-timeout = 30
# Headers that no path knows are nobody's mistake.
[generation]
allow-extra-parameters = false
# 413: what breaks the schema by being too long is refused as too large.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]
END
# What the schemas cannot say (globs, paths, base64 that is none) may be refused with 400, so that good
# requests are accepted is no check here.
timeout 300 "$judge/bin/schemathesis" --config-file "$scratch/schemathesis.toml" run docs/openapi.json \
  --url "http://$clients" --max-examples "${EXAMPLES:-30}" --phases examples,coverage,fuzzing \
  --exclude-checks positive_data_acceptance --warnings off --output-truncate true
