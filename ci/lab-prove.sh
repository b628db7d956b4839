# Every fault on a real cluster, sourced by ci/lab-test.sh for ci/full.sh.
# shellcheck shell=bash

# What nodes pull is recorded, so that every fault has something to break.
recorded=(--set recording.mirror=true --set recording.proxy=direct --set proxy.enabled=true --set
  "mirrors={docker.io: {server: \"http://$LAB_REGISTRY_LOCAL\", hosts: [{url: \"http://$LAB_REGISTRY_LOCAL\"}]}}")
expect 0 "$meshproof" up "${recorded[@]}" >/dev/null

say 'every fault breaks what it names and nothing else'
expect 0 "$meshproof" prove "${recorded[@]}" --format json >"$work/proved.json"
# Only a Dashboard that can be told to believe everything is not to be had here.
jq -e '(.faults | length) >= 40 and .after == {} and all(.faults[]; (.result == "proved" and .unjudged == []) or (.result == "unsupported" and (.reason | startswith("credulous"))))' \
  "$work/proved.json" >/dev/null || die "not proved: $(jq -c '[.faults[] | select(.result != "proved")], .after' "$work/proved.json")"
jq -r '.faults[] | "\(.fault) \(.result) \(.milliseconds) ms \(.rules | join(" "))"' "$work/proved.json" >&2
expect 0 "$meshproof" verify "${recorded[@]}" >"$work/after-prove.txt"
all_but "$work/after-prove.txt" 59 1
expect 0 "$meshproof" down >&2
[ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something of others changed or something of ours remains'; }
