# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
# Python with its whole standard library, compiled ahead: a pack is read-only, so every run would
# otherwise compile each module that it imports again.
packages=(python3 busybox)
cmd='["python3"]'

finish() {
  ln -s python3 "$root/usr/bin/python"
  link_applets
  # unchecked: the sources cannot change, so their times need not be looked at (and all are equal).
  in_root env PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3*
}
version() { in_root python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
smoke() {
  [[ $(in_root python3 -c 'import asyncio, ctypes, decimal, json, lzma, sqlite3, ssl, zoneinfo
print(sqlite3.connect(":memory:").execute("select 6*7").fetchone()[0])') == 42 ]]
}
