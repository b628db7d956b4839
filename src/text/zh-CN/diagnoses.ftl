### Causes of known troubles, each with its remedy.

diagnosis-p1 = 代理地址为 { $address }，在节点内部，该地址指向节点自身。
    .remedy = 让代理监听节点可访问的地址（Docker 网桥地址或 0.0.0.0），并将该地址写入 proxy.http 和 proxy.https。
diagnosis-p3 = 代理要求用户名和密码。
    .remedy = 将凭据写入代理的 URL；在 systemd drop-in 文件中，meshproof 会将百分号写成两个。
diagnosis-p7 = { $node } 没有向镜像源请求 { $image }：其 certs.d 中 { $registry } 的配置未被读取，或指向了别处。
    .remedy = 对比 { $node } 上的 certs.d 与状态目录中的 certs.d，用 containerd config dump 检查 config_path，并用 crictl pull 测试，因为 ctr 两者都不读取。
diagnosis-p8 = containerd 拒绝同时包含 registry.mirrors 和 config_path 的配置。
    .remedy = 删除旧的 registry.mirrors 补丁，改为在 mirrors 中描述镜像源。
diagnosis-p9 = 镜像仓库限制了来自该地址的拉取频率。
    .remedy = 在 mirrors 中指定镜像源，或等待限制解除。
diagnosis-p10 = 此版本的 kind 不支持节点镜像中的 containerd。
    .remedy = 使用支持该镜像的 kind 版本，或使用该 kind 发布说明中列出的镜像。
diagnosis-p12 = Kubernetes 1.35 及更高版本无法在使用 cgroup v1 的主机上运行。
    .remedy = 使用支持 cgroup v2 的主机，或 Kubernetes 1.34 及更早版本的节点镜像。
diagnosis-p13 = 主机的 inotify 实例或文件句柄已耗尽。
    .remedy = sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512
diagnosis-p19 = 节点剩余的 { $resource } 不足以满足 Pod 的请求；仅 istiod 就请求 2 GiB 内存。
    .remedy = 为容器引擎分配更多 { $resource }，或停止其他工作负载。
diagnosis-p23 = 小请求可以通过，但 TLS 握手挂起，通常是因为网络的 MTU 小于网桥的 MTU。
    .remedy = 将 Docker 守护进程的 MTU 设为与网络一致，并重建网络 "kind"。
diagnosis-p24 = 镜像适用于其他处理器架构。
    .remedy = 使用与主机架构一致的镜像；按摘要引用的镜像会固定为某一架构。
diagnosis-p30 = 集群中较新的 Gateway API 禁止安装早于 { $version } 的 CRD。
    .remedy = 将 gatewayApi.version 设为已安装的版本，或删除 ValidatingAdmissionPolicy safe-upgrades.gateway.networking.k8s.io。
diagnosis-p32 = 同名集群已存在。
    .remedy = 如果该集群属于自己，将其删除；否则用 --set cluster.name=NAME 换一个名称。
diagnosis-image-not-found = 所请求的镜像仓库中都没有镜像 { $image }。
    .remedy = 将镜像放入镜像源，或在 mirrors 中添加拥有该镜像的主机。
diagnosis-image-denied = 镜像仓库拒绝提供镜像 { $image }。
    .remedy = 检查镜像名称；私有镜像仓库需要配有凭据的镜像源。
diagnosis-p5 = 在节点内部无法解析名称 { $host }。
    .remedy = 检查主机的 DNS 解析；需要经过代理时，设置 proxy.enabled=true；没有互联网时，在 mirrors 中指定镜像源。
diagnosis-registry-unavailable = 镜像仓库 { $url } 返回 { $status }。
    .remedy = 等待其恢复，或在 mirrors 中添加其他主机。
diagnosis-registry-unreachable = { $url } 没有响应：{ $error }。
    .remedy = 检查镜像仓库是否在运行，以及是否监听节点可访问的地址；在节点内部，127.0.0.1 指向节点自身。
diagnosis-p26 = 该 Service 没有就绪的 Pod。
    .remedy = 检查其命名空间中的 Pod。
diagnosis-node-missing = 节点 { $node } 的容器已不存在。
    .remedy = meshproof up
diagnosis-node-stopped = 节点 { $node } 的容器状态为 { $state }。
    .remedy = meshproof up
diagnosis-node-silent = 节点 { $node } 已宕机：其 kubelet 不响应 API 服务器，因此 API 中该节点的 Pod 信息已过时。
    .remedy = meshproof up
diagnosis-crash-loop = 节点 { $node } 上 Pod { $pod } 的容器 { $container } 反复退出。
    .remedy = kubectl logs --previous 显示其退出前的日志。
diagnosis-container-runtime = 节点尚无 Pod 网络。
    .remedy = 检查 kube-system 中该节点的 kindnet Pod。
