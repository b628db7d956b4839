### Causes of known troubles, each with its remedy.

diagnosis-p1 = The proxy is asked for at { $address }, which inside a node is the node itself.
    .remedy = Let the proxy listen on an address that the nodes reach (the Docker bridge or 0.0.0.0) and put that address into proxy.http and proxy.https.
diagnosis-p3 = The proxy asks for a user and a password.
    .remedy = Put credentials into the proxy URL; a percent sign is doubled in the systemd drop-in by meshproof.
diagnosis-p7 = { $node } did not ask the mirror for { $image }: what its certs.d has for { $registry } is not read, or names something else.
    .remedy = Compare certs.d on { $node } with that of the state directory, check config_path with containerd config dump, and try with crictl pull, since ctr reads neither.
diagnosis-p8 = containerd refuses a configuration that has both registry.mirrors and config_path.
    .remedy = Remove the old registry.mirrors patch and describe the mirror under mirrors instead.
diagnosis-p9 = The registry limits the rate of pulls from this address.
    .remedy = Name a mirror under mirrors, or wait until the limit is over.
diagnosis-p10 = This version of kind does not understand the containerd of the node image.
    .remedy = Use a kind release that knows the image, or the image that kind's release notes list.
diagnosis-p12 = Kubernetes 1.35 and newer do not run on a host with cgroup v1.
    .remedy = Use a host with cgroup v2, or a node image of Kubernetes 1.34 or older.
diagnosis-p13 = The host is out of inotify instances or file handles.
    .remedy = sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512
diagnosis-p19 = The nodes have too little { $resource } left for what the pod requests; istiod alone requests 2 GiB of memory.
    .remedy = Give the container engine more { $resource }, or end other workloads.
diagnosis-p23 = Small requests pass but TLS handshakes hang, as with a network whose MTU is smaller than the bridge's.
    .remedy = Set the Docker daemon's MTU to that of the network and remake the network "kind".
diagnosis-p24 = The image is made for another processor architecture.
    .remedy = Use an image of the host's architecture; a digest pins one.
diagnosis-p30 = A newer Gateway API bundle guards its CRDs against versions before { $version }.
    .remedy = Set gatewayApi.version to the bundle that is installed, or remove the ValidatingAdmissionPolicy safe-upgrades.gateway.networking.k8s.io.
diagnosis-p32 = A cluster of that name exists already.
    .remedy = Delete it if it is yours, or choose another name with --set cluster.name=NAME.
diagnosis-image-not-found = No registry that was asked has the image { $image }.
    .remedy = Put the image into the mirror, or add a host that has it under mirrors.
diagnosis-image-denied = The registry refuses to hand out the image { $image }.
    .remedy = Check the image's name; a private registry needs a mirror that has the credentials.
diagnosis-p5 = The name { $host } does not resolve inside the nodes.
    .remedy = Check the host's resolver; behind a proxy set proxy.enabled=true, without internet name a mirror under mirrors.
diagnosis-registry-unavailable = The registry at { $url } answers { $status }.
    .remedy = Wait until it is well again, or add another host under mirrors.
diagnosis-registry-unreachable = Nothing answers at { $url }: { $error }.
    .remedy = Check that the registry runs and that it listens on an address which the nodes reach; 127.0.0.1 inside a node is the node.
diagnosis-p26 = No ready pod stands behind the service.
    .remedy = Look at the pods of its namespace.
diagnosis-node-missing = The container of node { $node } is gone.
    .remedy = meshproof up
diagnosis-node-stopped = The container of node { $node } is { $state }.
    .remedy = meshproof up
diagnosis-node-silent = Node { $node } is down: its kubelet does not answer the API server, so what the API says about its pods is out of date.
    .remedy = meshproof up
diagnosis-crash-loop = Container { $container } of pod { $pod } on node { $node } ends again and again.
    .remedy = kubectl logs --previous shows its last words.
diagnosis-container-runtime = The node has no pod network yet.
    .remedy = Look at the kindnet pod of that node in kube-system.
