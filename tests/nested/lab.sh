#!/usr/bin/env bash
# An emulated machine with a working KVM, on any host that has QEMU.
#
#   lab.sh run [--limit SECONDS] COMMAND...   a fresh lab, one command, its output and status, the lab gone
#   lab.sh start | stop                       a lab that stays up for many commands (4 hours at most)
#   lab.sh exec [--limit SECONDS] COMMAND...  runs a command in the lab that is up
#   lab.sh put PATH...                        copies newer files or folders to the same place in it
#   lab.sh log                                its kernel's messages
#   lab.sh vmm                                where the cloud-hypervisor binary is that it would take in
#
# COMMAND is one program with its arguments (`bash -c '...'` for more). It runs as root, with the
# release programs, guests, images, the e2e binary and cloud-hypervisor where the host has them.
# NESTED_LAB names a lab (default: main), NESTED_MEMORY_MIB and NESTED_CPUS size it, NESTED_CPU is its
# processor as QEMU's -cpu has it, NESTED_THINGS is a list of more paths to take in.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../vm-assets/lib.sh
. "$here/../../vm-assets/lib.sh"
label="nested lab"
repository=$(dirname "$assets_dir")
assets=$build_dir/nested
dir=$assets/labs/${NESTED_LAB:-main}
limit=
GOOD_QEMU=10 # the first major version that emulates AMD's virtualisation well enough (docs/testing.md)

usage() { sed -n '3,/^set/s/^# \{0,1\}//p' "$0" | sed '/^set/d' >&2; exit 64; }

# Copies a path as it is now to the same place below a folder, without copying bytes where links do.
take_in() { # FOLDER PATH
  local path
  path=$(realpath -- "$2")
  mkdir -p "$1$(dirname "$path")"
  cp -al "$path" "$1$(dirname "$path")/" 2>/dev/null || cp -a --reflink=auto "$path" "$1$(dirname "$path")/"
}

