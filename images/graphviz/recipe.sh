# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
# Graphviz with one family of fonts, so that labels in pictures have letters.
packages=(graphviz fonts-dejavu-core fontconfig busybox)
cmd='["dot", "-V"]'

finish() {
  # What install scripts would have done: the list of plugins, and the index of fonts.
  in_root dot -c
  in_root fc-cache -s
  link_applets
}
version() { in_root dot -V 2>&1 | sed -nE 's/.*version ([0-9]+\.[0-9]+).*/\1/p'; }
smoke() {
  [[ $(in_root sh -c 'echo "graph { a -- b }" | dot -Tsvg') == *'</svg>'* ]] &&
    [[ $(in_root sh -c 'echo "graph { a -- b }" | dot -Tpng | head -c 4 | tail -c 3') == PNG ]]
}
