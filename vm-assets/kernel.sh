#!/usr/bin/env bash
# Debian's cloud kernel -> build/vm/ARCH/vmlinuz and modules/ (flat, with modules.list in load order).
# Nothing is installed on the host. Delete build/vm to take the newest kernel again.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# What guest-init needs by name; modules.dep adds what these need.
wanted=(
  virtio_pci      # all our virtio devices are on PCI
  virtio_console  # hvc0, where production VMMs put the console
  nd_pmem         # /dev/pmemN
  virtio_pmem     # image packs and the io file
  virtio_blk      # image packs where a VMM has no read-only pmem
  overlay         # writable layer above the pack
  erofs           # the pack
)

out=$build_dir/vm/$arch
hold_lock "$out"
stamp=$(hash_of "$0" "$assets_dir/lib.sh")
is_stamped "$out/.kernel.stamp" "$stamp" && exit 0
rm -f "$out/.kernel.stamp"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# The meta package only names the current kernel's package.
fetch() {
  local package
  package=$(apt-cache show --no-all-versions "linux-image-cloud-$debian_arch" 2>/dev/null |
    grep -oE "linux-image-[0-9][^ ,]*-cloud-$debian_arch" | head -n 1) || return
  say "fetching $package" >&2
  unpack_packages "$tree" "$package"
}
packages=$(with_package_lists fetch)

# Debian merged /lib into /usr/lib between releases; depmod wants the parent of lib/modules.
base=$tree
[[ -d $base/lib/modules ]] || base=$tree/usr
release=$(basename "$base"/lib/modules/*)
depmod -b "$base" "$release"
modules=$base/lib/modules/$release

rm -rf "$out/modules.new"
mkdir -p "$out/modules.new"
declare -A listed
list() { # PATH below modules, for example kernel/fs/erofs/erofs.ko
  local name
  name=$(basename "${1%%.ko*}").ko
  [[ -z ${listed[$name]:-} ]] || return 0
  listed[$name]=1
  case $1 in
    *.xz) xz -dc "$modules/$1" >"$out/modules.new/$name" ;;
    *) cp "$modules/$1" "$out/modules.new/$name" ;;
  esac
  echo "$name" >>"$out/modules.new/modules.list"
}
for name in "${wanted[@]}"; do
  line=$(grep -E "/${name//_/[_-]}\.ko(\.xz)?:" "$modules/modules.dep" || true)
  if [[ -z $line ]]; then
    grep -qE "/${name//_/[_-]}\.ko$" "$modules/modules.builtin" || die "Linux $release has no module $name"
    continue
  fi
  # modules.dep lists needs nearest first, so the load order is its reverse.
  read -ra needs <<<"${line#*:}"
  for (( i = ${#needs[@]} - 1; i >= 0; i-- )); do list "${needs[i]}"; done
  list "${line%%:*}"
done

rm -rf "$out/modules"
mv "$out/modules.new" "$out/modules"
cp "$tree/boot/vmlinuz-$release" "$out/vmlinuz.tmp"
mv "$out/vmlinuz.tmp" "$out/vmlinuz"
record "$out/manifest.json" kernel "$(jq -n -c --arg release "$release" --arg sha256 "$(sha256sum <"$out/vmlinuz" | cut -c1-64)" \
  --argjson packages "$packages" '{release: $release, vmlinuz_sha256: $sha256, packages: $packages}')"
echo "$stamp" >"$out/.kernel.stamp"
say "Linux $release with $(wc -l <"$out/modules/modules.list") modules in $SECONDS s"
