#!/usr/bin/env bash
# Runs a command under a heading and says how long it took; a quick one says nothing more.
set -euo pipefail
title=$1
shift
start=$SECONDS
printf -- '-- %s\n' "$title"
"$@"
took=$((SECONDS - start))
if ((took >= 2)); then
  printf -- '-- %s: done in %d s\n' "$title" "$took"
fi
