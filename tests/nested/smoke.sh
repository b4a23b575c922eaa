#!/bin/bash
# Runs inside the lab: the real guest boots in the real cloud-hypervisor, and says so on its serial
# port; it is saved, and another VM is restored from it, twice. Needs none of our daemons.
# usage: smoke.sh VM_ASSETS
set -euo pipefail
assets=$1
work=$(mktemp -d)
cd "$work"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

now() { date +%s%3N; }
die() { echo "smoke: $*" >&2; cat -- *.log >&2; exit 1; }
api() { curl -sS --fail-with-body --max-time 60 --unix-socket "$work/$1" -X PUT "http://localhost/api/v1/$2" -H 'content-type: application/json' ${3:+-d "$3"}; }
wait_for() { # WORD FILE
  for _ in {1..1200}; do grep -q "$1" "$2" 2>/dev/null && return; kill -0 "${pids[-1]}" || break; sleep 0.05; done
  die "no '$1' in $2"
}

cloud-hypervisor --version
truncate -s 4M io
start=$(now)
cloud-hypervisor --api-socket api --cpus boot=1 --memory size=256M,shared=off \
  --kernel "$assets/vmlinuz" --initramfs "$assets/initramfs.cpio" --cmdline "${CMDLINE:-console=ttyS0 quiet panic=-1}" \
  --pmem file=io --serial file=serial --console off >vmm.log 2>&1 &
pids+=($!)
wait_for pe:ready serial
echo "smoke: pe:ready $(( $(now) - start )) ms after the start"

mkdir zygote
api api vm.pause
api api vm.snapshot "{\"destination_url\":\"file://$work/zygote\"}"
kill "${pids[-1]}"
wait "${pids[-1]}" || true
echo "smoke: saved in $(du -sm zygote | cut -f1) MiB"
declare -A modes=([copy]=Copy [ondemand]=OnDemand)
for mode in copy ondemand; do
  cloud-hypervisor --api-socket "api-$mode" >"restore-$mode.log" 2>&1 &
  pids+=($!)
  until [[ -S api-$mode ]]; do kill -0 "${pids[-1]}" || die "the VMM ended"; sleep 0.02; done
  start=$(now)
  api "api-$mode" vm.restore "{\"source_url\":\"file://$work/zygote\",\"memory_restore_mode\":\"${modes[$mode]}\",\"resume\":true}"
  state=$(curl -sS --max-time 60 --unix-socket "api-$mode" http://localhost/api/v1/vm.info)
  [[ $state == *'"state":"Running"'* ]] || die "not running: $state"
  echo "smoke: restored ($mode) and running after $(( $(now) - start )) ms"
  kill "${pids[-1]}"
  wait "${pids[-1]}" || true
done
echo "smoke: ok"
