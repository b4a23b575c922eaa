#!/usr/bin/env bash
# Starts a load balancer and a worker with real VMs, runs a C program through them, and prints
# the result and where to go on. Stays until Ctrl-C unless ONCE=1. `make demo` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${PORT:-8080}
worker_port=${WORKER_PORT:-$((port + 1))}
admin_port=${ADMIN_PORT:-$((port + 2))}
bin=target/release
logs=build/demo
mkdir -p "$logs"

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for each in "$port" "$worker_port" "$admin_port"; do
  if port_is_taken "$each"; then
    echo "make demo: port $each of 127.0.0.1 is in use. Choose others: make demo PORT=9080" >&2
    exit 1
  fi
done

pids=()
# shellcheck disable=SC2317 # called by the trap
stop() {
  trap - EXIT INT TERM
  # The worker first: it takes leave of a load balancer that is still there.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Emulated VMs run programs 10 to 50 times slower, so the demo grants more than the product's 10 s.
# Without the page that `make web` builds, a plain one says how to.
web=()
if [[ -f web/dist/index.html ]]; then
  web=(--web web/dist)
fi
"$bin/pe-lb" --listen "127.0.0.1:$port" --listen-workers "127.0.0.1:$worker_port" \
  --listen-admin "127.0.0.1:$admin_port" \
  --catalogue build/images/catalogue.json --wall-ms-max 120000 "${web[@]}" >"$logs/lb.log" 2>&1 &
pids+=($!)
"$bin/pe-worker" --lb "http://127.0.0.1:$worker_port" --name demo \
  --images build/images --vm-assets build/vm/x86_64 >"$logs/worker.log" 2>&1 &
pids+=($!)

server=http://127.0.0.1:$port
echo "-- starting: load balancer on $server, one worker (logs in $logs/)"
"$bin/pe" wait-ready --server "$server" --timeout 120s &
waiting=$!
# Whichever comes first: the service is ready, or a part of it has ended.
if ! wait -n "$waiting" "${pids[@]}" || kill -0 "$waiting" 2>/dev/null; then
  kill "$waiting" 2>/dev/null || true
  echo "make demo: the service did not become ready. The last lines of its logs:" >&2
  tail -n 15 "$logs"/*.log >&2
  exit 1
fi

echo "-- compiling and running examples/hello-c/main.c in a VM of its own:"
"$bin/pe" run --server "$server" --image gcc --wall 120s --file examples/hello-c/main.c --timings \
  -- sh -c 'gcc main.c -o /output/a.out && /output/a.out'

cat <<END

   page:  $server/
   admin: $bin/pe admin --admin http://127.0.0.1:$admin_port status
   try:   $bin/pe run --server $server --image python --wall 60s -- python3 -c 'print(6 * 7)'
   curl:  curl -s $server/api/v1/run -H 'content-type: application/json' \\
            -d '{"image":"busybox","args":["sh","-c","echo hello \$(uname -m)"],"limits":{"wall_ms":60000}}'

END
if [[ ${ONCE:-} == 1 ]]; then
  exit 0
fi
echo "-- running until Ctrl-C"
wait -n "${pids[@]}" || true
echo "make demo: a part of it ended by itself; see $logs/" >&2
exit 1
