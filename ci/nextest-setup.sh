#!/usr/bin/env bash
# nextest's setup script: makes the environment, or finds it whole, and hands it to the tests.
#
# MESHPROOF_BIN names the program: yours, if your tests have stages of their own (`meshproof::cli::main_with`). Without it, the example's
# is built; put your own there. It is not looked for on PATH, where another version may be.
set -euo pipefail

if [ -n "${MESHPROOF_BIN:-}" ]; then
  meshproof=("$MESHPROOF_BIN")
else
  meshproof=(cargo run --quiet --package service-in-mesh --features cli --)
fi

"${meshproof[@]}" up >&2
exports=$("${meshproof[@]}" env)
eval "$exports"

# Started by hand, without nextest's file, it shows what it would hand over.
cat >"${NEXTEST_ENV:-/dev/stdout}" <<ENV
KUBECONFIG=$KUBECONFIG
MESHPROOF_STATE=$MESHPROOF_STATE
MESHPROOF_CLUSTER=$MESHPROOF_CLUSTER
MESHPROOF_REUSE=require
ENV
