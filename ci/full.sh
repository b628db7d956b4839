#!/usr/bin/env bash
# What takes too long for CI, run by hand: kill -9 at ten places of `up` on a real cluster in the lab, each followed by an `up` that converges
# and a `down` that leaves nothing, with what belongs to others as it was.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_PART=kills exec "$root/ci/lab.sh" test
