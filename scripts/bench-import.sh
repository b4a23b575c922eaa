#!/usr/bin/env bash
# usage: bench-import.sh [RUNS]
# Imports one large image from a registry on loopback, by `pe image import` and by
# skopeo + umoci + mkfs.erofs, in turns, and prints the time and the memory of both.
# The image: six layers of this machine's own files, at least 300 MB as the registry stores them.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-3}

vm-assets/tools.sh docker-registry skopeo libgpgme11 libassuan0 umoci
tools=$PWD/build/tools/usr
tool() { LD_LIBRARY_PATH=$tools/lib/$(uname -m)-linux-gnu "$tools/bin/$1" "${@:2}"; }
pe=${PE:-$PWD/target/release/pe}
[[ -x $pe ]] || { echo "bench-import: no $pe: cargo build --release -p pe-cli" >&2; exit 1; }

work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/bench-import.XXXXXX")
registry=
clean() {
  if [[ -n $registry ]]; then kill "$registry" 2>/dev/null || true; fi
  chmod -R u+rwX "$work" 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT

echo "making the image" >&2
layout=$work/layout
tool umoci init --layout "$layout"
tool umoci new --image "$layout:made"
# Files of /usr in the order of their names, cut into layers of about 200 MB of tar.
find /usr/bin /usr/include /usr/lib /usr/share -xdev -type f -size -24M -readable -printf '%s\t%P\t%H\n' 2>/dev/null |
  LC_ALL=C sort -t$'\t' -k3,3 -k2,2 |
  awk -F'\t' -v dir="$work" 'BEGIN { n = 1 } n > 6 { next } { s += $1; if (s > 200e6) { n++; s = $1 } if (n > 6) next; sub("^/", "", $3); print $3 "/" $2 > (dir "/list" n) }'
for list in "$work"/list*; do
  tar -C / --no-recursion --owner=0 --group=0 --verbatim-files-from -cf "$work/layer.tar" -T "$list"
  tool umoci raw add-layer --image "$layout:made" "$work/layer.tar"
  rm "$work/layer.tar"
done

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/store}}
http: {addr: "127.0.0.1:$port"}
YML
"$tools/bin/docker-registry" serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
for _ in {1..100}; do curl -fs "http://127.0.0.1:$port/v2/" >/dev/null && break; sleep 0.1; done
tool skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$layout:made" "docker://127.0.0.1:$port/made:1"
rm -rf "$layout"
stored=$(du -sb "$work/store" | cut -f1)

timed() { /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$@" >/dev/null; }
# The most memory that any process of ours has had: the kernel keeps the highest mark of each, and
# this looks at it ten times a second.
watch_memory() { # PID
  local most=0 process mark
  while [[ -d /proc/$1 ]]; do
    for process in $(pgrep -f "^$pe " || true); do
      mark=$(awk '/^VmHWM/ { print $2 }' "/proc/$process/status" 2>/dev/null || true)
      if (( ${mark:-0} > most )); then most=$mark; echo "$most" >"$work/most"; fi
    done
    sleep 0.1
  done
}
# What skopeo and umoci need of the tools' libraries is no part of what is measured.
machine=$(uname -m)
export LD_LIBRARY_PATH=$tools/lib/$machine-linux-gnu
ours() {
  local wall user system kib bytes
  timed "$pe" image import "docker://127.0.0.1:$port/made:1" --local-registry "127.0.0.1:$port" --into "$work/images" --quiet &
  watch_memory $!
  wait $!
  read -r wall user system kib <"$work/time"
  bytes=$(du -sb "$work/images/packs" | cut -f1)
  echo "pe $wall $user $system $kib $bytes" >>"$work/figures"
  echo "pe-processes - - - $(cat "$work/most") 0" >>"$work/figures"
  rm -rf "$work/images"
}
theirs() {
  local wall_all=0 user_all=0 system_all=0 kib_all=0 what wall user system kib
  one() {
    what=$1; shift
    timed "$@"
    read -r wall user system kib <"$work/time"
    echo "$what $wall $user $system $kib 0" >>"$work/figures"
    wall_all=$(echo "$wall_all + $wall" | bc); user_all=$(echo "$user_all + $user" | bc)
    system_all=$(echo "$system_all + $system" | bc)
    if (( kib > kib_all )); then kib_all=$kib; fi
  }
  one skopeo "$tools/bin/skopeo" --insecure-policy copy -q --src-tls-verify=false "docker://127.0.0.1:$port/made:1" "oci:$work/copy:made"
  if (( EUID == 0 )); then one umoci "$tools/bin/umoci" unpack --image "$work/copy:made" "$work/bundle"
  else one umoci "$tools/bin/umoci" unpack --rootless --image "$work/copy:made" "$work/bundle"; fi
  one mkfs.erofs mkfs.erofs --quiet -E noinline_data "$work/pack.erofs" "$work/bundle/rootfs"
  echo "skopeo+umoci+mkfs.erofs $wall_all $user_all $system_all $kib_all $(stat -c %s "$work/pack.erofs")" >>"$work/figures"
  chmod -R u+rwX "$work/bundle"
  rm -rf "$work/copy" "$work/bundle" "$work/pack.erofs"
}
for run in $(seq "$runs"); do
  echo "run $run of $runs" >&2
  ours
  theirs
done

lists=("$work"/list*)
echo "Import of an image of ${#lists[@]} layers, $((stored / 1000000)) MB in the registry; the best of $runs runs each, in turns"
printf '%-26s %8s %8s %8s %10s %10s\n' what wall_s user_s system_s memory_MiB pack_MiB
for what in pe pe-processes skopeo umoci mkfs.erofs skopeo+umoci+mkfs.erofs; do
  grep "^$what " "$work/figures" | LC_ALL=C sort -n -k2,2 | head -1 |
    awk '{ printf "%-26s %8.1f %8.1f %8.1f %10.0f %10.0f\n", $1, $2, $3, $4, $5 / 1024, $6 / 1048576 }'
done
awk '$1 == "pe" && (!p || $2 < p) { p = $2 } $1 ~ /[+]/ && (!o || $2 < o) { o = $2 } END { printf "pe is %.1f times as fast\n", o / p }' "$work/figures"
