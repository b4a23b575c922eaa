#!/usr/bin/env bash
# Debian's crun and the shared libraries it needs -> build/vm/ARCH/crun/, a folder to be laid over an initramfs.
# libsystemd is replaced by a stub: a VM has no systemd to talk to, and the real one brings 3.4 MB
# of libraries (gcrypt, zstd, lzma, ...) that every crun start would have to map and relocate.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

out=$build_dir/vm/$arch
hold_lock "$out"
stamp=$(hash_of "$0" "$assets_dir/lib.sh")
is_stamped "$out/.crun.stamp" "$stamp" && exit 0
rm -f "$out/.crun.stamp"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
say "fetching crun and its libraries"
packages=$(with_package_lists unpack_packages "$tree" crun libc6 libcap2 libseccomp2 libyajl2)

# Writes a libsystemd whose functions all fail with ENOSYS: exactly those, at exactly those
# symbol versions, that the given program imports.
stub_libsystemd() { # PROGRAM OUTPUT
  local symbols
  symbols=$(readelf --dyn-syms -W "$1" | grep -oE '[a-z_]+@LIBSYSTEMD_[0-9]+' | sort -u)
  sed -E 's/(.*)@.*/long \1(void) { return -38; }/' <<<"$symbols" >"$tree/stub.c"
  awk -F@ '{ of[$2] = of[$2] " " $1 ";" } END { for (v in of) print v " {" of[v] " };" }' <<<"$symbols" |
    sort >"$tree/stub.map"
  gcc -shared -fPIC -Os -nostdlib -Wl,-soname,libsystemd.so.0 -Wl,--version-script="$tree/stub.map" \
    -Wl,--build-id=none -s -o "$2" "$tree/stub.c"
}

rm -rf "$out/crun.new"
mkdir -p "$out/crun.new"/{usr/bin,lib64,lib/"$arch"-linux-gnu}
libraries=$out/crun.new/lib/$arch-linux-gnu
install -m 755 "$tree/usr/bin/crun" "$out/crun.new/usr/bin/crun"
install -m 755 "$(find "$tree" -path '*linux-gnu/ld-linux-x86-64.so.2')" "$out/crun.new/lib64/"
stub_libsystemd "$tree/usr/bin/crun" "$libraries/libsystemd.so.0"

# Follows NEEDED entries until nothing new is needed; a library that no package brought is an error.
copy_needs() { # FILE
  local name file
  for name in $(readelf -d "$1" | sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p'); do
    [[ -e $libraries/$name || -e $out/crun.new/lib64/$name ]] && continue
    file=$(find "$tree" -path "*linux-gnu/$name" | head -n 1)
    [[ -n $file ]] || die "no package brought $name, which $(basename "$1") needs"
    install -m 755 "$file" "$libraries/$name"
    copy_needs "$file"
  done
}
copy_needs "$out/crun.new/usr/bin/crun"

# The loader must find everything inside this folder alone, as it will in the VM.
loader=$out/crun.new/lib64/ld-linux-x86-64.so.2
version=$("$loader" --inhibit-cache --library-path "$libraries" "$out/crun.new/usr/bin/crun" --version | head -n 1)

rm -rf "$out/crun"
mv "$out/crun.new" "$out/crun"
record "$out/manifest.json" crun "$packages"
echo "$stamp" >"$out/.crun.stamp"
say "$version, $(du -sk "$out/crun" | cut -f1) KiB, in $SECONDS s"
