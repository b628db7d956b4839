# The lab leg, sourced by ci/lab.sh: the main job as a user would run it, the suites, and the promises about failure and cleanliness.
# shellcheck shell=bash

start=$(date +%s)
say() { echo "lab test: [$(($(date +%s) - start))s] $*" >&2; }
die() { say "FAILED: $*"; exit 1; }
# expect CODE COMMAND…: the exit code is part of what is promised
expect() {
  local want=$1 got=0
  shift
  "$@" || got=$?
  [ "$got" = "$want" ] || die "exit $got, not $want: $*"
}

cargo build --manifest-path "$root/Cargo.toml" --bins
eval "$(env_)"
meshproof=${CARGO_TARGET_DIR:-$root/target}/debug/meshproof
work=$(mktemp -d)
export MESHPROOF_STATE=$work/state MESHPROOF_BACKEND=kind
export HOME=$work/home XDG_CACHE_HOME=$work/cache KUBECONFIG=$work/home/.kube/config
# rustup and cargo keep their places although HOME is another one.
export CARGO_HOME=${CARGO_HOME:-$OLD_HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$OLD_HOME/.rustup}
mkdir -p "$HOME/.kube"
printf 'apiVersion: v1\nkind: Config\ncurrent-context: mine\n' >"$KUBECONFIG"

# What belongs to others: it must be the same at the end.
others() {
  docker ps -aq --no-trunc | sort
  docker network ls -q --no-trunc | sort
  docker volume ls -q | sort
  sha256sum "$KUBECONFIG"
  ls -A "$HOME" "$HOME/.kube"
}
before=$(others)
finish() {
  "$meshproof" down >&2 || true
  rm -rf "$work"
  "$lab/down" >&2 || true
}
trap finish EXIT

say 'from nothing: run'
expect 0 "$meshproof" run --junit "$work/junit.xml" >"$work/first.txt"
tail -1 "$work/first.txt" >&2
grep -q 'ztunnel: stand-in' "$work/first.txt" || die 'the stand-ins are not named'
grep -q '<testsuites' "$work/junit.xml" || die 'there is no JUnit report'

say 'again, with proxy variables that lead nowhere'
HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 expect 0 "$meshproof" run >"$work/second.txt"
tail -1 "$work/second.txt" >&2

say 'the suites'
(cd "$root" && cargo test --test cluster --test dashboard --test istioctl --test istio --test gateway_api) >&2 || die 'a suite failed'

say 'a node is removed'
docker rm -f istio-cluster-worker >/dev/null
expect 1 "$meshproof" verify --format json >"$work/broken.json"
jq -e '[.outcomes[] | select(.verdict == "failed") | .id] as $f
  | ($f | index("cluster.kind.nodes")) and ($f | index("cluster.nodes.ready")) and ($f | index("istio.ztunnel.every-node"))
  and ($f | index("dashboard.pods.running")) and ($f | index("gateway-api.crds.established") | not)' "$work/broken.json" >/dev/null ||
  die 'the wrong outcomes failed'
jq -e '[.outcomes[] | select(.verdict == "failed") | .diagnoses[] | select(.cause | contains("istio-cluster-worker"))] | length > 0' "$work/broken.json" >/dev/null ||
  die 'no diagnosis names the node'
say 'up repairs'
expect 0 "$meshproof" up >/dev/null
expect 0 "$meshproof" run >"$work/repaired.txt"
tail -1 "$work/repaired.txt" >&2

say 'a node is stopped, then its machine starts with an old status in the API'
docker stop istio-cluster-worker >/dev/null
expect 0 "$meshproof" run >"$work/restarted.txt"
tail -1 "$work/restarted.txt" >&2

say 'down leaves nothing'
expect 0 "$meshproof" down >&2
[ ! -e "$MESHPROOF_STATE" ] || die "the state directory is still there"
[ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something of others changed or something of ours remains'; }

say 'the name of the cluster is taken'
docker create --name istio-cluster-worker registry:3 >/dev/null
expect 3 "$meshproof" run >"$work/taken.txt"
grep -q 'istio-cluster-worker was not made by this environment' "$work/taken.txt" || die 'the container is not named'
expect 0 "$meshproof" down >&2
docker rm istio-cluster-worker >/dev/null || die 'the container of others is gone'

say 'registries that fail'
(cd "$root" && MESHPROOF_UPSTREAM_REGISTRY=$LAB_REGISTRY_LOCAL cargo test --test registry_faults -- --nocapture) >&2 || die 'the registry faults'
[ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something remains'; }
say "passed in $(($(date +%s) - start)) s"
