#!/usr/bin/env bash
# meshproof against its named peer, the guide typed by hand as a script: alternating in one run, the ratio of medians at the end.
#
#   ci/bench/guide.sh [ROUNDS]      default 3; needs an environment as `eval "$(ci/lab.sh env)"` gives it
#
# The peer does what the guide does and no more: create the cluster, Dashboard, admin user and token, istioctl install, CRDs. It checks
# nothing. Also measured: verify, a warm run, and the peak memory of meshproof itself.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rounds=${1:-3}
: "${MESHPROOF_SPEC:?names the spec to measure with; eval \"\$(ci/lab.sh env)\" sets it}"
cargo build --release --quiet --manifest-path "$root/Cargo.toml"
meshproof=${CARGO_TARGET_DIR:-$root/target}/release/meshproof
work=$(mktemp -d)
trap 'MESHPROOF_STATE=$work/state "$meshproof" down >&2 || true; kind delete cluster --name istio-cluster --kubeconfig "$work/kubeconfig" >&2 || true; rm -rf "$work"' EXIT
export MESHPROOF_STATE=$work/state MESHPROOF_BACKEND=kind

spec() { "$meshproof" plan --format json | jq -r ".spec.$1"; }
image=$(spec cluster.nodeImage) dashboard=$(spec dashboard.manifest) gateway=$(spec gatewayApi.manifest)
"$meshproof" plan --format json | jq -r '.stages[] | select(.id == "mirror") | .steps[] | select(.path | contains("docker.io/")) | .content' >"$work/hosts.toml"

guide() {
  mkdir -p "$work/certs.d/docker.io"
  cp "$work/hosts.toml" "$work/certs.d/docker.io/hosts.toml"
  local mount="extraMounts: [{hostPath: $work/certs.d, containerPath: /etc/containerd/certs.d}]"
  cat >"$work/kind-config.yaml" <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - {role: control-plane, $mount}
  - {role: worker, $mount}
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
YAML
  export KUBECONFIG=$work/kubeconfig
  kind create cluster --name istio-cluster --config "$work/kind-config.yaml" --image "$image"
  kubectl wait --for=condition=Ready nodes --all --timeout=3m
  kubectl apply -f "$dashboard"
  kubectl wait -n kubernetes-dashboard --for=condition=Available deployment --all --timeout=5m
  kubectl create serviceaccount -n kubernetes-dashboard admin-user
  kubectl create clusterrolebinding -n kubernetes-dashboard admin-user --clusterrole cluster-admin --serviceaccount=kubernetes-dashboard:admin-user
  kubectl -n kubernetes-dashboard create token admin-user >/dev/null
  istioctl install --set profile=ambient --skip-confirmation
  kubectl get crd gateways.gateway.networking.k8s.io >/dev/null 2>&1 || kubectl apply -f "$gateway"
  kubectl wait --for=condition=Established crd --all --timeout=2m
}

# timed NAME COMMAND…: wall seconds and the peak resident KiB of the command itself, without its children, go to $work/NAME
timed() {
  local name=$1 start pid peak=0 now
  shift
  start=$(date +%s.%N)
  "$@" >"$work/out" 2>"$work/err" &
  pid=$!
  while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    sleep 0.05
  done
  wait "$pid" || { cat "$work/out" "$work/err" >&2; exit 1; }
  echo "$(date +%s.%N) $start $peak" | awk '{printf "%.2f %d\n", $1 - $2, $3}' | tee -a "$work/$name" | sed "s/^/$name: /" >&2
}
median() { cut -d' ' -f"$2" "$work/$1" | sort -n | sed -n "$(((rounds + 1) / 2))p"; }

export -f guide
export work image dashboard gateway
for _ in $(seq "$rounds"); do
  timed guide bash -euc guide
  kind delete cluster --name istio-cluster --kubeconfig "$work/kubeconfig" >/dev/null 2>&1
  timed up "$meshproof" up
  timed verify "$meshproof" verify
  timed run "$meshproof" run
  "$meshproof" down >/dev/null 2>&1
  timed cold "$meshproof" run --format json
  jq -r '.stages[] | "\(.id) \(.durationMs)"' "$work/out" 2>/dev/null >>"$work/stages" || true
  "$meshproof" down >/dev/null 2>&1
done
echo "machine: $(nproc) cores, $(awk '/MemTotal/ {printf "%d", $2 / 1024}' /proc/meminfo) MiB; medians of $rounds"
for name in guide up verify run cold; do echo "$name: $(median $name 1) s"; done
echo "peak memory of meshproof: up $(median up 2) KiB, verify $(median verify 2) KiB, cold run $(median cold 2) KiB"
echo "up / guide: $(echo "$(median up 1) $(median guide 1)" | awk '{printf "%.2f", $1 / $2}')"
echo "cold run / guide: $(echo "$(median cold 1) $(median guide 1)" | awk '{printf "%.2f", $1 / $2}')"
echo 'stages of the cold runs (ms):'
sort "$work/stages" | awk '{a[$1] = a[$1] " " $2} END {for (s in a) print "  " s ":" a[s]}' | sort
