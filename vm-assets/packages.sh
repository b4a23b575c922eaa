#!/usr/bin/env bash
# Installs the Debian packages that building the assets and running a worker need, if any is missing.
# Nothing happens, and the network is not touched, when all are there.
# usage: packages.sh [MORE...]   (developers' tools that only some commands need)
set -euo pipefail

packages=(
  qemu-system-x86  # the embedded virtual machine monitor
  erofs-utils      # fsck.erofs: another's judge of packs; mkfs.erofs: a peer in benches
  mmdebstrap       # Debian packages -> root file system
  build-essential  # gcc, make and libc6-dev: guest-init is linked statically
  kmod             # depmod: which module needs which
  cpio             # initramfs archive
  xz-utils         # newer kernels ship compressed modules
  jq               # manifests and the catalogue
  curl             # talking to a running service
  ca-certificates  # curl and cargo over TLS
  util-linux       # flock, unshare
  uidmap           # mmdebstrap without root
  "$@"
)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
(( ${#missing[@]} )) || exit 0

if (( EUID != 0 )); then
  echo "packages: some are missing; install them with:" >&2
  echo "  sudo apt-get update && sudo apt-get install --no-install-recommends -y ${missing[*]}" >&2
  exit 1
fi

echo "packages: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# apt is quiet unless it fails: its hundreds of lines would hide our own progress.
if ! { apt-get update && apt-get install --no-install-recommends -y "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "packages: apt-get failed (see above)" >&2
  exit 1
fi
echo "packages: installed in ${SECONDS} s"
