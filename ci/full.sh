#!/usr/bin/env bash
# What takes too long for CI, run by hand, on a real cluster in the lab: every fault that `prove` knows; and kill -9 at ten places of `up`, each
# followed by an `up` that converges and a `down` that leaves nothing, with what belongs to others as it was.
#
#   ci/full.sh [PART...]    default: prove kills
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -gt 0 ] || set -- prove kills
for part in "$@"; do
  LAB_PART=$part "$root/ci/lab.sh" test
done
