#!/usr/bin/env bash
# usage: build.sh [--fresh] [NAME...]
# Builds the named images (by default all that have a recipe) and build/images/catalogue.json.
# An image is rebuilt only if its recipe or these scripts changed; --fresh takes Debian's newest packages again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../vm-assets/lib.sh
. "$here/../vm-assets/lib.sh"

fresh=
if [[ ${1:-} == --fresh ]]; then fresh=1; shift; fi
recipes=("$here"/*/recipe.sh)
names=("$@")
(( $# )) || for recipe in "${recipes[@]}"; do names+=("$(basename "$(dirname "$recipe")")"); done

out=$build_dir/images
mkdir -p "$out/packs"
hold_lock "$out"
# Left by a build that was killed; the lock says that none is running.
rm -rf "$out"/.work-*

is_current() { # NAME STAMP
  local pack
  [[ -s $out/$1.json ]] || return 1
  pack=$(jq -r --arg stamp "$2" 'select(.stamp == $stamp) | .image.platforms[0].pack.digest[7:]' "$out/$1.json")
  [[ -n $pack && -f $out/packs/$pack.erofs ]]
}

for name in "${names[@]}"; do
  [[ -f $here/$name/recipe.sh ]] || die "no recipe for '$name'"
  stamp=$(hash_of "$here/$name/recipe.sh" "$here/pack.sh" "$here/rootfs.sh" "$assets_dir/lib.sh")
  if [[ -n $fresh ]] || ! is_current "$name" "$stamp"; then "$here/pack.sh" "$name" "$stamp"; fi
done

# The catalogue holds every image that was built and still has a recipe.
entries=()
for recipe in "${recipes[@]}"; do
  entry=$out/$(basename "$(dirname "$recipe")").json
  [[ ! -s $entry ]] || entries+=("$entry")
done
jq -s '{version: 2, images: map(.image)}' "${entries[@]}" | write_atomically "$out/catalogue.json"
