#!/usr/bin/env bash
# usage: pack.sh NAME STAMP
# One recipe -> build/images/packs/SHA256.erofs and build/images/NAME.json (its catalogue entry).
# Called by build.sh, which knows whether it is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../vm-assets/lib.sh
. "$here/../vm-assets/lib.sh"

name=$1 stamp=$2 label="image $1"
out=$build_dir/images
work=$(mktemp -d "$out/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"
# shellcheck source-path=SCRIPTDIR source=rootfs.sh
. "$here/rootfs.sh"
# shellcheck disable=SC1090  # the recipe is chosen at run time
. "$here/$name/recipe.sh"

# shellcheck disable=SC2154  # set by the recipe
say "fetching and unpacking ${packages[*]}"
extract_packages "${packages[@]}"
trim
lay_skeleton
finish
version=$(version)
[[ $version =~ ^[0-9][0-9.]*$ ]] || die "not a version: '$version'"

# One time for every file: that of the Debian release. (Zero would upset zip, which starts in 1980.)
# noinline_data: only files that start on a page of their own can be mapped straight from pmem.
make_pack() { # UUID
  rm -f "$work/pack"
  mkfs.erofs --quiet --all-root -x-1 -E noinline_data -T 1686355200 -U "$1" "$work/pack" "$root"
}
# A guest tells packs apart by their volume uuid, so it comes from the content: a first pack is hashed for it.
make_pack 00000000-0000-0000-0000-000000000000
uuid=$(sha256sum <"$work/pack" | sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/\1-\2-\3-\4-\5/')
make_pack "$uuid"
# A pmem device must end on a 2 MiB border, and may not be as long as an io file (protocol.md 4.1).
truncate --size=%2M "$work/pack"
(( $(stat -c %s "$work/pack") != 96 * 1048576 )) || truncate --size=+2M "$work/pack"

say "trying it"
smoke || die "the smoke test failed"

sha256=$(sha256sum <"$work/pack" | cut -c1-64)
bytes=$(stat -c %s "$work/pack")
chmod 644 "$work/pack"
mv -f "$work/pack" "$out/packs/$sha256.erofs"

# shellcheck disable=SC2154  # title, description and cmd are set by the recipe
jq -n --arg stamp "$stamp" --arg name "$name" --arg version "$version" --arg title "$title $version" \
  --arg description "$description" --arg arch "$arch" --arg digest "sha256:$sha256" --argjson bytes "$bytes" --argjson cmd "$cmd" \
  --arg path PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin '{
    stamp: $stamp,
    image: {
      name: $name, tags: [$version, "latest"], title: $title, description: $description,
      platforms: [{
        arch: $arch, digest: $digest, pack: {digest: $digest, bytes: $bytes, prefix: ""},
        config: {entrypoint: [], cmd: $cmd, env: [$path], workdir: "", user: ""}
      }],
      playground: null
    }
  }' | write_atomically "$out/$name.json"
say "version $version, $(( bytes / 1048576 )) MiB in $SECONDS s"
