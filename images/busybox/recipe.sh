# shellcheck shell=bash disable=SC2034  # read by ../pack.sh
# The smallest image that is still a Unix: one static program with all its applets.
packages=(busybox-static)
cmd='["sh"]'

finish() { link_applets; }
version() { in_root busybox | sed -nE '1s/^BusyBox v([0-9]+\.[0-9]+).*/\1/p'; }
smoke() {
  [[ $(in_root sh -c 'echo b a | tr " " "\n" | sort | head -n 1') == a ]]
}
