#!/usr/bin/env bash
# Holds JUnit reports against the schema of Jenkins and reads them with two parsers of other people: ci/junit/check.mjs says what must hold.
#
#   ci/junit.sh FILE.xml...   these; beside each a FILE.json, the JSON report of the same run
#   ci/junit.sh               reports that the tests of src/report make
#
# Exit code 77 where there is no node and none can be installed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
loud() { printf '\n!!!! %s !!!!\n\n' "$*" >&2; }

command -v node >/dev/null && command -v npm >/dev/null || { loud "NO NODE: other parsers did not read the JUnit report"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/junit/package.json "$here"/junit/package-lock.json "$here"/junit/check.mjs "$work"
npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --silent ||
  { loud "NO PARSERS, and npm could not install them: other parsers did not read the JUnit report"; exit 77; }
if [ $# = 0 ]; then
  (cd "$here/.." && MESHPROOF_JUNIT_OUT=$work/reports cargo test --quiet --locked --lib report::tests::reports_for_other_parsers)
  set -- "$work"/reports/*.xml
fi
node "$work/check.mjs" "$@"
