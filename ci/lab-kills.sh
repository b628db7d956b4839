# Ten places at which `up` is killed on a real cluster, sourced by ci/lab-test.sh for ci/full.sh.
# shellcheck shell=bash

# shellcheck source=/dev/null
source "$root/ci/lab-crash.sh"

# Each is reached in turn by one environment, so that every `up` first picks up what the one before left; then by one of its own, which is
# removed at once.
places=(
  "$(started preflight)"
  "$(started mirror)"
  "$(started cluster)"
  "$(ran kind create)"
  "$(finished cluster)"
  "$(started nodes)"
  "$(ran kubectl --kubeconfig)"
  "$(ran istioctl install)"
  "$(finished gateway-api)"
  "$(finished istio)"
)
for place in "${places[@]}"; do
  say "killed at $place, and picked up"
  killed_up "$place"
done
expect 0 "$meshproof" run >"$work/converged.txt"
all_but "$work/converged.txt" 54 6
expect 0 "$meshproof" down >&2
nothing_left
for place in "${places[@]}"; do
  say "killed at $place, and removed"
  killed_up "$place"
  expect 0 "$meshproof" down >&2
  nothing_left
done
