#!/usr/bin/env bash
# Many tests at once on one environment: suites/fixture/crowd.rs, and the same tests under nextest where it is installed.
#
#   ci/crowd.sh [PROCESSES [TEST]]    default: 40 processes, also after one that was killed while it provisioned
#
# On MESHPROOF_BACKEND=kind it takes the environment of MESHPROOF_SPEC and MESHPROOF_STATE, which must not be there yet, and removes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

processes=${1:-40}
test=${2:-crowd::}

MESHPROOF_CROWD=$processes cargo test --locked --package meshproof --test fixture -- "$test"

if ! cargo nextest --version >/dev/null 2>&1; then
  echo "ci/crowd.sh: there is no cargo-nextest: the crowd was not tried under it" >&2
  exit 0
fi
work=$(mktemp -d)
finish() {
  cargo run --quiet --locked -- down >&2 || true
  rm -rf "$work"
}
trap finish EXIT
if [ "${MESHPROOF_BACKEND:-embedded}" = embedded ]; then
  printf 'kubectlProxy:\n  port: 0\n' >"$work/any-port.yaml"
  export MESHPROOF_BACKEND=embedded MESHPROOF_SPEC=$work/any-port.yaml MESHPROOF_STATE=$work/state XDG_STATE_HOME=$work/xdg
fi
# Not --stress-count, which runs a test again when it has ended.
cargo nextest run --config-file ci/nextest.toml --locked --package meshproof --test fixture --run-ignored only \
  --test-threads "$processes" -E 'test(/^crowd::member::/)'
journals=("$MESHPROOF_STATE"/runs/*/journal.jsonl)
made=$(cat "${journals[@]}" | grep -c '"stage-finished","stage":"cluster",.*"result":"provisioned"')
[ "$made" = 1 ] || { echo "ci/crowd.sh: the cluster was made $made times" >&2; exit 1; }
