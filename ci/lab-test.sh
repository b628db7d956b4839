# The lab leg, sourced by ci/lab.sh: the main job as a user would run it, the suites, and the promises about failure and cleanliness.
# shellcheck shell=bash

start=$(date +%s)
# Also where the output of a command goes to a file, what went wrong must not.
exec 9>&2
say() { echo "lab test: [$(($(date +%s) - start))s] $*" >&9; }
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
export HOME=$work/home XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/xdg-state KUBECONFIG=$work/home/.kube/config
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
  if declare -F open_wall >/dev/null; then open_wall; fi
  "$meshproof" down >&2 || true
  umount "$work/small" 2>/dev/null || true
  rm -rf "$work"
  "$lab/down" >&2 || true
}
trap finish EXIT

# all_but FILE PASSED UNSUPPORTED: a capability that is lost by accident must not pass for one that is absent
all_but() {
  tail -1 "$1" >&2
  grep -q "^$2 passed, 0 failed, 0 blocked, 0 skipped, $3 unsupported" "$1" || die "not $2 passed and $3 unsupported: $(tail -1 "$1")"
}

# One part by itself: `sessions`, `mirror`, or `prove` and `kills`, which only ci/full.sh has.
if [ -n "${LAB_PART:-}" ]; then
  # shellcheck source=/dev/null
  source "$root/ci/lab-$LAB_PART.sh"
  say "passed in $(($(date +%s) - start)) s"
  exit 0
fi

# shellcheck source=/dev/null
source "$root/ci/lab-embedded.sh"

say 'from nothing: run'
expect 0 "$meshproof" run --junit "$work/junit.xml" >"$work/first.txt"
all_but "$work/first.txt" 54 6
grep -q '(unsupported outcomes): dashboard-page (1), node-proxy (2), recording-mirror (1), recording-proxy (2)$' "$work/first.txt" || die 'other capabilities are missing'
grep -q 'ztunnel: stand-in' "$work/first.txt" || die 'the stand-ins are not named'
grep -q '<testsuites' "$work/junit.xml" || die 'there is no JUnit report'

say 'again, with proxy variables that lead nowhere'
HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 expect 0 "$meshproof" run >"$work/second.txt"
all_but "$work/second.txt" 54 6

say 'a proxy on every node, and without it again'
# Nothing listens there: with the mirror in NO_PROXY no pull asks for it.
proxy=$(docker network inspect kind -f '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 -F .)
expect 0 "$meshproof" run --set proxy.enabled=true --set "proxy.http=http://$proxy:9" --set "proxy.https=http://$proxy:9" >"$work/proxy.txt"
all_but "$work/proxy.txt" 55 5
expect 0 "$meshproof" run >"$work/no-proxy.txt"
all_but "$work/no-proxy.txt" 54 6
! docker exec istio-cluster-worker test -e /etc/systemd/system/containerd.service.d/http-proxy.conf || die 'the drop-in is still there'

say 'the suites'
(cd "$root" && cargo test -p meshproof --test cluster --test dashboard --test istioctl --test istio --test gateway_api) >&2 || die 'a suite failed'

say 'ten faults break what they name and nothing else'
expect 0 "$meshproof" prove --format json cluster.other-context cluster.no-role cluster.hosts-unreadable cluster.key-readable dashboard.no-scraper \
  dashboard.binding-gone dashboard.proxy-for-every-host istioctl.other-version gateway-api.crd-gone gateway-api.other-bundle >"$work/proved.json"
jq -e '(.faults | length) == 10 and all(.faults[]; .result == "proved") and .after == {}' "$work/proved.json" >/dev/null ||
  die "not proved: $(jq -c '[.faults[] | select(.result != "proved")], .after' "$work/proved.json")"

say 'things that no workload shows are deleted'
kubectl --kubeconfig "$MESHPROOF_STATE/kubeconfig" delete -n kubernetes-dashboard service/kubernetes-dashboard >/dev/null
kubectl --kubeconfig "$MESHPROOF_STATE/kubeconfig" delete clusterrolebinding/admin-user crd/gateways.gateway.networking.k8s.io >/dev/null
expect 1 "$meshproof" verify >"$work/deleted.txt"
tail -1 "$work/deleted.txt" >&2
expect 0 "$meshproof" run >"$work/undeleted.txt"
all_but "$work/undeleted.txt" 54 6
rm -rf "$HOME/.kube/cache" # of the kubectl above

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
all_but "$work/repaired.txt" 54 6

say 'a node is stopped, then its machine starts with an old status in the API'
docker stop istio-cluster-worker >/dev/null
expect 0 "$meshproof" run >"$work/restarted.txt"
all_but "$work/restarted.txt" 54 6

say 'down leaves nothing'
expect 0 "$meshproof" down >&2
[ ! -e "$MESHPROOF_STATE" ] || die "the state directory is still there"
[ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something of others changed or something of ours remains'; }

say 'the name of the cluster is taken'
docker create --name istio-cluster-worker registry:3 >/dev/null
expect 3 "$meshproof" run >"$work/taken.txt"
grep -q 'istio-cluster-worker was not made by this environment' "$work/taken.txt" || die 'the container is not named'
expect 0 "$meshproof" down >&2
docker rm -v istio-cluster-worker >/dev/null || die 'the container of others is gone'

# shellcheck source=/dev/null
source "$root/ci/lab-sessions.sh"

# shellcheck source=/dev/null
source "$root/ci/lab-mirror.sh"

say 'registries that fail'
(cd "$root" && MESHPROOF_UPSTREAM_REGISTRY=$LAB_REGISTRY_LOCAL cargo test -p meshproof --test registry_faults -- --nocapture) >&2 || die 'the registry faults'
[ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something remains'; }

say 'a network of our own, where there is none'
docker network disconnect kind lab-registry
docker network rm kind >/dev/null
# Without its registry nothing can be pulled; the cluster and its network are made all the same.
expect 3 "$meshproof" up --format json >"$work/network.json" 2>/dev/null
grep -q "no such host" "$work/network.json" || die "the reason of the failed pulls is not told: $(jq -c .stages "$work/network.json")"
docker network inspect kind -f '{{index .Labels "dev.meshproof.session"}}' | grep -q . || die 'the network does not carry our label'
expect 0 "$meshproof" down >&2
! docker network inspect kind >/dev/null 2>&1 || die 'the network is still there'
docker rm -f lab-registry >/dev/null # the lab makes its registry and its network anew when it is started
say "passed in $(($(date +%s) - start)) s"
