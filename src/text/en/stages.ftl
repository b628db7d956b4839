### Stages: titles, what a plan says, warnings, refusals and what remains.

stage-preflight = Preflight: engine, host, ports, tools, leftovers
stage-mirror = Registry mirrors: certs.d and its hosts.toml
stage-cluster = The cluster
stage-nodes = Every node and kube-system Ready
stage-proxy = Proxy of containerd on every node
stage-dashboard = Kubernetes Dashboard
stage-admin-user = Admin user of the Dashboard
stage-istio = Istio in ambient mode
stage-gateway-api = Gateway API CRDs

plan-preflight = check the container engine, memory, inotify, cgroup version, the port of kubectl proxy, and that the cluster's name is free
plan-tool = find { $tool } { $version } on PATH or in the tool cache, else download { $url } and check it against the published SHA-256
plan-preflight-simulated = check the port of kubectl proxy; look for kubectl and istioctl on PATH (nothing is downloaded)
plan-agent = start a process that hosts a simulated cluster of { $nodes }, with Kubernetes { $kubernetes } and containerd { $containerd } as they behave
plan-on-node = run on { $node }: { $command }
plan-preloaded = with imagePullPolicy IfNotPresent where it says Always, since the nodes have every image
plan-apply = apply it through the API, server-side
plan-admin-user = create ServiceAccount { $user } and bind it to cluster-admin, through the API
plan-existing = look in the cluster of the context { $context } whether it is true; nothing is made, changed or removed there
plan-network = make the docker network kind as kind would, if it does not exist
plan-recorders = start the recorders on the nodes' network, made before the cluster; below, { $host } and the ports stand for where they will listen
plan-nodes = wait until { $nodes } are Ready, and then every pod of kube-system
plan-no-proxy = proxy.enabled is false: no drop-in is written (the guide's proxy would be { $http })
plan-gateway-api = only if a CRD of the bundle is missing:

progress-node-image-pull = the node image { $image } is not here yet and will be pulled

warning-memory = The engine has { $has } MiB of memory; Istio on all nodes together requests { $needs } MiB.
warning-inotify = fs.inotify.{ $name } is { $has }; kind recommends { $needs }. Remedy: sysctl fs.inotify.{ $name }={ $needs }
warning-recreate-missing-node = The container of { $nodes } is gone and kind cannot add a node to a cluster: the cluster is made anew.
warning-recreate-no-api = The API server does not answer after the nodes were started ({ $seen }): the cluster is made anew.
warning-agent-gone = The process that hosted the simulated cluster { $cluster } is gone: the cluster is made anew.
warning-other-bundle = Gateway API { $found } is installed and stays, since the guide installs it only if missing; the spec wants { $wanted }.
warning-kubernetes-outside-istio-range = Istio { $istio } supports Kubernetes { $oldest } to { $newest }; this environment has { $kubernetes }.
warning-loopback-proxy = { $key } is { $url }: inside a node that address is the node itself.
warning-istio-registry-not-mirrored = The images of Istio { $istio } come from { $registry }, for which no mirror is named.
warning-uninspected = The labels of { $image } could not be read: whether it is a stand-in is not known.
warning-journal-broken = The journal could not be written to the end: { $error }

refusal-port-busy = 127.0.0.1:{ $port } is in use, and `kubectl proxy` would need it ({ $error })
    .hint = End the process that listens there (a `kubectl proxy` of your own, perhaps), or take a free port: --set kubectlProxy.port=0
refusal-cluster-taken = The name { $cluster } is taken: the container { $container } was not made by this environment
    .hint = Choose another name with --set cluster.name=NAME. If the cluster is yours and no longer needed: kind delete cluster --name { $cluster }
refusal-cluster-drift = The cluster { $cluster } was made from another configuration than the spec now asks for: { $drifts }
    .hint = meshproof down removes it, and the next up makes it anew; --on-drift recreate does both.
refusal-fixture-fresh = MESHPROOF_REUSE is never, and the tests share one environment: each would take it away from the others
    .hint = meshproof up --reuse never before the tests makes it anew.
refusal-drift = The environment was made from another spec: { $drifts }
    .hint = --on-drift apply changes what can be changed in it, --on-drift recreate makes it anew.
refusal-remains = The environment could not be removed: { $what }
    .hint = Remove what remains by hand, then run it again.
warning-fresh = --reuse never: the environment that was there is removed first.
warning-drift-recreate = The environment was made from another spec and is made anew: { $drifts }
warning-drift-apply = The environment was made from another spec and is changed: { $drifts }
refusal-docker-cli = kind needs the `docker` command, and there is none on PATH
    .hint = Install the Docker command line (the package docker-cli or docker.io).
refusal-cgroup-v1 = Kubernetes { $kubernetes } does not run on a host with cgroup v1
    .hint = Use a host with cgroup v2, or a node image of Kubernetes 1.34 or older.
refusal-memory = The container engine has { $has } MiB of memory; a node with Istio's control plane needs { $needs } MiB
    .hint = Give the engine more memory.
refusal-inotify = fs.inotify.{ $name } is { $has }, which is too little for a kind cluster
    .hint = sysctl fs.inotify.{ $name }={ $needs }
refusal-bundle = The bundle cannot be used: { $why }
    .hint = meshproof bundle verify shows what is wrong with it
refusal-not-baked = The container engine has no image { $image }, in which everything of the bundle would be
    .hint = meshproof bundle bake { $bundle } makes it; or leave out cluster.preloaded
refusal-bundle-simulated = A simulated cluster has images and manifests of its own and takes nothing from a bundle
    .hint = Use --backend kind
refusal-recorders-no-address = This machine has no address on the nodes' network to listen on ({ $address }), as recording.host asks
    .hint = Leave recording.host at auto, or set it to container
refusal-recorders-container = The container { $container } of the recorders ended: { $said }
    .hint = It runs this program on the libraries of the node image; a program that was built for another system does not start there
refusal-no-recorders = This backend has no recorders for its nodes
    .hint = Leave recording.mirror at false and recording.proxy at none
refusal-api-silent = The nodes run, but the API server does not answer ({ $seen })
    .hint = Run it again when the machine is less busy. If the cluster is beyond repair: meshproof down, then up.
refusal-no-environment = There is no environment here: no cluster { $cluster } of this session exists
    .hint = meshproof up makes one.
refusal-no-session = There is no environment here: nothing was made in { $dir }
    .hint = meshproof up makes one; --state-dir or MESHPROOF_STATE names another place.
refusal-other-backend = The environment here is the cluster { $cluster } of the backend { $has }, not of { $wanted }
    .hint = meshproof down removes it; or use another --state-dir.
refusal-other-context = The environment here is the cluster of the context { $has }, not of { $wanted }
    .hint = Name another --state-dir. Or meshproof down forgets the old one, and changes nothing in its cluster.
refusal-agent-gone = The process that hosted the simulated cluster { $cluster } is gone, and the cluster with it
    .hint = meshproof up makes it anew.
refusal-agent-failed = The process that hosts the simulated cluster did not start: { $said }
    .hint = Its log is { $log }
refusal-not-simulated = There is no manifest of our own for this spec: { $why }
    .hint = Take other versions, or a real cluster, which takes any: --backend kind
refusal-other-spec = The environment here is the cluster { $has }, but the spec asks for { $wanted }
    .hint = meshproof down removes the old one; or use another --state-dir.

remains-foreign = kind cluster { $cluster }: its container { $container } was not made by this environment and is left alone
remains-directory = { $dir }: it holds something that is not of meshproof
remains-network = network kind: other containers are attached to it

hint-not-ours = Name an empty or new directory with --state-dir or MESHPROOF_STATE.
hint-no-place = Name a directory that can be written with --state-dir or MESHPROOF_STATE.
hint-damaged = Remove the directory by hand if nothing in it is needed; kind get clusters shows clusters that are left.
hint-engine-unreachable = Start Docker, or set DOCKER_HOST to an engine that answers.
hint-download = Behind a proxy: --set downloads.proxy=URL. Without internet: name a local file.

unsupported-node-proxy = the spec has no proxy for the nodes (proxy.enabled is false)
unsupported-recording-mirror = no mirror of meshproof's own stands before the registries (recording.mirror is false)
unsupported-recording-proxy = no proxy of meshproof's own is there for the nodes (recording.proxy is none)
unsupported-baked-images = it was not written down what { $node } came with, since its cluster was made before the mirror recorded
unsupported-existing-kind = the cluster was there before: what the spec says of its name, its version and its nodes does not describe it
unsupported-existing-nodes = the machines of a cluster that was there before are out of reach
contexts-there-are = The contexts there are: { $contexts }
contexts-none = There is no context in any kubeconfig: KUBECONFIG names its files, or else it is ~/.kube/config.
contexts-no-file = any kubeconfig, for none is named
hint-context-proxy = Name a context that reaches it without one, for example through a tunnel.
unsupported-fault = nothing is broken in a cluster that is somebody else's
unsupported-typed-requests = the simulated API server does not read protobuf bodies, which this command of kubectl sends
unsupported-port-forward = the simulated API server does not forward ports
removed-simulated = simulated cluster { $cluster } and the process that hosted it
unsupported-host-network = nodes have no network on which this machine could be reached, or nothing tells who listens here
unsupported-dashboard-page = what serves the Dashboard here has no page with scripts of its own
unsupported-kind-tool = no kind command made this cluster
unsupported-one-node = there is one node only
unsupported-transcript = the stages of this environment recorded no transcript of it

refusal-stage-missing = { $why }
    .hint = Nothing may be changed here. meshproof up makes what is missing in an environment of its own; in somebody else's cluster they have to.