# The things under test: what is built of them, and the cloud-hypervisor binary if there is one.
things() {
  local release=$repository/target/release guests=$repository/target/guest-build/$arch-unknown-linux-gnu/guest path
  for path in "$release"/pe{,-lb,-worker} "$guests"/pe-{guest,rogue}-init "$build_dir"/{vm/"$arch",images} \
    "$(newest "$release"/deps/vms-????????????????)"; do
    [[ ! -e $path ]] || echo "$path"
  done
  read -ra more <<<"${NESTED_THINGS:-}"
  (( ${#more[@]} == 0 )) || printf '%s\n' "${more[@]}"
}
# shellcheck disable=SC2012  # names of our own
newest() { ls -t "$@" 2>/dev/null | head -n 1 || true; }
# Where the cloud-hypervisor binary is, if there is one.
cloud_hypervisor() {
  if [[ -n ${CLOUD_HYPERVISOR:-} ]]; then
    command -v "$CLOUD_HYPERVISOR" || die "\$CLOUD_HYPERVISOR is no program: $CLOUD_HYPERVISOR"
  else
    command -v cloud-hypervisor || command -v "$build_dir/cloud-hypervisor/cloud-hypervisor"
  fi
}

# Starts QEMU in the background; sets $qemu.
start() { # [PROGRAM THAT STARTS IT...]
  local stage port
  command -v qemu-system-x86_64 >/dev/null || die "there is no qemu-system-x86_64 here; run: make packages"
  "$here/image.sh"
  if is_up; then die "a lab is up in $dir; stop it first, or name another by NESTED_LAB"; fi
  rm -rf "$dir"
  mkdir -p "$dir"
  chmod 700 "$dir"
  stage=$dir/stage
  things | while read -r path; do take_in "$stage" "$path"; done
  if cloud_hypervisor >/dev/null; then
    mkdir -p "$stage/usr/local/bin"
    cp -L "$(cloud_hypervisor)" "$stage/usr/local/bin/cloud-hypervisor"
  fi
  install -D -m 755 -t "$stage/lab" "$here"/guest/{init,agent}
  mkfs.erofs --quiet --all-root "$dir/things.erofs" "$stage"
  rm -rf "$stage"
  (umask 077 && head -c 24 /dev/urandom | base64 -w0 >"$dir/token")
  local own cpu=EPYC,+svm,+npt program=(qemu-system-x86_64) version
  version=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')
  if (( version < GOOD_QEMU )) && own=$("$here/qemu.sh"); then
    program=("$own/usr/bin/qemu-system-x86_64" -L "$own/usr/share/qemu" -L "$own/usr/share/seabios")
  elif (( version < GOOD_QEMU )); then
    # Without nested page tables, KVM keeps shadow tables of its own: slower, and guests stand still now
    # and then. With them, labs of the release's QEMU crash within minutes.
    say "with this host's QEMU, in which a lab may stand still" >&2
    cpu=EPYC,+svm,-npt
  fi
  # A kernel that stands still for half a minute ends the lab as one that crashed does, with its trace.
  local kernel="console=ttyS0 loglevel=5 panic=-1 softlockup_panic=1 cryptomgr.notests mitigations=off nokaslr"
  mkfifo "$dir/monitor.in" "$dir/monitor.out"
  # A port that is taken makes QEMU end at once; another is tried.
  for _ in {1..20}; do
    port=$(( 10000 + RANDOM % 9000 ))
    "$@" "${program[@]}" -nodefaults -no-user-config -display none -M q35 \
      -accel tcg,thread=multi,tb-size=1024 -cpu "${NESTED_CPU:-$cpu}" \
      -smp "${NESTED_CPUS:-2}" -m "${NESTED_MEMORY_MIB:-6144}" \
      -kernel "$assets/vmlinuz" -initrd "$assets/initramfs.cpio" \
      -append "$kernel" -no-reboot \
      -drive "if=virtio,format=raw,readonly=on,file=$assets/root.erofs" \
      -drive "if=virtio,format=raw,readonly=on,file=$dir/things.erofs" \
      -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:7000" -device virtio-net-pci,netdev=net,romfile= \
      -fw_cfg "name=opt/lab/token,file=$dir/token" \
      -serial "file:$dir/console.log" -monitor "pipe:$dir/monitor" </dev/null >"$dir/qemu.log" 2>&1 &
    qemu=$!
    echo "$qemu" >"$dir/pid"
    echo "$port" >"$dir/port"
    wait_up "$qemu" && return
    grep -q 'forwarding rule' "$dir/qemu.log" || break
  done
  cat "$dir/qemu.log" >&2
  tail -n 20 "$dir/console.log" >&2 || true
  kill "$qemu" 2>/dev/null || true
  die "the lab did not come up (see above)"
}

# The guest says so on its console when it listens.
wait_up() { # PID
  for _ in {1..1200}; do
    grep -q '^lab: up' "$dir/console.log" 2>/dev/null && return
    kill -0 "$1" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

is_up() { [[ -s $dir/pid ]] && kill -0 "$(<"$dir/pid")" 2>/dev/null && grep -qs "$dir/things.erofs" "/proc/$(<"$dir/pid")/cmdline"; }

# Opens a connection to the agent as descriptor 3.
connect() { # VERB ARGUMENT
  exec 3<>"/dev/tcp/127.0.0.1/$(<"$dir/port")"
  printf '%s %s %s\n' "$(<"$dir/token")" "$1" "$2" >&3
}

# A lab may stand still with its interrupts off, where its own kernel cannot notice. It answers within
# seconds else, however busy it is.
end_if_it_stands_still() {
  exec 4<> <(:) # says nothing: a wait in it, unlike a sleep, is no process that outlives this one
  until read -r -t 30 -u 4 || { ! answers && ! answers; }; do :; done
  say "the lab stands still; its processors are at" >&2
  echo "info registers -a" >"$dir/monitor.in"
  timeout 2 cat "$dir/monitor.out" | tr -d '\r' | grep -E '^CPU#|^RIP' >&2 || true
  kill -KILL "$(<"$dir/pid")"
}

answers() {
  local said=
  connect ping . && read -r -t 60 said <&3
  exec 3>&-
  [[ $said == ok ]]
}

run_in_lab() { # COMMAND...
  local command id
  id=$$.$RANDOM
  printf -v command '%q ' "$@"
  connect run "$id:$(base64 -w0 <<<"$command")"
  # Ending the cat ends the connection, and that the command. It is waited for because bash acts
  # on a signal only then.
  local rc=0
  timeout --foreground "${limit:-0}" cat <&3 &
  reader=$!
  exec 3>&-
  end_if_it_stands_still &
  watcher=$!
  wait "$reader" || rc=$?
  reader=
  kill "$watcher" 2>/dev/null || true
  watcher=
  if (( rc == 124 )); then
    say "stopped after $limit s" >&2
    return 124
  fi
  connect status "$id"
  read -r rc <&3 || rc=
  exec 3>&-
  [[ $rc =~ ^[0-9]+$ ]] || { say "the lab ended before the command did" >&2; tail -n 60 "$dir/console.log" >&2; return 70; }
  return "$rc"
}

put() { # PATH...
  local stage=$dir/put answer
  rm -rf "$stage" && mkdir -p "$stage"
  for path; do take_in "$stage" "$path"; done
  tar -C "$stage" -cf "$dir/put.tar" .
  connect put "$(stat -c %s "$dir/put.tar")"
  cat "$dir/put.tar" >&3
  read -r answer <&3 || true
  exec 3>&-
  rm -rf "$stage" "$dir/put.tar"
  [[ $answer == ok ]] || die "copying failed"
}

stop() {
  is_up || return 0
  kill "$(<"$dir/pid")" 2>/dev/null || true
  for _ in {1..50}; do is_up || break; sleep 0.1; done
  rm -rf "$dir"
}

qemu='' reader='' watcher=''
end() { [[ -z $reader$qemu$watcher ]] || kill ${reader:+"$reader"} ${qemu:+"$qemu"} ${watcher:+"$watcher"} 2>/dev/null || true; }
trap 'exit 130' INT
trap 'exit 143' TERM

(( $# )) || usage
verb=$1
shift
if [[ ${1:-} == --limit ]]; then limit=$2; shift 2; fi
[[ ${1:-} != -- ]] || shift
case $verb in
  run)
    (( $# )) || usage
    # What a run left behind that was killed outright.
    for old in "$assets"/labs/run-*; do kill -0 "${old##*-}" 2>/dev/null || rm -rf "$old"; done
    dir=$assets/labs/run-$$
    # However this script ends, QEMU does too, and leaves nothing.
    trap 'end; rm -rf "$dir"' EXIT
    start setpriv --pdeathsig KILL
    rc=0
    run_in_lab "$@" || rc=$?
    exit "$rc"
    ;;
  start)
    start setsid timeout 4h
    qemu=
    say "up; $0 exec COMMAND..., $0 stop"
    ;;
  stop) stop ;;
  vmm) cloud_hypervisor ;;
  log) cat "$dir/console.log" ;;
  exec | put)
    (( $# )) || usage
    is_up || die "no lab is up; run: $0 start"
    trap end EXIT
    if [[ $verb == put ]]; then put "$@"; else run_in_lab "$@"; fi
    ;;
  *) usage ;;
esac
