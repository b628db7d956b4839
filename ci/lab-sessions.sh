# Sessions on a real cluster, sourced by ci/lab-test.sh: crashes, two environments at once, tests that share one, disks that take nothing.
# shellcheck shell=bash

# shellcheck source=/dev/null
source "$root/ci/lab-crash.sh"

say 'killed while kind creates the cluster: down leaves nothing, although kind goes on'
killed_up "$(ran kind create)"
alive 'kind create cluster --name istio-cluster' || die 'kind is not at work any more, so its end proves nothing'
expect 0 "$meshproof" down >&2
nothing_left

say 'killed three times, at other places each time; then up converges'
killed_up "$(ran kind create)"
killed_up "$(started nodes)"
killed_up "$(ran istioctl install)"
# It ends by itself as soon as it says something: nobody reads it any more.
expect 0 "$meshproof" run >"$work/converged.txt"
all_but "$work/converged.txt" 54 6
! alive 'istioctl install' || die 'istioctl of the killed run is still at work'

say 'a second environment at the same time, from another spec in another directory'
second=(--state-dir "$work/second" --set cluster.name=second --set cluster.workers=0)
"$meshproof" run "${second[@]}" >"$work/second-run.txt" 2>"$work/second-run.log" &
other=$!
expect 0 "$meshproof" run >"$work/beside.txt"
all_but "$work/beside.txt" 54 6
wait "$other" || { tail -30 "$work/second-run.txt" >&2; die "the second environment failed"; }
# It has one node, so there is none that the guide leaves out.
all_but "$work/second-run.txt" 53 7
"$meshproof" status --all >&2
[ "$("$meshproof" status --all --format json | jq '[.sessions[] | select(.phase == "kept")] | length')" = 2 ] || die 'not two kept sessions'
expect 0 "$meshproof" down --state-dir "$work/second" >&2
expect 0 "$meshproof" verify >"$work/after-second.txt"
all_but "$work/after-second.txt" 54 6

say 'the example of other people'"'"'s tests'
(cd "$root" && cargo test --locked -p service-in-mesh) >&2 || die 'the example failed'

say 'a failed run collects what may tell why, before it cleans up'
kubectl --kubeconfig "$MESHPROOF_STATE/kubeconfig" -n istio-system set image daemonset/ztunnel istio-proxy=docker.io/istio/ztunnel:none >/dev/null
bundle=$work/bundle
expect 0 "$meshproof" collect --out "$bundle" >&2
for file in index.html events.txt objects/pods.json nodes/istio-cluster-worker/kubelet.log nodes/istio-cluster-worker/containerd.log \
  nodes/istio-cluster-worker/serial.log nodes/istio-cluster-worker/inspect.json istio applied; do
  [ -e "$bundle/$file" ] || die "the bundle has no $file: $(cd "$bundle" && find . | head -40)"
done
! grep -rEl 'eyJ[A-Za-z0-9_-]{10,}\.|PRIVATE KEY' "$bundle" >&2 || die 'a secret is in the bundle'
kubectl --kubeconfig "$MESHPROOF_STATE/kubeconfig" -n istio-system rollout undo daemonset/ztunnel >/dev/null
rm -rf "$HOME/.kube/cache" # of the kubectl above
expect 0 "$meshproof" run --keep never >"$work/not-kept.txt"
all_but "$work/not-kept.txt" 54 6
nothing_left

say 'a crowd of test processes, one of which is killed while it provisions'
"$root/ci/crowd.sh" 12 after_a_killed_one >&2 || die 'the crowd'
nothing_left

say 'a disk that is full, and one that takes nothing'
mkdir "$work/small"
mount -t tmpfs -o size=128k tmpfs "$work/small"
expect 3 "$meshproof" up --backend embedded --state-dir "$work/small/state" >"$work/full.txt" 2>&1
grep -q 'No space left on device' "$work/full.txt" || { cat "$work/full.txt" >&2; die 'nobody says that the disk is full'; }
mount -o remount,size=64m tmpfs "$work/small"
expect 0 "$meshproof" up --backend embedded --state-dir "$work/small/state" --set kubectlProxy.port=0 >/dev/null
expect 0 "$meshproof" down --state-dir "$work/small/state" >&2
mount -o remount,ro tmpfs "$work/small"
expect 3 "$meshproof" up --backend embedded --state-dir "$work/small/state" >"$work/read-only.txt" 2>&1
grep -q 'Read-only file system' "$work/read-only.txt" || { cat "$work/read-only.txt" >&2; die 'nobody says that the disk is read-only'; }
umount "$work/small"
nothing_left
