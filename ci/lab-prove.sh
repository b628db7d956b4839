# Every fault on a real cluster, sourced by ci/lab-test.sh for ci/full.sh.
# shellcheck shell=bash

expect 0 "$meshproof" up >/dev/null

say 'every fault breaks what it names and nothing else'
expect 0 "$meshproof" prove --format json >"$work/proved.json"
jq -e '(.faults | length) >= 10 and all(.faults[]; .result == "proved")' "$work/proved.json" >/dev/null ||
  die "not proved: $(jq -c '[.faults[] | select(.result != "proved")]' "$work/proved.json")"
jq -r '.faults[] | "\(.fault) \(.milliseconds) ms"' "$work/proved.json" >&2
expect 0 "$meshproof" verify >"$work/after-prove.txt"
all_but "$work/after-prove.txt" 54 6
expect 0 "$meshproof" down >&2
[ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something of others changed or something of ours remains'; }
