#!/usr/bin/env bash
# What takes too long for CI, run by hand, on a real cluster in the lab: every fault that `prove` knows; and kill -9 at ten places of `up`, each
# followed by an `up` that converges and a `down` that leaves nothing, with what belongs to others as it was; and the outcomes themselves, changed in
# one place after another, each of which must be noticed (ci/mutants.sh, for hours).
#
#   ci/full.sh [PART...]    default: prove kills mutants
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -gt 0 ] || set -- prove kills mutants
for part in "$@"; do
  case $part in
    mutants) "$root/ci/mutants.sh" ;;
    *) LAB_PART=$part "$root/ci/lab.sh" test ;;
  esac
done
