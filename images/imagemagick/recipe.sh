# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
packages=(imagemagick-6.q16 busybox)
cmd='["convert", "-version"]'

finish() {
  # What the package's alternatives would have done.
  local tool
  for tool in convert identify mogrify composite montage compare; do
    ln -s "$tool-im6.q16" "$root/usr/bin/$tool"
  done
  link_applets
}
version() { in_root convert -version | sed -nE 's/^Version: ImageMagick ([0-9]+\.[0-9]+).*/\1/p'; }
smoke() { [[ $(in_root convert rose: -resize 10 png:- | head -c 4 | tail -c 3) == PNG ]]; }
