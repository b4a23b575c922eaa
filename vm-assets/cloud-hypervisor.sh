#!/usr/bin/env bash
# usage: cloud-hypervisor.sh [LOCK_FILE [FOLDER]]
# The static cloud-hypervisor that assets.lock pins -> build/cloud-hypervisor/cloud-hypervisor.
# Nothing is fetched without a pin, and nothing is kept whose bytes or version are not the pinned ones.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

lock=${1:-$assets_dir/assets.lock}
out=${2:-$build_dir/cloud-hypervisor}

[[ -f $lock ]] || die "no such file: $lock"
mapfile -t pins < <(awk -v arch="$arch" '$1 == "cloud-hypervisor" && $2 == arch' "$lock")
if (( ${#pins[@]} == 0 )); then
  die "$lock pins no cloud-hypervisor for $arch; add the line that it describes, or install the program and put it on PATH"
fi
(( ${#pins[@]} == 1 )) || die "$lock pins cloud-hypervisor for $arch more than once"
read -r _ _ version sha256 url more <<<"${pins[0]}"
[[ -n $url && -z $more ]] || die "not NAME ARCH VERSION SHA256 URL: ${pins[0]}"
[[ $version =~ ^v[0-9]+\.[0-9]+(\.[0-9]+)?$ ]] || die "not a version: $version"
[[ $sha256 =~ ^[0-9a-f]{64}$ ]] || die "not a sha256: $sha256"
case $url in
  *latest*) die "not a fixed release: $url" ;;
  https://* | file:///* | http://127.0.0.1[:/]*) ;;
  *) die "neither https, nor a file or server of this machine: $url" ;;
esac

hold_lock "$out"
is_pinned() { [[ -f $1 && $(sha256sum <"$1") == "$sha256 "* ]]; }
is_pinned "$out/cloud-hypervisor" && exit 0

new=$(mktemp "$out/.new-XXXXXX")
trap 'rm -f "$new"' EXIT
say "fetching $version"
curl --fail --silent --show-error --location --proto '=https,http,file' --proto-redir '=https' \
  --max-time 600 --max-filesize 134217728 --output "$new" "$url" || die "could not fetch $url"
is_pinned "$new" || die "its sha256 is $(sha256sum <"$new" | cut -c1-64), not the pinned $sha256: $url"
chmod 755 "$new"
says=$("$new" --version | head -n 1)
[[ $says == "cloud-hypervisor $version" ]] || die "it says it is '$says', not $version"
mv -f "$new" "$out/cloud-hypervisor"
say "$version is $out/cloud-hypervisor"
