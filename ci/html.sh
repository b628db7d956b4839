#!/usr/bin/env bash
# Opens HTML reports in a headless Chromium and looks at them as a person would: ci/html/check.mjs says at what.
#
#   ci/html.sh FILE.html...   these; screenshots go to $SHOTS, or else to a directory that is named at the end
#   ci/html.sh                pages that the tests of src/report/html make
#
# Exit code 77 where there is no Chromium and none can be installed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

loud() { printf '\n!!!! %s !!!!\n\n' "$*" >&2; }

# apt_get PACKAGE...: quietly, and only where it can work
apt_get() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  timeout 120 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$chromium" ]; then
  # The guide's sentences are Chinese, and need a font to be looked at.
  apt_get chromium fonts-noto-cjk || true
  chromium=$(command -v chromium || true)
fi
[ -n "$chromium" ] || { loud "NO CHROMIUM, and none could be installed: the HTML report was not looked at"; exit 77; }
# Where it is there and cannot run, as in some containers, nothing that it would say is about the report.
timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --dump-dom about:blank >/dev/null 2>&1 ||
  { loud "CHROMIUM DOES NOT RUN HERE: the HTML report was not looked at"; exit 77; }
command -v npm >/dev/null || apt_get nodejs npm || true
command -v node >/dev/null && command -v npm >/dev/null || { loud "NO NODE: the HTML report was not looked at"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/html/package.json "$here"/html/package-lock.json "$work"
npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --silent ||
  { loud "NO AXE, and npm could not install it: the HTML report was not looked at"; exit 77; }

if [ $# = 0 ]; then
  (cd "$here/.." && MESHPROOF_HTML_OUT=$work/pages cargo test --quiet --locked --lib report::html::tests::pages)
  set -- "$work"/pages/*.html
fi
shots=${SHOTS:-$(mktemp -d)}
mkdir -p "$shots"
AXE=$work/node_modules/axe-core/axe.min.js CHROMIUM=$chromium SHOTS=$shots node "$here/html/check.mjs" "$@"
printf 'screenshots: %s\n' "$shots"
