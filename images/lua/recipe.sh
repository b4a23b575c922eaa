# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
packages=(lua5.4 busybox)
cmd='["lua5.4"]'

finish() {
  # What the package's alternatives would have done.
  ln -s lua5.4 "$root/usr/bin/lua"
  link_applets
}
version() { in_root lua5.4 -v | sed -nE 's/^Lua ([0-9]+\.[0-9]+).*/\1/p'; }
smoke() { [[ $(in_root lua5.4 -e 'print(6*7)') == 42 ]]; }
