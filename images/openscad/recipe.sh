# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
# Its window is of no use here, but its libraries are needed to start at all.
packages=(openscad busybox)
cmd='["openscad", "--version"]'
env='["QT_QPA_PLATFORM=offscreen"]'

finish() { link_applets; }
version() { in_root openscad --version 2>&1 | sed -nE 's/^OpenSCAD version ([0-9]+\.[0-9]+).*/\1/p'; }
# shellcheck disable=SC2016  # the inner shell expands these
smoke() { in_root sh -c 'echo "cube(1);" >/tmp/t.scad; openscad -o /tmp/t.stl /tmp/t.scad 2>/dev/null; grep -q "^solid" /tmp/t.stl; status=$?; rm /tmp/t.*; exit $status'; }
