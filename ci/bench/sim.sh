#!/usr/bin/env bash
# How fast the embedded backend is on this machine: the main job from nothing, and what the simulated API server can do.
#
#   ci/bench/sim.sh [RUNS]              medians of RUNS (3) runs
#   PEER=KUBECONFIG ci/bench/sim.sh     also puts the load of `requests` on the API server of that kubeconfig, in turns, and prints the ratio
#
# Nothing else should run meanwhile. PEER's cluster gets four ConfigMaps in `default`, which are deleted again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
runs=${1:-3}
target=${CARGO_TARGET_DIR:-target}/release

cargo build --release --locked --quiet --bin meshproof
cargo build --release --locked --quiet -p sim --example bench

median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print "?" }'; }
work=$(mktemp -d)
trap 'MESHPROOF_STATE=$work/state "$target/meshproof" down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
export MESHPROOF_STATE=$work/state HOME=$work/home
high() { sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$1/status" 2>/dev/null; }

echo "machine: $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
for _ in $(seq "$runs"); do
  start=$(date +%s%N)
  "$target/meshproof" run --backend embedded --set kubectlProxy.port=0 >"$work/out" 2>/dev/null &
  pid=$!
  # The peak of a process can only be read while it is there; the last look counts.
  while kill -0 "$pid" 2>/dev/null; do high "$pid" >>"$work/rss.$pid" || true; done
  wait "$pid" || { tail -3 "$work/out"; exit 1; }
  echo $((($(date +%s%N) - start) / 1000000)) >>"$work/cold"
  sort -n "$work/rss.$pid" | tail -1 >>"$work/rss.run"
  high "$("$target/meshproof" status --format json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')" >>"$work/rss.agent"
  start=$(date +%s%N)
  "$target/meshproof" run --backend embedded --set kubectlProxy.port=0 >"$work/out" 2>/dev/null
  echo $((($(date +%s%N) - start) / 1000000)) >>"$work/warm"
  tail -1 "$work/out" >"$work/verdict"
  "$target/meshproof" down >/dev/null
done
echo "run from nothing: $(median <"$work/cold") ms; again: $(median <"$work/warm") ms; $(cat "$work/verdict")"
echo "peak memory: command $(($(median <"$work/rss.run") / 1024)) MiB, agent $(($(median <"$work/rss.agent") / 1024)) MiB"

for _ in $(seq "$runs"); do
  "$target/examples/bench" requests >>"$work/requests"
  [ -z "${PEER:-}" ] || "$target/examples/bench" requests "$PEER" >>"$work/peer"
  "$target/examples/bench" clusters >>"$work/clusters"
  "$target/examples/bench" pods >>"$work/pods"
done
rates() { sed -n "s|^$2.*: \([0-9]*\)/s|\1|p" "$1" | median; }
for what in GET PUT 'merge PATCH'; do
  line="$what: $(rates "$work/requests" "$what")/s"
  [ -z "${PEER:-}" ] || line+=", peer $(rates "$work/peer" "$what")/s, $(awk -v a="$(rates "$work/requests" "$what")" -v b="$(rates "$work/peer" "$what")" 'BEGIN { printf "%.1f", a / b }') times"
  echo "$line"
done
echo "-- all runs"
cat "$work/clusters" "$work/pods"
