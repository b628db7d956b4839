#!/usr/bin/env bash
# Binds the offline lab (a real engine, kind, registry and tools; see its README) to meshproof.
#
#   eval "$(ci/lab.sh env)"    start the lab and print the exports under which `meshproof run --backend kind` works
#   ci/lab.sh test             the main job and the suites on a real cluster, then everything is stopped; LAB_PART=sessions: only that part, see lab-*.sh
#   ci/lab.sh down             stop the lab
#
# MESHPROOF_LAB names the lab's directory (default: ../shared/lab beside this checkout).
set -euo pipefail
OLD_HOME=${HOME:-/root}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lab=${MESHPROOF_LAB:-$root/../shared/lab}

if [ ! -x "$lab/up" ]; then
  echo "ci/lab.sh: THERE IS NO LAB at $lab: nothing was tried on a real cluster" >&2
  exit 77
fi
lab=$(cd "$lab" && pwd)

# The lab's versions differ from the guide's; they go into a spec of their own, never into the code.
overlay() {
  local version=$1 istio=$2 image=$3 registry=$4
  cat <<YAML
# Made by ci/lab.sh: what the offline lab has instead of what the guide documents.
apiVersion: meshproof.dev/v1alpha1
kind: Environment
profile: guide
cluster:
  kubernetes: "${version#v}"
  nodeImage: "$image"
mirrors:
  # The server is the mirror as well: without it a missing image would be asked for on the internet.
  docker.io:
    server: "http://$registry"
    hosts:
      - url: "http://$registry"
dashboard:
  manifest: "$lab/apps/manifests/dashboard-v2.7.0-recommended.yaml"
istio:
  version: "$istio"
gatewayApi:
  manifest: "$lab/apps/manifests/gateway-api-{version}-{channel}-install.yaml"
YAML
}

env_() {
  local exports spec dir
  exports=$("$lab/up")
  eval "$exports"
  dir=${XDG_CACHE_HOME:-$HOME/.cache}/meshproof-lab
  mkdir -p "$dir"
  spec=$dir/lab.yaml
  overlay "${KIND_NODE_IMAGE##*:}" "$(istioctl version --remote=false | sed -n 's/^client version: //p')" "$KIND_NODE_IMAGE" "$LAB_REGISTRY" >"$spec.new"
  mv "$spec.new" "$spec"
  echo "$exports"
  echo "export MESHPROOF_SPEC='$spec'"
}

case "${1:-}" in
  env) env_ ;;
  down) "$lab/down" ;;
  test)
    # shellcheck source=/dev/null
    source "$root/ci/lab-test.sh"
    ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
