# shellcheck shell=bash
# Debian packages -> one flattened root file system in $root. Sourced by pack.sh; used by recipes.

suite=bookworm
: "${root:?}" # empty, it would make trim remove parts of this machine

# Lays the packages and all they depend on over a skeleton. No install script is run: what they
# would do and an image needs is few lines here and in the recipes, and the same bytes every time.
extract_packages() { # PACKAGE...
  local include log
  include=$(IFS=,; echo "$*")
  log=$root.log
  # Through tar so that no user but us owns anything, also when mmdebstrap works in a user namespace.
  # shellcheck disable=SC2016  # mmdebstrap expands $1
  if ! mmdebstrap --variant=extract --include="$include" --format=tar \
    --setup-hook='cd "$1" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 && ln -s usr/bin usr/sbin usr/lib usr/lib64 .' \
    "$suite" - 2>"$log" </dev/null | tar -x -p --no-same-owner -C "$root" --exclude='./dev/*'; then
    cat "$log" >&2
    die "mmdebstrap failed (see above)"
  fi
  rm -f "$log"
}

# Removes what no program needs, and all that mmdebstrap copied from this host or left behind.
# Copyright files stay: the pack may be handed on.
trim() {
  rm -rf "$root"/usr/share/{man,locale,info,lintian,bug,gdb,initramfs-tools,bash-completion,pixmaps,applications} \
    "$root"/usr/lib32 "$root"/usr/libx32 "$root"/lib32 "$root"/libx32 "$root"/etc/{apt,dpkg,fstab,hostname,resolv.conf} \
    "$root"/var/{cache,lib,log,backups}
  find "$root/usr/share/doc" -type f ! -name copyright -delete
  find "$root/usr/share/doc" -type l -delete
  find "$root/usr/share/doc" -type d -empty -delete
}

# Users, names and the folders that the guest mounts over or writes to.
lay_skeleton() {
  mkdir -p "$root"/{proc,sys,dev,run,input,output,tmp,etc,root,var}
  chmod 755 "$root" "$root/input" "$root/output"
  chmod 700 "$root/root"
  chmod 1777 "$root/tmp"
  mkdir -p "$root/var/lib" "$root/var/tmp"
  chmod 1777 "$root/var/tmp"
  # Everything in a pack is owned by root, so the user's home is the one place it can write to.
  cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
user:x:1000:1000:user:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
PASSWD
  cat >"$root/etc/group" <<'GROUP'
root:x:0:
daemon:x:1:
user:x:1000:
nogroup:x:65534:
GROUP
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
}

# Gives every busybox applet its name, unless a package brought the real program.
link_applets() {
  local applet
  for applet in $(in_root busybox --list); do
    [[ -e $root/usr/bin/$applet || -e $root/usr/sbin/$applet ]] || ln -s busybox "$root/usr/bin/$applet"
  done
}

# Runs a program of the new root file system; without root, in a user namespace.
in_root() {
  local enter=(chroot)
  (( EUID == 0 )) || enter=(unshare --user --map-root-user chroot)
  env -i PATH=/usr/sbin:/usr/bin HOME=/root "${enter[@]}" "$root" "$@"
}
