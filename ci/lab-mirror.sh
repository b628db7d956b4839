# Mirrors, proxy and bundle on a real cluster, sourced by ci/lab-test.sh: what the recorders see, without any way around them.
# shellcheck shell=bash

# shellcheck source=/dev/null
source "$root/ci/lab-crash.sh"

bridge=br-$(docker network inspect kind -f '{{.Id}}' | cut -c1-12)
gateway=$(docker network inspect kind -f '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 -F .)
registry_ip=$(docker inspect lab-registry -f '{{(index .NetworkSettings.Networks "kind").IPAddress}}')

# From here on a node reaches its own network and what listens on this machine's end of it, and nothing else: not the registry of the lab, which
# is on the same network, and no address beyond it.
wall() {
  iptables -"$1" FORWARD -i "$bridge" ! -o "$bridge" -j REJECT
  iptables -"$1" DOCKER-USER -i "$bridge" ! -o "$bridge" -j REJECT
  iptables -"$1" INPUT -i "$bridge" -p tcp --dport 5001 -j REJECT
}
# Within one bridge iptables may not look: the registry drops what does not come from this machine.
hide_registry() {
  local pid
  pid=$(docker inspect lab-registry -f '{{.State.Pid}}')
  nsenter -t "$pid" -n iptables -"$1" INPUT -p tcp --dport 5000 ! -s "$gateway" -j REJECT
}
walled=
open_wall() {
  [ -z "${unreachable:-}" ] || hide_registry_from_this_machine D || true
  [ -n "$walled" ] || return 0
  walled=
  wall D || true
  hide_registry D || true
}
wall I
hide_registry I
walled=yes

# The registry as this machine sees it; nodes must not be able to use it.
recorded=(--set recording.mirror=true --set recording.proxy=direct --set
  "mirrors={docker.io: {server: \"http://$LAB_REGISTRY_LOCAL\", hosts: [{url: \"http://$LAB_REGISTRY_LOCAL\"}]}}")

say 'a mirror of our own and no other way: run'
rm -rf "$XDG_CACHE_HOME/meshproof/mirror"
expect 0 "$meshproof" run "${recorded[@]}" --format json >"$work/recorded.json"
verdict() { jq -er --arg id "$2" '.outcomes[] | select(.id == $id) | .verdict' "$1"; }
[ "$(verdict "$work/recorded.json" cluster.mirror.every-image)" = passed ] || die 'not every image came through the mirror'
[ "$(verdict "$work/recorded.json" cluster.proxy.hosts-toml-ignored)" = passed ] || die 'the proxy table of hosts.toml was not shown to be ignored'
jq -e '.counts.failed == 0 and .counts.unsupported == 3 and .recorded.mirror > 20' "$work/recorded.json" >/dev/null ||
  die "other counts: $(jq -c '[.counts, .recorded]' "$work/recorded.json")"
! docker exec istio-cluster-worker crictl pull "$registry_ip:5000/library/busybox:latest" >/dev/null 2>&1 || die 'the wall has a hole'

say 'the same with the drop-in: every node asks the proxy'
expect 0 "$meshproof" run "${recorded[@]}" --set proxy.enabled=true --format json >"$work/recorded-proxy.json"
[ "$(verdict "$work/recorded-proxy.json" cluster.proxy.connects)" = passed ] || die 'a node did not ask the proxy'
[ "$(verdict "$work/recorded-proxy.json" cluster.proxy.hosts-toml-ignored)" = passed ] || die 'the proxy table was read'

say 'one registry of one node no longer goes to the mirror'
docker exec istio-cluster-worker umount /etc/containerd/certs.d
docker exec istio-cluster-worker mkdir -p /etc/containerd/certs.d/docker.io
expect 1 "$meshproof" verify "${recorded[@]}" --format json >"$work/no-entry.json"
[ "$(verdict "$work/no-entry.json" cluster.mirror.every-image)" = failed ] || die 'a pull that went elsewhere was not noticed'
jq -e '.outcomes[] | select(.id == "cluster.mirror.every-image")
  | (.reason | contains("istio-cluster-worker") and contains("docker.io/library/busybox:latest") and contains("registry docker.io") and (contains("istio-cluster-control-plane") | not))
    and ([.diagnoses[].rule] | index("P7"))' "$work/no-entry.json" >/dev/null ||
  die "the reason does not tell: $(jq -c '.outcomes[] | select(.id == "cluster.mirror.every-image")' "$work/no-entry.json")"
# The mount is there again when the node is.
docker restart istio-cluster-worker >/dev/null
expect 0 "$meshproof" run "${recorded[@]}" >"$work/entry-again.txt"

say 'the agent of the mirror is killed'
pid=$("$meshproof" status --format json | jq -er '.agent.pid')
kill -9 "$pid"
expect 1 "$meshproof" verify "${recorded[@]}" --format json >"$work/no-agent.json"
[ "$(verdict "$work/no-agent.json" cluster.images.pulled)" = failed ] || die 'pulls work without the mirror, so they went elsewhere'
expect 0 "$meshproof" run "${recorded[@]}" >"$work/agent-again.txt"

expect 0 "$meshproof" down >&2
nothing_left

say 'a bundle of everything, made twice with the same bytes, packed, signed and checked'
made=("${recorded[@]:4}")
expect 0 "$meshproof" bundle create "$work/everything" "${made[@]}" >"$work/bundle.txt" 2>"$work/bundle.log"
expect 0 "$meshproof" bundle create "$work/everything-again" --from "$work/everything" "${made[@]}" >/dev/null 2>&1
diff -r "$work/everything" "$work/everything-again" >&2 || die 'the same contents gave another bundle'
expect 0 "$meshproof" bundle keygen "$work/key" >&2
expect 0 "$meshproof" bundle sign "$work/everything" --key "$work/key" >&2
expect 0 "$meshproof" bundle pack "$work/everything" "$work/everything.tar.zst" >&2
expect 0 "$meshproof" bundle verify "$work/everything.tar.zst" --key "$work/key.pub" >&2
tail -1 "$work/bundle.txt" >&2
say 'crane and docker pull from it as from a registry'
"$meshproof" bundle serve "$work/everything" --listen 127.0.0.1:0 >"$work/serving.txt" &
serving=$!
for _ in {1..100}; do
  ! grep -q 'http://' "$work/serving.txt" || break
  sleep 0.1
done
served=$(sed -n 's,.*http://,,p' "$work/serving.txt")
[ "$(crane digest --insecure "$served/library/busybox:latest")" = "$(crane digest --insecure "$LAB_REGISTRY_LOCAL/library/busybox:latest")" ] ||
  die 'the bundle has another digest of busybox'
crane validate --insecure --remote "$served/library/busybox:latest" >&2 || die 'crane finds something wrong'
docker pull -q "$served/library/busybox:latest" >&2 || die 'docker cannot pull'
docker rmi "$served/library/busybox:latest" >/dev/null
kill "$serving"
wait "$serving" || die "bundle serve ended with $?"
say 'the mirror answers as the registry of the lab does'
(cd "$root" && MESHPROOF_REGISTRY=http://$LAB_REGISTRY_LOCAL cargo test --lib -- mirror::server::tests::conformance) >&2 || die 'the mirror answers otherwise'
blob=$(find "$work/everything-again/blobs" -type f -size +100k | head -1)
printf x | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none
expect 1 "$meshproof" bundle verify "$work/everything-again" >"$work/changed.txt"
grep -q "${blob##*/}" "$work/changed.txt" || die 'the changed layer is not named'
rm -rf "$work/everything" "$work/everything-again"

say 'a run from the packed bundle, without any network: nothing is pulled from anywhere else'
hide_registry_from_this_machine() { iptables -"$1" OUTPUT -p tcp --dport 5001 -j REJECT; }
hide_registry_from_this_machine I
unreachable=yes
expect 0 "$meshproof" run --bundle "$work/everything.tar.zst" --format json >"$work/bundled.json"
[ "$(verdict "$work/bundled.json" cluster.mirror.every-image)" = passed ] || die 'not every image came out of the bundle'
jq -e '.counts.failed == 0 and .recorded.mirror > 20' "$work/bundled.json" >/dev/null || die "other counts: $(jq -c '[.counts, .recorded]' "$work/bundled.json")"
! grep -q '"from":"\(upstream\|cache\)"' "$MESHPROOF_STATE/recording/access.jsonl" || die 'something came from elsewhere'
expect 0 "$meshproof" down >&2
nothing_left

say 'a node image that has everything of the bundle in it: up pulls nothing at all'
baked=(--bundle "$work/everything.tar.zst" --set cluster.preloaded=true)
# The same bundle gives the same name, and an earlier run may have been killed.
docker images --format '{{.Repository}}:{{.Tag}}' kindest/node | sed -n '/-with-/p' | xargs -r docker rmi >&2
expect 3 "$meshproof" up "${baked[@]}" >"$work/not-baked.txt" 2>"$work/not-baked.log"
grep -q 'meshproof bundle bake' "$work/not-baked.txt" "$work/not-baked.log" || die 'nobody says how the node image is made'
"$meshproof" bundle bake "$work/everything.tar.zst" >"$work/killed.txt" 2>&1 &
baking=$!
until docker ps --format '{{.Names}}' | grep -q meshproof-workshop; do
  kill -0 "$baking" || die "baking ended: $(cat "$work/killed.txt")"
  sleep 0.05
done
kill -9 "$baking"
wait "$baking" || true
expect 0 "$meshproof" bundle bake "$work/everything.tar.zst" --format json >"$work/baked.json"
expect 0 "$meshproof" bundle bake "$work/everything.tar.zst" --format json >"$work/baked-again.json"
jq -es '.[0].made and (.[1].made | not) and .[0].image == .[1].image' "$work/baked.json" "$work/baked-again.json" >/dev/null || die 'it was made twice'
[ -z "$(docker ps -aq --filter label=dev.meshproof.workshop)" ] || die 'a container of a killed process is still there'
expect 0 "$meshproof" up "${baked[@]}" --format json >"$work/preloaded.json"
jq -e '.recorded.mirror == 0' "$work/preloaded.json" >/dev/null || die "something was pulled: $(cat "$MESHPROOF_STATE/recording/access.jsonl")"
expect 0 "$meshproof" run "${baked[@]}" --format json >"$work/preloaded-run.json"
[ "$(verdict "$work/preloaded-run.json" cluster.mirror.every-image)" = passed ] || die 'an image of the nodes is of unknown origin'
# The cluster's nodes have the labels of their image, and must not be taken for what a killed process left.
expect 0 "$meshproof" bundle bake "$work/everything.tar.zst" >&2
expect 0 "$meshproof" verify "${baked[@]}" >"$work/preloaded-verify.txt"
expect 0 "$meshproof" down >&2
nothing_left
docker images --format '{{.Repository}}:{{.Tag}}' kindest/node | grep -e '-[0-9a-f]\{12\}' | xargs docker rmi >&2
hide_registry_from_this_machine D
unreachable=
open_wall

say 'the mirror in a container'
expect 0 "$meshproof" run "${recorded[@]}" --set recording.host=container --set "mirrors={docker.io: {server: \"http://$LAB_REGISTRY\"}}" --select cluster >"$work/container.txt"
grep -q '0 failed' "$work/container.txt" || die 'the mirror in a container does not do'
expect 0 "$meshproof" down >&2
nothing_left

say 'real registries, and a proxy in the way, as containers'
envoy=$LAB_REGISTRY_LOCAL/istio/proxyv2:$(istioctl version --remote=false | sed -n 's/^client version: //p')
docker pull -q "$envoy" >&2
(cd "$root" && ENVOY_IMAGE=$envoy cargo test --locked -p mirror-in-containers) >&2 || die 'the mirror does not work with other registries and proxies'
docker rmi "$envoy" >/dev/null
