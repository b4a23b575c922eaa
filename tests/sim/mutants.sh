#!/usr/bin/env bash
# Puts each defect of mutants.txt into a copy of the tree, and tells how many seeds the simulation
# needs to find it. A defect that is not found, or whose line is not there any more, is a failure.
# `tests/sim/mutants.sh [PART OF A NAME]`
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$PWD/target
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --null -T - -c | tar -x -C "$copy"

status=0
one() { # name file find into
  local path=$copy/crates/lb/src/core/$2 said
  printf '%-55s ' "$1"
  if [ "$(grep -cxF -- "$3" "$path")" != 1 ]; then
    echo "its line is not there once"
    status=1
    return
  fi
  cp "$path" "$copy/kept"
  awk -v find="$3" -v into="$4" '$0 == find { if (into != "-") print into; next } { print }' \
    "$copy/kept" > "$path"
  if ! (cd "$copy" && RUSTFLAGS=-Awarnings CARGO_TARGET_DIR=$target cargo build -q --locked -p pe-sim) \
    2> "$copy/errors"; then
    echo "does not compile: $(grep -m1 ^error "$copy/errors")"
    status=1
  elif said=$("$target/debug/sim" 2> /dev/null); then
    echo "NOT FOUND"
    status=1
  else
    # shellcheck disable=SC2016 # not for the shell to expand
    awk '/ failed, the / { sub(/.* the /, ""); sub(/th$/, ""); seeds = $0 }
      / broke a rule: / { sub(/.*rule: /, ""); if (!rule) rule = $0 }
      / actions:$/ { sub(/.* by /, ""); sub(/ actions:/, ""); actions = $0 }
      END { printf "%6s seeds, %2s actions: %s\n", seeds, actions, rule }' <<< "$said"
  fi
  cp "$copy/kept" "$path"
}

name='' file='' find=''
while IFS= read -r line; do
  case $line in
    'name '*) name=${line#name } ;;
    'file '*) file=${line#file } ;;
    'find '*) find=${line#find } ;;
    'into '*) [[ $name != *${1:-}* ]] || one "$name" "$file" "$find" "${line#into }" ;;
  esac
done < tests/sim/mutants.txt
exit $status
