#!/usr/bin/env bash
# usage: pack.sh NAME STAMP
# One recipe -> an OCI layout with labels, as any image author could publish it -> `pe image import`.
# Called by build.sh, which knows whether it is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../vm-assets/lib.sh
. "$here/../vm-assets/lib.sh"

name=$1 stamp=$2 label="image $1"
pe=${PE:-$here/../target/release/pe}
[[ -x $pe ]] || die "there is no $pe: run \`make programs\` first, or set PE"
out=$build_dir/images
work=$(mktemp -d "$build_dir/image-work/XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root layout=$work/layout
mkdir -p "$root" "$layout/blobs/sha256"
# shellcheck source-path=SCRIPTDIR source=rootfs.sh
. "$here/rootfs.sh"
env='[]'
# shellcheck disable=SC1090  # the recipe is chosen at run time
. "$here/$name/recipe.sh"
labels=$("$pe" image lint --as-labels "$here/$name/labels.toml")

# shellcheck disable=SC2154  # set by the recipe
say "fetching and unpacking ${packages[*]}"
extract_packages "${packages[@]}"
trim
lay_skeleton
finish
version=$(version)
[[ $version =~ ^[0-9][0-9.]*$ ]] || die "not a version: '$version'"
say "trying it"
smoke || die "the smoke test failed"

# Moves a file to where a layout has it; prints its descriptor.
blob() { # FILE MEDIA-TYPE
  local sha256 bytes
  sha256=$(sha256sum <"$1" | cut -c1-64)
  bytes=$(stat -c %s "$1")
  mv "$1" "$layout/blobs/sha256/$sha256"
  jq -nc --arg type "$2" --arg digest "sha256:$sha256" --argjson size "$bytes" \
    '{mediaType: $type, digest: $digest, size: $size}'
}

# The same packages give the same bytes: names sorted, all owned by root, and one time for every file,
# that of the Debian release. (Zero would upset zip, which starts in 1980.)
tar --create --file="$work/layer" --directory="$root" --sort=name --format=posix --numeric-owner --owner=0 --group=0 \
  --mtime=@1686355200 --pax-option=delete=atime,delete=ctime .
layer=$(blob "$work/layer" application/vnd.oci.image.layer.v1.tar)
# shellcheck disable=SC2154  # cmd is set by the recipe
jq -nc --arg version "$version" --argjson labels "$labels" --argjson cmd "$cmd" --argjson env "$env" --argjson layer "$layer" \
  --arg architecture "$debian_arch" --arg path PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin '{
    created: "2023-06-10T00:00:00Z", architecture: $architecture, os: "linux",
    config: {
      Cmd: $cmd, Env: ([$path] + $env),
      Labels: ($labels | .["org.opencontainers.image.title"] += " " + $version)
    },
    rootfs: {type: "layers", diff_ids: [$layer.digest]}
  }' >"$work/config"
config=$(blob "$work/config" application/vnd.oci.image.config.v1+json)
jq -nc --argjson config "$config" --argjson layer "$layer" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$layer]
  }' >"$work/manifest"
manifest=$(blob "$work/manifest" application/vnd.oci.image.manifest.v1+json)
jq -nc --argjson manifest "$manifest" --arg name "$version" \
  '{schemaVersion: 2, manifests: [$manifest + {annotations: {"org.opencontainers.image.ref.name": $name}}]}' >"$layout/index.json"
echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

"$pe" image import "oci:$layout:$version" --name "$name:$version" --tag latest --into "$out" --stamp "$stamp" --quiet >"$work/log" ||
  { cat "$work/log" >&2; die "the import failed"; }
say "version $version in $SECONDS s: $(<"$work/log")"
