### Outcomes: what each claims, and what to do when it does not hold.

outcome-cluster-kind-named = The Kind cluster has its documented name, and kubectl's context points at it
    .hint = meshproof up makes the cluster; kubectl config get-contexts shows the contexts.
outcome-cluster-kind-nodes = The cluster has exactly the documented nodes and roles
    .hint = docker ps -a --filter label=io.x-k8s.kind.cluster shows the node containers; meshproof up repairs the cluster.
outcome-cluster-nodes-ready = Every node is Ready and its kubelet answers
    .hint = kubectl describe node NAME shows why a node is not Ready.
outcome-cluster-system-healthy = Every part of kube-system is healthy
    .hint = kubectl get pods -n kube-system shows what is not.
outcome-cluster-mirror-config-path = containerd on every node looks for registry hosts in config_path
    .hint = containerd config dump on the node shows the active value; kind up to 0.30 needs the containerdConfigPatches of the guide.
outcome-cluster-mirror-hosts-read = containerd on every node reads the hosts.toml files
    .hint = Compare certs.d in the state directory with /etc/containerd/certs.d on the node.
outcome-cluster-mirror-every-image = Every image of every node came through the recording mirror, and a pull now does too
    .hint = The node's certs.d must send the registry to the mirror; an image from before the mirror is only gone with its cluster (--reuse never).
outcome-cluster-proxy-connects = A pull on every node asks the proxy of the drop-in
    .hint = systemctl show containerd -p Environment on the node; the drop-in must be on every node, and containerd restarted after it.
outcome-cluster-proxy-hosts-toml-ignored = containerd ignores the proxy table of the guide's hosts.toml
    .hint = No containerd release has a proxy in hosts.toml; if this one does, the guide's file works and the drop-in is not needed.
outcome-cluster-proxy-every-node = containerd on every node runs with the documented proxy
    .hint = systemctl show containerd -p Environment on the node; the drop-in must be on every node.
outcome-cluster-images-pulled = crictl pull of the probe image works on every node
    .hint = The message of the failed pull names the registry that was asked; look at mirrors and proxy in the spec.
outcome-dashboard-deployments-available = Both Deployments of the Dashboard are available
    .hint = kubectl describe deployment -n kubernetes-dashboard
outcome-dashboard-pods-running = The pods of the Dashboard are 1/1 Running
    .hint = kubectl get pod -n kubernetes-dashboard; a failed image pull names its registry in kubectl describe pod.
outcome-dashboard-service-answers = The Dashboard answers through the API server
    .hint = kubectl logs -n kubernetes-dashboard deployment/kubernetes-dashboard
outcome-dashboard-admin-user-exists = The ServiceAccount of the admin user exists
    .hint = kubectl create serviceaccount -n kubernetes-dashboard admin-user
outcome-dashboard-admin-user-bound = The admin user is bound to cluster-admin
    .hint = kubectl create clusterrolebinding admin-user --clusterrole cluster-admin --serviceaccount=kubernetes-dashboard:admin-user
outcome-dashboard-token-valid = kubectl create token gives a valid token of the admin user
    .hint = kubectl -n kubernetes-dashboard create token admin-user must print one token and nothing else.
outcome-dashboard-login-accepted = The Dashboard accepts the token
    .hint = Make a new token; the Dashboard's errors field tells why it refuses one.
outcome-dashboard-login-cluster-admin = A session of the admin user lists every node and namespace
    .hint = Check the ClusterRoleBinding of the admin user.
outcome-dashboard-login-wrong-token-refused = The Dashboard refuses a wrong token
    .hint = Look for --enable-skip-login or a proxy that adds credentials.
outcome-dashboard-login-expired-token-refused = The Dashboard refuses an expired token
    .hint = Check the clocks of host and nodes.
outcome-dashboard-login-without-session-refused = The Dashboard shows nothing without a session
    .hint = Look for --enable-skip-login, or for a role bound to the Dashboard's own ServiceAccount.
outcome-dashboard-proxy-serves = kubectl proxy serves the API and the Dashboard on 127.0.0.1
    .hint = If the port is taken: --set kubectlProxy.port=0
outcome-dashboard-proxy-foreign-host-refused = kubectl proxy refuses a foreign Host header
    .hint = Do not use --accept-hosts='.*': it lets any web page reach the cluster with your rights.
outcome-dashboard-proxy-exec-refused = kubectl proxy refuses exec and attach
    .hint = Do not clear --reject-paths.
outcome-istioctl-version-client = istioctl runs and has the documented version
    .hint = meshproof plan shows which istioctl is used.
outcome-istioctl-version-before-install = Before the installation istioctl version found no Istio
    .hint = Istio was there before the guide installed it; meshproof down and up start from an empty cluster.
outcome-istioctl-version-after-install = istioctl version shows control plane and data plane in the documented version
    .hint = istioctl proxy-status shows which proxies are connected.
outcome-istio-install-lines = istioctl install printed the five documented lines
    .hint = The transcript in the evidence has everything that it printed.
outcome-istio-istiod-ready = istiod is ready
    .hint = kubectl describe deployment istiod -n istio-system; istiod requests 2 GiB of memory.
