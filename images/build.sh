#!/usr/bin/env bash
# usage: build.sh [--fresh] [NAME...]
# Builds the named images (by default all that have a recipe) into build/images, by `pe image import`.
# An image is rebuilt only if its recipe, its labels or these scripts changed; --fresh takes Debian's newest packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../vm-assets/lib.sh
. "$here/../vm-assets/lib.sh"

fresh=
if [[ ${1:-} == --fresh ]]; then fresh=1; shift; fi
names=("$@")
(( $# )) || for recipe in "$here"/*/recipe.sh; do names+=("$(basename "$(dirname "$recipe")")"); done

out=$build_dir/images
mkdir -p "$out"
# Not the lock of the directory of images: `pe image import` takes that for itself.
hold_lock "$build_dir/image-work"
# Left by a build that was killed; the lock says that none is running.
find "$build_dir/image-work" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
# Entries of a catalogue of version 1, which nobody reads any more.
for entry in "$out"/*.json; do
  [[ ! -e $entry ]] || grep -q '"prefix"' "$entry" || rm -f "$entry"
done

is_current() { # NAME STAMP
  local pack
  [[ -s $out/$1.json ]] || return 1
  pack=$(jq -r --arg stamp "$2" 'select(.stamp == $stamp) | .image.platforms[0].pack.digest[7:]' "$out/$1.json")
  [[ -n $pack && -f $out/packs/$pack.erofs ]]
}

for name in "${names[@]}"; do
  [[ -f $here/$name/recipe.sh ]] || die "no recipe for '$name'"
  stamp=$(hash_of "$here/$name/recipe.sh" "$here/$name/labels.toml" "$here/pack.sh" "$here/rootfs.sh" "$assets_dir/lib.sh")
  if [[ -n $fresh ]] || ! is_current "$name" "$stamp"; then "$here/pack.sh" "$name" "$stamp"; fi
done
