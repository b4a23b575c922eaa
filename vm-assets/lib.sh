# shellcheck shell=bash
# What every build script here shares: where things are, how progress is told, how packages are fetched.
# Sourced, never run.

# shellcheck disable=SC2034  # used by the scripts that source this
{
  assets_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  build_dir=$(dirname "$assets_dir")/build
  arch=x86_64 debian_arch=amd64
}
# Without it, bash forgets errexit inside $(...).
shopt -s inherit_errexit
# Modes go into images and the initramfs; they must not depend on who builds.
umask 022
# depmod is not on everyone's PATH.
PATH=$PATH:/usr/sbin:/sbin

label=$(basename "$0" .sh)
say() { printf '%s: %s\n' "$label" "$*"; }
die() { printf '%s: %s\n' "$label" "$*" >&2; exit 1; }

# One builder at a time per output folder; the lock goes when the script ends.
hold_lock() { mkdir -p "$1"; exec 9>"$1/.lock"; flock 9; }

# Prints one hash over the bytes of the files given; where they are does not matter.
hash_of() { local file; for file; do sha256sum <"$file"; done | sha256sum | cut -c1-64; }

# Succeeds if the stamp file holds exactly this value, so its product is current.
is_stamped() { [[ -f $1 && $(<"$1") == "$2" ]]; }

# Writes standard input to a file so that a reader sees the old bytes or the new, never a part.
write_atomically() { cat >"$1.tmp" && mv -f "$1.tmp" "$1"; }

# Sets one key of a JSON object in a file, which need not exist yet.
record() { # FILE KEY JSON
  { if [[ -s $1 ]]; then cat "$1"; else echo '{}'; fi; } |
    jq -S --arg key "$2" --argjson value "$3" '.[$key] = $value' | write_atomically "$1"
}

# Runs a download; if it fails, package lists may be absent (fresh machine) or stale (404): refreshes them, tries again.
with_package_lists() { # COMMAND...
  "$@" && return
  (( EUID == 0 )) || die "package lists are missing or stale; run: sudo apt-get update"
  say "refreshing package lists" >&2
  apt-get update -qq >&2
  "$@"
}

# Downloads packages, without installing them, and unpacks them over a folder.
# Prints [{"package","version","sha256"}...] so that a manifest can say exactly what was used.
unpack_packages() ( # FOLDER PACKAGE...
  # Every step says what its failure means: bash ignores errexit in a function that is being tested.
  into=$1
  shift
  debs=$(mktemp -d) || return
  trap 'rm -rf "$debs"' EXIT
  # apt drops to its own user for downloads; it must be able to write here.
  chmod 777 "$debs"
  (cd "$debs" && apt-get download "$@") >"$debs/log" 2>&1 || { cat "$debs/log" >&2; return 1; }
  for deb in "$debs"/*.deb; do
    dpkg -x "$deb" "$into" || return
    # shellcheck disable=SC2016  # dpkg expands these, not the shell
    described=$(dpkg-deb -W --showformat '${Package} ${Version}' "$deb") || return
    echo "$described $(sha256sum <"$deb" | cut -c1-64)"
  done | jq -R 'split(" ") | {package: .[0], version: .[1], sha256: .[2]}' | jq -s -c .
)
