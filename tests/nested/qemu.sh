#!/usr/bin/env bash
# The lab's own QEMU, unpacked from Debian's backports -> build/nested/qemu. Nothing is installed on the host.
# Prints that folder.
#
# The release's QEMU (7.2) emulates AMD's virtualisation badly: guests are interrupted while they have
# interrupts off, and labs crash or stand still (docs/testing.md).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../vm-assets/lib.sh
. "$here/../../vm-assets/lib.sh"
label="nested lab"
packages=(qemu-system-x86 qemu-system-common qemu-system-data seabios)

out=$build_dir/nested/qemu

hold_lock "$build_dir/nested"
stamp=$(hash_of "$0")
if is_stamped "$out/.stamp" "$stamp"; then
  echo "$out"
  exit
fi

work=$(mktemp -d "$build_dir/nested/.qemu-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,root}
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# The mirror that the host uses, whatever it is.
# shellcheck disable=SC2016  # apt expands these, not the shell
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  awk -v release="$release" '$2 == release { print $1; exit }')
[[ -n $mirror ]] || die "apt knows no $release to look for backports beside"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $release-backports main" >"$work/sources.list"
apt=(apt-get -qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
  -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root)

say "fetching QEMU from $release-backports" >&2
if ! { "${apt[@]}" update && cd "$work/root" && "${apt[@]}" download "${packages[@]}"; } >"$work/log" 2>&1; then
  cat "$work/log" >&2
  die "there is no QEMU in backports"
fi
for archive in *.deb; do
  dpkg-deb -x "$archive" .
  rm "$archive"
done
if ldd usr/bin/qemu-system-x86_64 | grep 'not found' >&2; then
  die "the QEMU of backports wants libraries that are not here: install qemu-system-x86"
fi
rm -rf "$out"
mv "$work/root" "$out"
echo "$stamp" >"$out/.stamp"
echo "$out"
