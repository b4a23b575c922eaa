# shellcheck shell=bash disable=SC2034  # read by ../pack.sh
packages=(sqlite3 busybox)
cmd='["sqlite3"]'

finish() { link_applets; }
version() { in_root sqlite3 --version | sed -nE 's/^([0-9]+\.[0-9]+).*/\1/p'; }
smoke() { [[ $(in_root sqlite3 :memory: 'select 6*7') == 42 ]]; }
