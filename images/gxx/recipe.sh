# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
packages=(g++ libc6-dev make busybox)
cmd='["sh"]'

finish() {
  rm -f "$root"/usr/bin/*lto-dump*
  ln -s gcc "$root/usr/bin/cc"
  ln -s g++ "$root/usr/bin/c++"
  link_applets
}
version() { in_root g++ -dumpversion; }
smoke() {
  # shellcheck disable=SC2016  # the inner shell expands these
  in_root sh -c 'cd /tmp && printf "#include <iostream>\nint main() { std::cout << 6 * 7; }" >t.cpp && g++ t.cpp -o t && [ "$(./t)" = 42 ]; status=$?; rm -f t t.cpp; exit $status'
}
