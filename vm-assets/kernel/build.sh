#!/usr/bin/env bash
# usage: build.sh GUEST_INIT
# A kernel of our own -> build/vm/ARCH-own/: vmlinuz and an initramfs without modules, from Debian's
# linux-source package and the configuration beside this script. Optional (`make kernel`): nothing
# else needs it. Takes minutes, once; a worker uses it with --vm-assets build/vm/ARCH-own.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
here=$assets_dir/kernel
label=own-kernel

(( $# == 1 )) || die "usage: $0 GUEST_INIT"
series=6.1 # that the configuration was written for
out=$build_dir/vm/$arch-own work=$build_dir/kernel config=$here/$arch.config

"$assets_dir/packages.sh" flex bison bc libelf-dev lz4 # on top of what building the rest needs

# Every line of the configuration must be true in the finished one: kconfig drops silently what it
# cannot grant.
check_config() { # FINISHED
  local line bad=0
  while read -r line; do
    case $line in
      CONFIG_*=*) grep -qxF -- "$line" "$1" ;;
      "# CONFIG_"*" is not set") ! grep -q "^$(cut -d' ' -f2 <<<"$line")=" "$1" ;;
      *) continue ;;
    esac || { echo "$label: not granted: $line" >&2; bad=1; }
  done <"$config"
  (( bad == 0 )) || die "Linux $series does not take $config as it is"
}

build_kernel() (
  tree=$work/linux-source-$series
  packages=$(with_package_lists fetch)
  cp "$config" "$work/fragment"
  # The same sources, configuration and compiler give the same bytes.
  export KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=pe KBUILD_BUILD_HOST=pe KCONFIG_ALLCONFIG=$work/fragment
  make -s -C "$tree" O="$work/out" allnoconfig >"$work/log" 2>&1 || failed
  check_config "$work/out/.config"
  say "compiling Linux $(make -s -C "$tree" O="$work/out" kernelversion), log in $work/log"
  nice -n 19 make -C "$tree" O="$work/out" -j "$(nproc)" bzImage >>"$work/log" 2>&1 || failed

  cp "$work/out/arch/x86/boot/bzImage" "$out/vmlinuz.tmp"
  mv "$out/vmlinuz.tmp" "$out/vmlinuz"
  record "$out/manifest.json" kernel "$(jq -n -c --arg release "$(<"$work/out/include/config/kernel.release")" \
    --arg sha256 "$(sha256sum <"$out/vmlinuz" | cut -c1-64)" --arg config "$(hash_of "$config")" --argjson packages "$packages" \
    '{release: $release, vmlinuz_sha256: $sha256, config_sha256: $config, packages: $packages}')"
  # The sources can be fetched again; 2 GiB of them need not stay.
  rm -rf "$tree" "$work/out"
  echo "$stamp" >"$out/.kernel.stamp"
  say "$(du -k "$out/vmlinuz" | cut -f1) KiB in $SECONDS s"
)

failed() { tail -n 20 "$work/log" >&2; die "make failed (all of it: $work/log)"; }

fetch() {
  local deb
  deb=$(mktemp -d) || return
  say "fetching linux-source-$series" >&2
  unpack_packages "$deb" "linux-source-$series" || { rm -rf "$deb"; return 1; }
  rm -rf "${work:?}"
  mkdir -p "$work"
  tar -C "$work" -xf "$deb/usr/src/linux-source-$series.tar.xz" || return
  rm -rf "$deb"
}

hold_lock "$out"
stamp=$(hash_of "$0" "$assets_dir/lib.sh" "$config")
if ! is_stamped "$out/.kernel.stamp" "$stamp" || [[ ! -f $out/vmlinuz ]]; then
  rm -f "$out/.kernel.stamp"
  build_kernel
fi
exec 9>&- # the next takes the lock itself
"$assets_dir/initramfs.sh" "$1" own
