#!/usr/bin/env bash
# Puts each defect of mutants.txt into a copy of the broker, and tells how many seeds the simulation
# needs to find it. A defect that is not found, or whose line is not there any more, is a failure.
# `tests/sim/mutants.sh [PART OF A NAME]`
#
# The copy has of the load balancer and the worker only what the simulation uses, so that a defect
# costs seconds to build.
set -euo pipefail
cd "$(dirname "$0")/../.."

copy=target/mutants
rm -rf "$copy"
mkdir -p "$copy/crates/lb/src" "$copy/crates/worker/src/core"
sed '/^members = /s/.*/members = ["crates\/proto", "crates\/lb", "crates\/worker", "tests\/sim"]/; /^exclude = /d' \
  Cargo.toml > "$copy/Cargo.toml"
cp Cargo.lock clippy.toml "$copy"
git ls-files -z crates/proto tests/sim crates/lb/src/core crates/lb/src/limits.rs crates/lb/src/limits | tar --null -T - -c | tar -x -C "$copy"
cp crates/worker/src/limits.rs "$copy/crates/worker/src"
cp crates/worker/src/core/reconnect.rs "$copy/crates/worker/src/core"
stub() { # folder package dependencies
  printf '[package]\nname = "%s"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\n%s\n' "$2" "$3" \
    > "$copy/crates/$1/Cargo.toml"
}
stub lb pe-lb $'pe-proto.workspace = true\nthiserror.workspace = true'
stub worker pe-worker ''
echo 'pub mod limits; pub mod core { pub mod broker; pub mod ids; pub mod moment; }' > "$copy/crates/lb/src/lib.rs"
rm -rf "$copy/crates/proto/fuzz"
echo 'pub mod limits; pub mod core { pub type Moment = std::time::Duration; pub mod reconnect; }' \
  > "$copy/crates/worker/src/lib.rs"

status=0
build() {
  (cd "$copy" && RUSTFLAGS=-Awarnings CARGO_TARGET_DIR=target cargo build -q -p pe-sim) 2> "$copy/errors"
}

one() { # name file find into
  local path=$copy/crates/lb/src/core/$2 said
  printf '%-50s ' "$1"
  if [ "$(grep -cxF -- "$3" "$path")" != 1 ]; then
    echo "its line is not there once"
    status=1
    return
  fi
  cp "$path" "$copy/kept"
  awk -v find="$3" -v into="$4" '$0 == find { if (into != "-") print into; next } { print }' \
    "$copy/kept" > "$path"
  if ! build; then
    echo "does not compile: $(grep -m1 ^error "$copy/errors")"
    status=1
  elif said=$(SEEDS=5000 "$copy/target/debug/sim" 2> /dev/null); then
    echo "NOT FOUND"
    status=1
  else
    awk '/ failed, the / { sub(/.* the /, ""); sub(/th$/, ""); seeds = $0 }
      / broke a rule: / { sub(/.*rule: /, ""); if (!rule) rule = $0 }
      / actions:$/ { sub(/.* by /, ""); sub(/ actions:/, ""); actions = $0 }
      END { printf "%4s seeds, %2s actions: %s\n", seeds, actions, rule }' <<< "$said"
  fi
  cp "$copy/kept" "$path"
}

build || { cat "$copy/errors"; exit 1; }
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
