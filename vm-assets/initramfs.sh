#!/usr/bin/env bash
# usage: initramfs.sh GUEST_INIT [own]
# The guest's first file system -> build/vm/ARCH/initramfs.cpio: a static GUEST_INIT as /init, the modules and crun.
# With `own`, for the kernel that kernel/build.sh made: build/vm/ARCH-own/initramfs.cpio, without modules.
# The same inputs give the same bytes.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

(( $# == 1 )) || [[ ${2:-} == own ]] || die "usage: $0 GUEST_INIT [own]"
[[ -f $1 ]] || die "no such file: $1"
guest_init=$1

"$assets_dir/crun.sh"
crun=$build_dir/vm/$arch
if [[ ${2:-} == own ]]; then
  out=$build_dir/vm/$arch-own
  record "$out/manifest.json" crun "$(jq -c .crun "$crun/manifest.json")"
else
  out=$crun
  "$assets_dir/kernel.sh"
fi

hold_lock "$out"
# Of the manifest, all but what is recorded below.
stamp=$(hash_of "$0" "$assets_dir/lib.sh" "$out/.kernel.stamp" "$crun/.crun.stamp" \
  <(jq -S 'del(.initramfs_sha256)' "$out/manifest.json") "$guest_init")
[[ -f $out/initramfs.cpio ]] && is_stamped "$out/.initramfs.stamp" "$stamp" && exit 0
rm -f "$out/.initramfs.stamp"

# A dynamic init would die before it could say why.
if readelf -lW "$guest_init" 2>/dev/null | grep -q INTERP; then die "$guest_init is not statically linked"; fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
# Mount points; /dev/console is already in the kernel's own built-in initramfs.
mkdir -p "$tree"/{proc,sys,dev,run,tmp,image,rootfs}
cp -r "$crun/crun/." "$tree"
if [[ $out == "$crun" ]]; then
  cp -r "$out/modules" "$tree/modules"
else
  # All is built in: the list that init reads is empty.
  mkdir "$tree/modules"
  : >"$tree/modules/modules.list"
fi
chmod -R u=rwX,go=rX "$tree"
install -m 755 "$guest_init" "$tree/init"
find "$tree" -exec touch -h -d @0 {} +

(cd "$tree" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
  cpio --null --create --format=newc --reproducible --owner=0:0 --quiet) | write_atomically "$out/initramfs.cpio"
# What the doctor compares with: a file that was cut or changed since is found before a VM fails.
record "$out/manifest.json" initramfs_sha256 "\"$(sha256sum <"$out/initramfs.cpio" | cut -c1-64)\""
echo "$stamp" >"$out/.initramfs.stamp"
say "$(du -k "$out/initramfs.cpio" | cut -f1) KiB in $SECONDS s"