outcome-istio-cni-every-node = Exactly one ready istio-cni agent runs on every node
    .hint = kubectl get pods -n istio-system -l k8s-app=istio-cni-node -o wide
outcome-istio-ztunnel-every-node = Exactly one ready ztunnel runs on every node
    .hint = kubectl get pods -n istio-system -l app=ztunnel -o wide
outcome-gateway-api-crds-established = Every CRD of the Gateway API bundle is Established
    .hint = kubectl get crd | grep gateway.networking.k8s.io; applying the bundle again installs what is missing.
outcome-gateway-api-crds-bundle = The Gateway API CRDs are of the documented version and channel
    .hint = Set gatewayApi.version to what is installed, or remove the CRDs and run meshproof up.
outcome-gateway-api-classes-accepted = The GatewayClasses of Istio are Accepted
    .hint = istiod makes them once the CRDs exist; look at its log if they do not come.
outcome-cluster-files-private = Only the owner may read the session's keys
    .hint = chmod 600 what is named; nobody else should have the kubeconfig of a cluster administrator.
outcome-cluster-files-no-secret = No journal, report or log of the session holds a token or a private key
    .hint = Remove the file that is named, make the token or key anew, and report it as a fault of meshproof if meshproof wrote it.
outcome-cluster-kind-second-create-fails = A second kind create cluster of the same name fails
    .hint = If it does not, the first cluster was gone.
outcome-cluster-proxy-table-of-wrong-type = The proxy table of the guide's hosts.toml is not what a containerd that knew the key would read
    .hint = See containerd pull request 13359; until it is released no form of the key has an effect.
outcome-cluster-proxy-worker-left-out = The pods that pull run on nodes that the guide's drop-in does not reach
    .hint = With one node there is nothing to leave out.
outcome-cluster-proxy-other-network = The nodes are not in the network that the guide's NO_PROXY names
    .hint = docker network inspect kind shows the network of the nodes.
outcome-cluster-images-ctr-asks-elsewhere = ctr pulls without reading hosts.toml, unlike crictl and the kubelet
    .hint = Probe pulls with crictl pull.
outcome-cluster-images-ctr-says-otherwise = ctr prints something else than the guide shows
    .hint = Go by the exit code, and by crictl images afterwards.
outcome-cluster-mirror-one-registry = docker.io is not the only registry that Istio's images come from
    .hint = Add the other hub under mirrors, or _default for every registry.
outcome-dashboard-pods-listed = kubectl get pod prints the table that the guide shows
    .hint = kubectl get pod -n kubernetes-dashboard; other rows are of something else in that namespace.
outcome-dashboard-pods-stable = The pods of the Dashboard keep running
    .hint = kubectl get events -n kubernetes-dashboard tells why a pod began anew.
outcome-dashboard-token-short-lived = The admin user's token ends within an hour, and none is kept
    .hint = Use kubectl create token without --duration, and remove Secrets of the type kubernetes.io/service-account-token.
outcome-dashboard-login-foreign-audience-refused = The Dashboard refuses a token that was made for somebody else
    .hint = The API server decides about audiences: look at its --api-audiences.
outcome-dashboard-login-other-account-limited = An account without rights sees nothing in the Dashboard
    .hint = kubectl get clusterrolebinding -o wide shows who gave it rights.
outcome-dashboard-proxy-loopback-only = kubectl proxy is reached from this machine only
    .hint = Do not use --address=0.0.0.0: whoever connects has your rights.
outcome-dashboard-proxy-wildcard-open = The wildcard form of kubectl proxy gives everybody the rights of its user
    .hint = Use kubectl proxy without flags; for others, an Ingress with a login of its own.
outcome-dashboard-pods-always-pull = The Dashboard's image is pulled although the node has it
    .hint = --set cluster.preloaded=true applies IfNotPresent.
outcome-dashboard-project-archived = The Dashboard that the guide installs is archived
    .hint = Headlamp is what its maintainers name as the successor.
outcome-dashboard-admin-user-no-namespace = -n means nothing for a ClusterRoleBinding, and the command fails when it is repeated
    .hint = Leave -n out; kubectl apply can be repeated.
outcome-dashboard-login-page-closed = The Dashboard's page lets nobody log in but on localhost or over https
    .hint = Use kubectl proxy without flags and http://127.0.0.1.
outcome-istioctl-download-newest = The download script installs another Istio than the guide goes on with
    .hint = ISTIO_VERSION=1.27.1 before sh pins the version.
outcome-istioctl-version-always-succeeds = istioctl version exits with 0 where there is no Istio
    .hint = Read what it prints.
outcome-istio-pods-stable = The pods of Istio keep running
    .hint = kubectl get events -n istio-system tells why a pod began anew.
outcome-istio-install-order-varies = Whether CNI is reported after Istiod depends on the version
    .hint = The lines are right as a set; only some of their order is promised.
outcome-gateway-api-guard-one-name = The guide's guard looks at one CRD of several, and at no version
    .hint = kubectl get crd -o custom-columns=NAME:.metadata.name,BUNDLE:.metadata.annotations shows all of them.
