# The embedded part of the lab leg, sourced by ci/lab-test.sh: the main job on a simulated cluster, and the real kubectl against it.
# It needs from there: root, work, meshproof, say, die, expect, others, all_but.
# shellcheck shell=bash

# The environments below have their own directories and agents; whatever happens, these end with the subshell. `die` leaves it, and with it
# the script.
(
  export MESHPROOF_BACKEND=embedded
  sim=$work/simulated sim_proxy=$work/simulated-proxy
  cleanup() {
    local dir
    for dir in "$sim" "$sim_proxy"; do
      "$meshproof" down --state-dir "$dir" >&2 || true
    done
    [ -z "${helper:-}" ] || kill "$helper" 2>/dev/null || true
    rm -rf "$HOME/.kube/cache" # of the kubectl and istioctl below
  }
  trap cleanup EXIT
  untouched=$(others)
  mine=$KUBECONFIG

  # shows PATTERN COMMAND…: it succeeds, and says something that the pattern matches
  shows() {
    local pattern=$1
    shift
    "$@" >"$work/shown.txt" 2>&1 || { cat "$work/shown.txt" >&2; die "exit $?: $*"; }
    grep -Eq -- "$pattern" "$work/shown.txt" || { cat "$work/shown.txt" >&2; die "no $pattern: $*"; }
  }
  # refuses PATTERN COMMAND…: it fails, and says why
  refuses() {
    local pattern=$1
    shift
    ! "$@" >"$work/shown.txt" 2>&1 || die "it succeeded: $*"
    grep -Eq -- "$pattern" "$work/shown.txt" || { cat "$work/shown.txt" >&2; die "no $pattern: $*"; }
  }
  # eventually PATTERN FILE: a process that is still at work writes it within ten seconds
  eventually() {
    local i
    for i in {1..100}; do
      ! grep -Eq -- "$1" "$2" || return 0
      sleep 0.1
    done
    cat "$2" >&2
    die "no $1 within ten seconds"
  }
  agent() { "$meshproof" status --state-dir "$1" --format json | jq -er '.agent | select(.alive) | .pid'; }

  say 'embedded, from nothing: run'
  expect 0 env -u MESHPROOF_BACKEND "$meshproof" run --backend embedded --state-dir "$sim" >"$work/simulated.txt"
  all_but "$work/simulated.txt" 49 11
  tr -s ' \n' ' ' <"$work/simulated.txt" | grep -qF '(unsupported outcomes): dashboard-page (1), kind-cluster (1), node-proxy (2), port-forward (1), recording-mirror (1), recording-proxy (2), transcript (2), typed-requests (1)' ||
    die "other capabilities are missing: $(grep '(unsupported outcomes)' "$work/simulated.txt")"
  grep -q '^○ SIMULATED: ' "$work/simulated.txt" || die 'the report does not say that it was simulated'
  grep -q 'ztunnel: stand-in' "$work/simulated.txt" || die 'the stand-ins are not named'
  pid=$(agent "$sim") || die 'there is no agent'
  # Nobody needs to say again which backend it is.
  expect 0 env -u MESHPROOF_BACKEND "$meshproof" run --state-dir "$sim" >"$work/simulated-again.txt"
  all_but "$work/simulated-again.txt" 49 11
  [ "$(agent "$sim")" = "$pid" ] || die 'the healthy cluster was made anew'

  say 'embedded, with a proxy on every node'
  expect 0 "$meshproof" run --state-dir "$sim_proxy" --set proxy.enabled=true >"$work/simulated-proxy.txt"
  all_but "$work/simulated-proxy.txt" 50 10
  pid_proxy=$(agent "$sim_proxy") || die 'there is no second agent'
  [ "$pid_proxy" != "$pid" ] || die 'two environments share an agent'

  say 'embedded, in a shell: what kubectl shows'
  # The variables of this subshell alone.
  eval "$("$meshproof" env --state-dir "$sim")"
  [ "$KUBECONFIG" = "$sim/kubeconfig" ] || die "env names another kubeconfig: $KUBECONFIG"
  pods='^NAME +READY +STATUS +RESTARTS +AGE'
  shows "$pods\$" kubectl get pods -n istio-system
  shows "^NAMESPACE +${pods#^}\$" kubectl get pods -A
  shows "$pods +IP +NODE +NOMINATED NODE +READINESS GATES\$" kubectl get pods -n istio-system -o wide
  shows '^istio-cluster-worker +Ready +<none> .* containerd://' kubectl get nodes -o wide
  shows '^NAME +READY +UP-TO-DATE +AVAILABLE +AGE$' kubectl get deployments -n istio-system
  shows '^  Normal +NodeReady ' kubectl describe node istio-cluster-worker
  shows '^Conditions:' kubectl describe node istio-cluster-worker
  shows '^Events:' kubectl describe pods -n istio-system -l app=ztunnel
  shows '^  Ready +True' kubectl describe pods -n istio-system -l app=ztunnel
  shows '^  Available +True' kubectl describe deployment/istiod -n istio-system
  shows '^  Normal +ScalingReplicaSet ' kubectl describe deployment/istiod -n istio-system
  shows '\(simulated\) starts' kubectl logs -n istio-system deployment/istiod
  shows '^gatewayclasses +gc ' kubectl api-resources --api-group gateway.networking.k8s.io

  say 'embedded, in a shell: what kubectl changes'
  kubectl get pods -n istio-system -l app=istiod -w --output-watch-events >"$work/watch.txt" 2>&1 &
  helper=$!
  eventually '^ADDED +istiod-' "$work/watch.txt"
  shows 'restarted$' kubectl rollout restart -n istio-system deployment/istiod daemonset/ztunnel
  shows 'successfully rolled out$' kubectl rollout status -n istio-system deployment/istiod --timeout=30s
  shows 'successfully rolled out$' kubectl rollout status -n istio-system daemonset/ztunnel --timeout=30s
  eventually '^DELETED +istiod-' "$work/watch.txt"
  kill "$helper" 2>/dev/null || true
  wait "$helper" 2>/dev/null || true
  helper=
  shows 'scaled$' kubectl scale -n istio-system deployment/istiod --replicas=2
  shows 'condition met$' kubectl wait -n istio-system deployment/istiod --for=condition=Available --timeout=30s
  shows '^2$' kubectl get deployment/istiod -n istio-system -o 'jsonpath={.status.readyReplicas}{"\n"}' --subresource=status
  shows 'scaled$' kubectl scale -n istio-system deployment/istiod --replicas=1
  cat >"$work/shop.yaml" <<'YAML'
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Pod
metadata: { name: till, namespace: shop }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: till, image: busybox, command: [sleep, "3600"] }]
YAML
  shows '^pod/till serverside-applied$' kubectl apply --server-side -f "$work/shop.yaml"
  shows 'condition met$' kubectl wait -n shop pod/till --for=condition=Ready --timeout=30s
  shows '^  Normal +Pulled ' kubectl describe -n shop pod/till
  shows 'deleted$' kubectl delete -n shop pod/till --wait=false
  expect 0 kubectl wait -n shop pod/till --for=delete --timeout=30s
  shows '^pod/till serverside-applied$' kubectl apply --server-side -f "$work/shop.yaml"
  shows '^namespace "shop" deleted$' kubectl delete namespace shop --timeout=30s
  refuses '\(NotFound\): namespaces "shop" not found' kubectl get namespace shop

  say 'embedded, in a shell: kubectl proxy, and what is not simulated'
  kubectl proxy --port=0 >"$work/kubectl-proxy.txt" 2>&1 &
  helper=$!
  eventually '^Starting to serve on ' "$work/kubectl-proxy.txt"
  url=http://$(sed -n 's/^Starting to serve on //p' "$work/kubectl-proxy.txt")
  shows '"gitVersion":' curl -sf --noproxy '*' "$url/version"
  shows '^403$' curl -s --noproxy '*' -o /dev/null -w '%{http_code}\n' -H 'Host: example.org' "$url/version"
  kill "$helper" 2>/dev/null || true
  wait "$helper" 2>/dev/null || true
  helper=
  # kubectl leaves the reason out of some of these errors: `create token` and `create deployment` print the message alone.
  refuses '\(UnsupportedMediaType\): .*application/vnd\.kubernetes\.protobuf' kubectl create namespace typed
  refuses '^error: failed to create token: .*application/vnd\.kubernetes\.protobuf' kubectl create token -n kubernetes-dashboard admin-user
  refuses '\(NotImplemented\)' kubectl exec -n istio-system deployment/istiod -- true
  refuses 'does not serve pods/portforward' kubectl port-forward -n istio-system deployment/istiod :15014
  shows '^[^.]+\.[^.]+\.[^.]+$' "$meshproof" token

  say 'embedded: verify after all that'
  expect 0 "$meshproof" verify >"$work/simulated-verified.txt"
  all_but "$work/simulated-verified.txt" 49 11

  say 'embedded: the suites'
  (cd "$root" && cargo test -p meshproof --test cluster --test dashboard --test istioctl --test istio --test gateway_api) >&2 ||
    die 'a suite failed on a simulated cluster'

  say 'embedded: down leaves nothing'
  expect 0 "$meshproof" down >&2
  expect 0 "$meshproof" down --state-dir "$sim_proxy" >&2
  for dir in "$sim" "$sim_proxy"; do
    [ ! -e "$dir" ] || die "the state directory $dir is still there"
  done
  for agent in "$pid" "$pid_proxy"; do
    # A zombie that nobody waits for has no executable any more.
    [ ! -e "/proc/$agent/exe" ] || die "the agent $agent still runs"
  done
  export KUBECONFIG=$mine
  rm -rf "$HOME/.kube/cache"
  [ "$untouched" = "$(others)" ] || { diff <(echo "$untouched") <(others) >&2; die 'something of others changed or something of ours remains'; }
)
