# shellcheck shell=bash disable=SC2034,SC2154  # read and set by ../pack.sh
# A C compiler with make and a shell. The tools around it are busybox's: binutils keeps its own names
# (ar, strings), because busybox here is the variant whose shell does not prefer its own applets.
packages=(gcc libc6-dev make busybox)
cmd='["sh"]'

finish() {
  # A 32 MB tool for debugging link-time optimisation itself; -flto works without it.
  rm -f "$root"/usr/bin/*lto-dump*
  # What the package's install script would have done.
  ln -s gcc "$root/usr/bin/cc"
  link_applets
}
version() { in_root gcc -dumpversion; }
smoke() {
  # The address sanitizer is not tried: it reads /proc, which is not there yet.
  # shellcheck disable=SC2016  # the inner shell expands these
  in_root sh -c 'cd /tmp && printf "#include <math.h>\n#include <stdio.h>\nint main(int n, char **v) { printf(\"%%g\", sqrt(n * 16)); }" >t.c &&
    for flags in "" "-O2 -static" "-fsanitize=undefined" "-flto -O2 -fopenmp"; do
      gcc $flags t.c -o t -lm && [ "$(./t)" = 4 ] || exit 1
    done
    rm t && printf "t: t.c\n\tcc t.c -o t -lm\n" >Makefile && make -s && [ "$(./t)" = 4 ] && ar rc t.a t'
}
