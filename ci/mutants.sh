#!/usr/bin/env bash
# Mutation testing of the outcomes: cargo-mutants changes src/outcomes in one place at a time, and something must notice. The tests of the
# outcomes judge first; what they let pass is judged by `prove` on a simulated cluster: a check that was changed must then hold under a fault
# that it should fail under, or fail where it should hold. What both let pass is listed, and the script fails. Mutants that are equal to the
# original are named in ci/mutants.toml, each with the reason.
#
#   ci/mutants.sh [FILE...]    default: every file of src/outcomes; takes hours, 15 to 40 seconds a mutant
#
# kubectl and istioctl are used where they are on PATH; without them `prove` judges less, so less is noticed. Every run that judges the same
# files goes on where the last one ended: what was noticed is not tried again. Results: $MESHPROOF_MUTANTS, default target/mutants.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
out=${MESHPROOF_MUTANTS:-$root/target/mutants}
version=27.1.0
say() { printf 'mutants: %s\n' "$*" >&2; }

cargo mutants --version 2>/dev/null | grep -q " $version\$" || cargo install cargo-mutants --locked --version "$version"
[ -z "$(git status --porcelain src sim)" ] || { say 'src or sim has changes that are not committed'; exit 2; }
[ $# -gt 0 ] || set -- 'src/outcomes/**'
files=()
for file in "$@"; do files+=(--file "$file"); done
mkdir -p "$out"

# A copy, so that nobody who edits meanwhile is in the way, with a target directory that stays.
tree=$(mktemp -d)
state=$(mktemp -d)
finish() {
  "$out/target/debug/meshproof" down --state-dir "$state/session" >/dev/null 2>&1 || true
  rm -rf "$tree" "$state"
}
trap finish EXIT
git clone --quiet "$root" "$tree"
export CARGO_TARGET_DIR=$out/target

again=()
[ ! -d "$out/mutants.out" ] || again=(--iterate)
code=0
(cd "$tree" && cargo mutants --config "$root/ci/mutants.toml" --in-place "${again[@]}" --output "$out" "${files[@]}" -- \
  --package meshproof --lib -- outcomes::) || code=$?
# 2: some were missed, 3: some took too long, which was noticed.
case $code in 0 | 2 | 3) ;; *) exit "$code" ;; esac

# How many faults are proved, when all is well; nothing if `prove` itself cannot be done or is not green.
proved() (
  export MESHPROOF_STATE=$state/session MESHPROOF_BACKEND=embedded XDG_STATE_HOME=$state/xdg HOME=$state
  meshproof=$CARGO_TARGET_DIR/debug/meshproof
  recorded=(--set recording.mirror=true --set recording.proxy=direct --set proxy.enabled=true --set kubectlProxy.port=0)
  "$meshproof" run "${recorded[@]}" --format json >"$state/run.json" 2>/dev/null || { echo none; return; }
  "$meshproof" prove --format json >"$state/prove.json" 2>/dev/null || { echo none; return; }
  "$meshproof" down >/dev/null 2>&1
  jq -r '[.counts.passed, .counts.unsupported] | join(" ")' "$state/run.json"
  jq -r '[.faults[] | select(.result == "proved") | .fault] | join(" ")' "$state/prove.json"
)

results=$out/mutants.out/outcomes.json
missed=$(jq '[.outcomes[] | select(.summary == "MissedMutant")] | length' "$results")
survived=0
if [ "$missed" -gt 0 ]; then
  (cd "$tree" && git checkout --quiet . && cargo build --quiet --bin meshproof)
  healthy=$(proved)
  [ "$healthy" != none ] || { say 'prove is not green without any mutant'; exit 1; }
  say "$missed that the tests let pass; prove judges them"
  while IFS=$'\t' read -r name diff; do
    (cd "$tree" && git checkout --quiet . && git apply --unidiff-zero "$out/mutants.out/$diff" && cargo build --quiet --bin meshproof)
    if [ "$(proved)" = "$healthy" ]; then
      say "NOBODY NOTICED: $name"
      survived=$((survived + 1))
    else
      say "prove noticed: $name"
    fi
  done < <(jq -r '.outcomes[] | select(.summary == "MissedMutant") | [.scenario.Mutant.name, .diff_path] | @tsv' "$results")
fi
jq -r '"mutants: \(.total_mutants) made, \(.unviable) of them no program, \(.caught + .timeout) noticed by the tests, \(.missed) not"' "$results" >&2
say "$survived that nobody noticed"
[ "$survived" = 0 ]
