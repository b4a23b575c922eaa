#!/usr/bin/env bash
# Puts programs of Debian packages below build/tools, without installing them: none of their services
# is started, and no root is needed. For tests that ask a peer's own judge (promtool, nginx -t).
# usage: tools.sh PACKAGE...    A package that is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/build/tools
mkdir -p "$root/.packages"
for package in "$@"; do
  mark=$root/.packages/$package
  [[ -e $mark ]] && continue
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  if ! (cd "$scratch" && apt-get download "$package") >"$scratch/log" 2>&1; then
    # Lists that are not there or old: only root can mend that.
    if (( EUID != 0 )) || ! { apt-get update && cd "$scratch" && apt-get download "$package"; } >>"$scratch/log" 2>&1; then
      cat "$scratch/log" >&2
      echo "tools: $package cannot be downloaded; tests that want it are skipped" >&2
      exit 1
    fi
  fi
  for archive in "$scratch"/*.deb; do
    dpkg-deb -x "$archive" "$root"
  done
  touch "$mark"
  rm -rf "$scratch"
  trap - EXIT
  echo "tools: $package is in build/tools"
done
