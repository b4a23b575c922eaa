#!/usr/bin/env bash
# The emulated machine's own system, from Debian packages -> build/nested/{vmlinuz,initramfs.cpio,root.erofs}.
# Nothing is installed on the host. A second run does nothing; delete build/nested to take the newest packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../vm-assets/lib.sh
. "$here/../../vm-assets/lib.sh"
label="nested lab"

# What the tests and a person at the lab's prompt need; no install script of theirs is run.
packages=(
  bash coreutils findutils grep sed mawk tar gzip util-linux mount procps kmod iproute2 cpio
  curl            # the e2e suite's HTTP client
  socat           # the agent's listener
  erofs-utils     # tests read packs by it too
  strace          # what a VMM is refused, and by whom
  qemu-system-x86 # the other backend, here with KVM
)
early=(virtio_pci virtio_blk erofs overlay) # to mount the root file system; the rest is loaded from it

out=$build_dir/nested
hold_lock "$out"
stamp=$(hash_of "$0" "$here/guest/early" "$here/../../images/rootfs.sh" "$assets_dir/lib.sh")
is_stamped "$out/.stamp" "$stamp" && exit 0
rm -f "$out/.stamp"

work=$(mktemp -d "$out/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root" "$work/kernel" "$work/initramfs"
# shellcheck source-path=SCRIPTDIR source=../../images/rootfs.sh
. "$here/../../images/rootfs.sh"

say "fetching and unpacking ${packages[*]}"
extract_packages "${packages[@]}"
trim
lay_skeleton
# dash is not among the packages.
ln -sf bash "$root/usr/bin/sh"
echo 'kvm:x:104:' >>"$root/etc/group"

# The cloud kernel has what the lab needs (KVM, Landlock, userfaultfd), and boots faster than the big one.
fetch() {
  local package
  package=$(apt-cache show --no-all-versions "linux-image-cloud-$debian_arch" 2>/dev/null |
    grep -oE "linux-image-[0-9][^ ,]*-cloud-$debian_arch" | head -n 1) || return
  say "fetching $package and busybox-static" >&2
  unpack_packages "$work/kernel" "$package" busybox-static
}
with_package_lists fetch >"$work/packages.json"
base=$work/kernel
[[ -d $base/lib/modules ]] || base=$work/kernel/usr
release=$(basename "$base"/lib/modules/*)
depmod -b "$base" "$release"
cp -r "$base/lib/modules" "$root/usr/lib/"

initramfs=$work/initramfs
mkdir -p "$initramfs"/{bin,dev,proc,sys,modules,lower,things,upper,new}
install -m 755 "$(find "$work/kernel" -path '*bin/busybox')" "$initramfs/bin/busybox"
install -m 755 "$here/guest/early" "$initramfs/init"
modprobe -d "${base%/lib}" -S "$release" --show-depends --all "${early[@]}" | awk '$1 == "insmod" { print $2 }' |
  while read -r module; do
    name=$(basename "${module%%.ko*}").ko
    case $module in
      *.xz) xz -dc "$module" >"$initramfs/modules/$name" ;;
      *) cp "$module" "$initramfs/modules/$name" ;;
    esac
    echo "$name" >>"$initramfs/modules/list"
  done
(cd "$initramfs" && find . -mindepth 1 -print0 | cpio --null --create --format=newc --owner=0:0 --quiet) |
  write_atomically "$out/initramfs.cpio"
mkfs.erofs --quiet --all-root "$work/root.erofs" "$root"
mv -f "$work/root.erofs" "$out/root.erofs"
cp "$work/kernel/boot/vmlinuz-$release" "$out/vmlinuz"
echo "$stamp" >"$out/.stamp"
say "Linux $release, root file system $(du -m "$out/root.erofs" | cut -f1) MiB, in $SECONDS s"
