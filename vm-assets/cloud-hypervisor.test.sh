#!/usr/bin/env bash
# Tests cloud-hypervisor.sh with files of this machine. `make test` calls it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

program() { printf '#!/bin/sh\necho cloud-hypervisor %s\n' "$1"; }
program v50.0.0 >"$work/release"
sha256=$(sha256sum <"$work/release" | cut -c1-64)
other=${sha256//[0-9]/a}

failures=0
check() { # WHAT EXPECTED_STATUS EXPECTED_WORDS PIN_LINE...
  local what=$1 status=$2 words=$3 got=0
  shift 3
  printf '%s\n' "# a comment" "$@" >"$work/lock"
  "$here/cloud-hypervisor.sh" "$work/lock" "$work/out" >"$work/said" 2>&1 || got=$?
  if (( got == status )) && [[ $(<"$work/said") == *"$words"* ]]; then
    echo "ok: $what"
  else
    echo "FAILED: $what (status $got, wanted $status and '$words'):" && cat "$work/said"
    failures=$(( failures + 1 ))
  fi
}
pin() { echo "cloud-hypervisor x86_64 $1 $2 $3"; }

check "without a pin nothing is fetched" 1 "pins no cloud-hypervisor"
check "a pin of another architecture is none" 1 "pins no cloud-hypervisor" "cloud-hypervisor riscv64 v50.0.0 $sha256 file://$work/release"
check "two pins are refused" 1 "more than once" "$(pin v50.0.0 "$sha256" "file://$work/release")" "$(pin v51.0.0 "$other" "file://$work/release")"
check "'latest' is no version" 1 "not a version" "$(pin latest "$sha256" "file://$work/release")"
check "'latest' is no address" 1 "not a fixed release" "$(pin v50.0.0 "$sha256" https://127.0.0.1/releases/latest/x)"
check "plain http from elsewhere is refused" 1 "neither https" "$(pin v50.0.0 "$sha256" http://192.0.2.1/x)"
check "a cut checksum is refused" 1 "not a sha256" "$(pin v50.0.0 "${sha256:0:63}" "file://$work/release")"
check "other bytes are refused" 1 "not the pinned" "$(pin v50.0.0 "$other" "file://$work/release")"
[[ ! -e $work/out/cloud-hypervisor ]] || { echo "FAILED: other bytes were kept"; failures=$(( failures + 1 )); }
check "another version is refused" 1 "not v51.0.0" "$(pin v51.0.0 "$sha256" "file://$work/release")"
check "a file that is not there is told" 1 "could not fetch" "$(pin v50.0.0 "$sha256" "file://$work/none")"
check "the pinned program is kept" 0 "v50.0.0 is" "$(pin v50.0.0 "$sha256" "file://$work/release")"
rm "$work/release"
check "and not fetched again" 0 "" "$(pin v50.0.0 "$sha256" "file://$work/release")"
check "a refused change keeps the old one" 1 "could not fetch" "$(pin v52.0.0 "$other" "file://$work/none")"
[[ $("$work/out/cloud-hypervisor") == "cloud-hypervisor v50.0.0" && $(find "$work/out" -name '.new*') == "" ]] || {
  echo "FAILED: not what was pinned first, or something was left behind"
  failures=$(( failures + 1 ))
}
(( failures == 0 ))
