#!/usr/bin/env bash
# How fast the recording mirror gives what it has, against the registry (distribution, in Go) that it stands for, on the same machine and disk.
#
#   ci/bench/mirror.sh [RUNS]     medians of RUNS (5) rounds, in which the two take turns
#   UP=3 ci/bench/mirror.sh       also `up` on kind, UP times each: from a mirror with nothing in its cache, with everything, from a bundle, and
#                                 of a baked node image, in turns
#
# It needs the exports of `ci/lab.sh env`: a container engine with the registry's image, and crane. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
runs=${1:-5}
target=${CARGO_TARGET_DIR:-target}/release
: "${LAB_REGISTRY_LOCAL:?see ci/lab.sh env}"

cargo build --release --locked --quiet --bin meshproof
cargo build --release --locked --quiet --example bench-mirror

work=$(mktemp -d)
pids=()
finish() {
  # The node image of the bundle has the first part of the same name.
  [ -z "${baked:-}" ] || docker rmi "$baked" "${baked%-with-*}" >/dev/null 2>&1 || true
  [ -z "${id:-}" ] || docker rm "$id" >/dev/null
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  MESHPROOF_STATE=$work/state "$target/meshproof" down >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print "?" }'; }
# Milliseconds of a command.
timed() {
  local start
  start=$(date +%s%N)
  "$@" >/dev/null
  echo $((($(date +%s%N) - start) / 1000000))
}
until_true() {
  for _ in {1..200}; do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.05
  done
  echo "never true: $*" >&2
  exit 1
}

echo "machine: $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"

# The registry out of its image, so that neither stands behind a bridge and a proxy of the engine's.
id=$(docker create registry:3)
docker export "$id" | tar -x -C "$work" --wildcards --strip-components=1 'bin/registry' 'usr/bin/registry' 2>/dev/null || true
docker rm "$id" >/dev/null
id=
peer=$(find "$work" -name registry -type f)
cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry-root}}
http: {addr: 127.0.0.1:5990}
YAML
OTEL_TRACES_EXPORTER=none "$peer" serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
pids+=("$!")
registry=http://127.0.0.1:5990
until_true curl -fsS "$registry/v2/"
"$target/examples/bench-mirror" "$work/mirror" "$registry" >"$work/mirror.url" &
mirror_pid=$!
pids+=("$mirror_pid")
until_true grep -q http "$work/mirror.url"
mirror=$(cat "$work/mirror.url")

mkdir "$work/layer"
head -c 1G /dev/urandom >"$work/layer/file"
tar -C "$work/layer" -cf "$work/layer.tar" file
rm -r "$work/layer"
crane append --insecure --new_layer "$work/layer.tar" --new_tag 127.0.0.1:5990/bench/big:1 >/dev/null 2>&1
rm "$work/layer.tar"
accept='Accept: application/vnd.docker.distribution.manifest.v2+json'
blob=$(curl -fsS -H "$accept" "$registry/v2/bench/big/manifests/1" | jq -r '.layers[0].digest')
big=/v2/bench/big/blobs/$blob
by_tag=/v2/bench/big/manifests/1
by_digest=/v2/bench/big/manifests/$(crane digest --insecure 127.0.0.1:5990/bench/big:1)
high() { sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$mirror_pid/status"; }
before=$(high)
echo "first fetch of 1 GiB through the mirror, checked on its way: $(timed curl -fsS -o /dev/null "$mirror$big?ns=docker.io") ms"

four() {
  local all=()
  for _ in 1 2 3 4; do
    curl -fsS -o /dev/null "$1" &
    all+=("$!")
  done
  for pid in "${all[@]}"; do wait "$pid"; done
}
# One connection, as a node keeps it.
small() { curl -fsS -H "$accept" -o /dev/null "$1?ns=docker.io&n=[1-2000]"; }
for _ in $(seq "$runs"); do
  timed curl -fsS -o /dev/null "$registry$big" >>"$work/one.registry"
  timed curl -fsS -o /dev/null "$mirror$big?ns=docker.io" >>"$work/one.mirror"
  timed four "$registry$big" >>"$work/four.registry"
  timed four "$mirror$big?ns=docker.io" >>"$work/four.mirror"
  timed small "$registry$by_digest" >>"$work/digest.registry"
  timed small "$mirror$by_digest" >>"$work/digest.mirror"
  timed small "$registry$by_tag" >>"$work/tag.registry"
  timed small "$mirror$by_tag" >>"$work/tag.mirror"
done
compare() {
  local ours peer
  ours=$(median <"$work/$1.mirror") peer=$(median <"$work/$1.registry")
  echo "$2: mirror $ours ms, registry $peer ms, $(awk -v a="$peer" -v b="$ours" 'BEGIN { printf "%.2f", a / b }') times as fast"
}
compare one '1 GiB, warm, one client'
compare four '4 times 1 GiB, warm, four clients'
compare digest '2000 times a manifest by digest, one connection'
compare tag '2000 times a manifest by tag, one connection (the mirror asks the registry each time whether the tag has moved)'
echo "peak memory of the mirror: $((before / 1024)) MiB before, $(($(high) / 1024)) MiB after $((runs * 5 + 1)) GiB"

[ -n "${UP:-}" ] || exit 0
export MESHPROOF_STATE=$work/state MESHPROOF_BACKEND=kind MESHPROOF_MIRROR_CACHE=$work/cache
from=(--set recording.mirror=true --set "mirrors={docker.io: {server: \"http://$LAB_REGISTRY_LOCAL\"}}")
"$target/meshproof" bundle create "$work/bundle" "${from[@]:2}" >/dev/null 2>&1
baked=$("$target/meshproof" bundle bake "$work/bundle" --format json | jq -r .image)
up() {
  local name=$1
  shift
  timed "$target/meshproof" up "$@" 2>/dev/null >>"$work/up.$name"
  "$target/meshproof" down >/dev/null 2>&1
}
for _ in $(seq "$UP"); do
  rm -rf "$work/cache"
  up cold "${from[@]}"
  up warm "${from[@]}"
  up bundle --bundle "$work/bundle"
  up baked --bundle "$work/bundle" --set cluster.preloaded=true
done
for name in cold warm bundle baked; do
  echo "up, $name: $(median <"$work/up.$name") ms of $(tr '\n' ' ' <"$work/up.$name")"
done
