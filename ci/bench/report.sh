#!/usr/bin/env bash
# How fast a journal of many outcomes becomes a report, and how much memory that takes: every form of `meshproof report`, and jq, which counts the
# verdicts of the same journal, as the peer.
#
#   ci/bench/report.sh [OUTCOMES [NODES [RUNS]]]    default: 10000 outcomes, 1000 nodes, medians of 5 runs
#
# Nothing else should run meanwhile. GNU time must be installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
outcomes=${1:-10000} nodes=${2:-1000} runs=${3:-5}
meshproof=${CARGO_TARGET_DIR:-target}/release/meshproof

cargo build --release --locked --quiet --bin meshproof
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# A journal as a run writes it: one outcome of a hundred fails with a diagnosis, one of fifty is unsupported; each sees something of a node.
awk -v outcomes="$outcomes" -v nodes="$nodes" '
  function record(text) { printf "{\"seq\":%d,\"at\":\"2026-11-03T08:%02d:%02d.%03dZ\",%s}\n", seq++, seq / 60000 % 60, seq / 1000 % 60, seq % 1000, text }
  function id(n) { return "chapter" n % 12 ".subject" n ".claim" }
  BEGIN {
    all = ""
    for (n = 0; n < outcomes; n++)
      all = all (n ? "," : "") "{\"id\":\"" id(n) "\",\"title\":\"The claim of number " n " holds\",\"kind\":\"documented\",\"section\":\"2.1.2\",\"sentence\":\"验证操作界面已经部署并且正在运行\",\"hint\":\"Look at number " n ".\"}"
    record("\"event\":\"run-started\",\"format\":1,\"run\":\"20261103T080000Z-00000001\",\"session\":\"00000001\",\"meshproof\":\"0.1.0\",\"command\":\"run\",\"backend\":\"kind\",\"fidelity\":\"real\",\"spec\":{},\"stages\":[{\"id\":\"cluster\",\"title\":\"The cluster\",\"needs\":[]}],\"outcomes\":[" all "]")
    names = ""
    for (n = 0; n < nodes; n++) names = names (n ? ", " : "") "node-" n
    record("\"event\":\"fact\",\"name\":\"nodes\",\"value\":\"" names "\"")
    record("\"event\":\"stage-started\",\"stage\":\"cluster\"")
    record("\"event\":\"stage-finished\",\"stage\":\"cluster\",\"duration_ms\":20000,\"result\":\"provisioned\"")
    for (n = 0; n < outcomes; n++) {
      record("\"event\":\"outcome-started\",\"outcome\":\"" id(n) "\"")
      verdict = "\"verdict\":\"passed\""
      if (n % 100 == 7) verdict = "\"verdict\":\"failed\",\"reason\":\"pod p-" n " is not 1/1 Running\",\"diagnoses\":[{\"rule\":\"P9\",\"confidence\":\"certain\",\"cause\":\"The image cannot be pulled.\",\"remedy\":\"Look at the mirror.\",\"seen\":\"ImagePullBackOff\"}]"
      if (n % 50 == 3) verdict = "\"verdict\":\"unsupported\",\"capability\":\"data-plane\",\"reason\":\"the ztunnel here is a stand-in\""
      record("\"event\":\"outcome-finished\",\"outcome\":\"" id(n) "\",\"duration_ms\":" n % 900 "," verdict ",\"evidence\":{\"node\":\"node-" n % nodes "\",\"printed\":[\"p-" n " 1/1 Running 0 39s\",\"q-" n " 1/1 Running 0 39s\"]}")
    }
    record("\"event\":\"run-finished\",\"exit_code\":1,\"duration_ms\":600000")
  }' >"$work/journal.jsonl"

echo "machine: $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo); journal: $outcomes outcomes, $nodes nodes, $(wc -c <"$work/journal.jsonl") bytes"
# measure NAME COMMAND…: milliseconds, peak KiB, bytes
measure() {
  local name=$1 start
  shift
  : >"$work/ms"
  : >"$work/kib"
  for _ in $(seq "$runs"); do
    start=$(date +%s%N)
    command time -f %M -o "$work/peak" "$@" >"$work/out" || [ $? = 1 ]
    echo $((($(date +%s%N) - start) / 1000000)) >>"$work/ms"
    tail -1 "$work/peak" >>"$work/kib"
  done
  median <"$work/ms" >"$work/$name.ms"
  echo "$name: $(cat "$work/$name.ms") ms, peak $(($(median <"$work/kib") / 1024)) MiB, $(wc -c <"$work/out") bytes"
}
measure jq jq -s 'map(select(.event == "outcome-finished") | .verdict) | group_by(.) | map({(.[0]): length}) | add' "$work/journal.jsonl"
for form in terminal json junit markdown conformance html; do
  measure "$form" "$meshproof" report "$work/journal.jsonl" --as "$form"
  awk -v a="$(cat "$work/$form.ms")" -v b="$(cat "$work/jq.ms")" 'BEGIN { printf "  %.2f of the time of jq\n", a / b }'
done
