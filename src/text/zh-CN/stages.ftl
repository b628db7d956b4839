### Stages: titles, what a plan says, warnings, refusals and what remains.

stage-preflight = 预检：容器引擎、主机、端口、工具、残留
stage-mirror = 镜像源：certs.d 及其 hosts.toml
stage-cluster = 集群
stage-nodes = 所有节点和 kube-system 均 Ready
stage-proxy = 每个节点上 containerd 的代理
stage-dashboard = Kubernetes Dashboard
stage-admin-user = Dashboard 的管理员用户
stage-istio = Ambient 模式的 Istio
stage-gateway-api = Gateway API CRD

plan-preflight = 检查容器引擎、内存、inotify、cgroup 版本、kubectl proxy 的端口，以及集群名称是否可用
plan-tool = 在 PATH 或工具缓存中查找 { $tool } { $version }，找不到则下载 { $url } 并用官方发布的 SHA-256 校验
plan-preflight-simulated = 检查 kubectl proxy 的端口；在 PATH 中查找 kubectl 和 istioctl（不下载任何内容）
plan-agent = 启动一个承载模拟集群的进程，节点为 { $nodes }，行为与 Kubernetes { $kubernetes } 和 containerd { $containerd } 一致
plan-on-node = 在 { $node } 上运行：{ $command }
plan-preloaded = 其中 imagePullPolicy 为 Always 的改为 IfNotPresent，因为节点已有全部镜像
plan-apply = 通过 API 应用该清单（服务器端应用）
plan-admin-user = 通过 API 创建 ServiceAccount { $user } 并将其绑定到 cluster-admin
plan-existing = 在上下文 { $context } 的集群中检查是否满足；不在其中创建、更改或删除任何内容
plan-network = 如果 docker 网络 kind 不存在，按 kind 的方式创建
plan-recorders = 在节点网络上启动记录器，该网络先于集群创建；下文中的 { $host } 和端口代表其实际监听的位置
plan-nodes = 等待 { $nodes } 变为 Ready，然后等待 kube-system 的所有 Pod 就绪
plan-no-proxy = proxy.enabled 为 false：不写入 drop-in 文件（指南中的代理为 { $http }）
plan-gateway-api = 仅当缺少安装清单中的某个 CRD 时：

progress-node-image-pull = 本地尚无节点镜像 { $image }，将进行拉取

warning-memory = 容器引擎有 { $has } MiB 内存；Istio 在所有节点上共请求 { $needs } MiB。
warning-inotify = fs.inotify.{ $name } 为 { $has }；kind 建议 { $needs }。处理：sysctl fs.inotify.{ $name }={ $needs }
warning-recreate-missing-node = { $nodes } 的容器已不存在，而 kind 无法向集群添加节点：将重建集群。
warning-recreate-no-api = 节点启动后，API 服务器没有响应（{ $seen }）：将重建集群。
warning-agent-gone = 承载模拟集群 { $cluster } 的进程已不存在：将重建集群。
warning-other-bundle = 已安装 Gateway API { $found }，予以保留，因为指南仅在缺失时才安装；规约要求 { $wanted }。
warning-kubernetes-outside-istio-range = Istio { $istio } 支持 Kubernetes { $oldest } 至 { $newest }；当前环境为 { $kubernetes }。
warning-loopback-proxy = { $key } 为 { $url }：在节点内部，该地址指向节点自身。
warning-istio-registry-not-mirrored = Istio { $istio } 的镜像来自 { $registry }，但没有为它指定镜像源。
warning-uninspected = 无法读取 { $image } 的标签：不能确定它是否为替身。
warning-journal-broken = 日志记录未能完整写入：{ $error }

refusal-port-busy = 127.0.0.1:{ $port } 已被占用，而 `kubectl proxy` 需要使用它（{ $error }）
    .hint = 结束监听该端口的进程（可能是自行启动的 `kubectl proxy`），或使用空闲端口：--set kubectlProxy.port=0
refusal-cluster-taken = 名称 { $cluster } 已被占用：容器 { $container } 不是由本环境创建的
    .hint = 用 --set cluster.name=NAME 换一个名称。如果该集群属于自己且不再需要：kind delete cluster --name { $cluster }
refusal-cluster-drift = 集群 { $cluster } 创建时的配置与规约当前的要求不同：{ $drifts }
    .hint = meshproof down 会移除它，下次 up 时重建；--on-drift recreate 一次完成这两步。
refusal-fixture-fresh = MESHPROOF_REUSE 为 never，而所有测试共用一个环境：每个测试都会移除其他测试正在使用的环境
    .hint = 在测试前运行 meshproof up --reuse never 可重建环境。
refusal-drift = 环境是按另一份规约创建的：{ $drifts }
    .hint = --on-drift apply 更改环境中可以更改的部分，--on-drift recreate 重建环境。
refusal-remains = 无法移除环境：{ $what }
    .hint = 手动清除残留，然后重新运行。
warning-fresh = --reuse never：先移除已有的环境。
warning-drift-recreate = 环境是按另一份规约创建的，将重建：{ $drifts }
warning-drift-apply = 环境是按另一份规约创建的，将进行更改：{ $drifts }
refusal-docker-cli = kind 需要 `docker` 命令，但 PATH 中没有
    .hint = 安装 Docker 命令行工具（软件包 docker-cli 或 docker.io）。
refusal-cgroup-v1 = Kubernetes { $kubernetes } 无法在使用 cgroup v1 的主机上运行
    .hint = 使用支持 cgroup v2 的主机，或 Kubernetes 1.34 及更早版本的节点镜像。
refusal-memory = 容器引擎有 { $has } MiB 内存；运行 Istio 控制平面的节点需要 { $needs } MiB
    .hint = 为容器引擎分配更多内存。
refusal-inotify = fs.inotify.{ $name } 为 { $has }，不足以运行 kind 集群
    .hint = sysctl fs.inotify.{ $name }={ $needs }
refusal-bundle = 无法使用该离线包：{ $why }
    .hint = meshproof bundle verify 显示其中的问题
refusal-not-baked = 容器引擎中没有镜像 { $image }，它本应包含离线包的全部内容
    .hint = meshproof bundle bake { $bundle } 会生成它；或去掉 cluster.preloaded
refusal-bundle-simulated = 模拟集群自带镜像和清单，不使用离线包中的任何内容
    .hint = 使用 --backend kind
refusal-recorders-no-address = recording.host 要求在本机监听，但本机在节点网络上没有可监听的地址（{ $address }）
    .hint = 将 recording.host 保持为 auto，或设为 container
refusal-recorders-container = 记录器的容器 { $container } 已退出：{ $said }
    .hint = 该容器使用节点镜像中的库运行本程序；为其他系统构建的程序无法在其中启动
refusal-no-recorders = 该后端没有供其节点使用的记录器
    .hint = 将 recording.mirror 保持为 false，recording.proxy 保持为 none
refusal-api-silent = 节点在运行，但 API 服务器没有响应（{ $seen }）
    .hint = 等机器负载降低后重新运行。如果集群已无法修复：先 meshproof down，再 up。
refusal-no-environment = 此处没有环境：本会话的集群 { $cluster } 不存在
    .hint = meshproof up 会创建环境。
refusal-no-session = 此处没有环境：{ $dir } 中没有创建过任何内容
    .hint = meshproof up 会创建环境；用 --state-dir 或 MESHPROOF_STATE 可指定其他位置。
refusal-other-backend = 此处的环境是后端 { $has } 的集群 { $cluster }，而不是 { $wanted } 的
    .hint = meshproof down 会移除它；或使用另一个 --state-dir。
refusal-other-context = 此处的环境是上下文 { $has } 的集群，而不是 { $wanted } 的
    .hint = 指定另一个 --state-dir。或用 meshproof down 丢弃旧环境的记录，其集群不会有任何更改。
refusal-agent-gone = 承载模拟集群 { $cluster } 的进程已不存在，集群也随之消失
    .hint = meshproof up 会重建集群。
refusal-agent-failed = 承载模拟集群的进程未能启动：{ $said }
    .hint = 其日志为 { $log }
refusal-not-simulated = 没有适用于此规约的自带清单：{ $why }
    .hint = 换用其他版本，或使用不限版本的真实集群：--backend kind
refusal-other-spec = 此处的环境是集群 { $has }，但规约要求 { $wanted }
    .hint = meshproof down 会移除旧集群；或使用另一个 --state-dir。

remains-foreign = kind 集群 { $cluster }：其容器 { $container } 不是由本环境创建的，予以保留
remains-directory = { $dir }：其中有不属于 meshproof 的内容
remains-network = 网络 kind：仍有其他容器与其连接

hint-not-ours = 用 --state-dir 或 MESHPROOF_STATE 指定一个空目录或新目录。
hint-no-place = 用 --state-dir 或 MESHPROOF_STATE 指定一个可写的目录。
hint-damaged = 如果该目录中的内容都不再需要，请手动删除；kind get clusters 列出残留的集群。
hint-engine-unreachable = 启动 Docker，或将 DOCKER_HOST 设为可用的引擎。
hint-download = 需要经过代理时：--set downloads.proxy=URL。没有互联网时：指定本地文件。

unsupported-node-proxy = 规约没有为节点配置代理（proxy.enabled 为 false）
unsupported-recording-mirror = 没有在镜像仓库前部署 meshproof 自己的镜像源（recording.mirror 为 false）
unsupported-recording-proxy = 没有为节点部署 meshproof 自己的代理（recording.proxy 为 none）
unsupported-baked-images = 没有记录 { $node } 自带的镜像，因为其集群在镜像源开始记录之前就已创建
unsupported-existing-kind = 集群先于本环境存在：规约中的集群名称、版本和节点并不描述它
unsupported-existing-nodes = 无法访问已有集群的机器
contexts-there-are = 现有的上下文：{ $contexts }
contexts-none = 任何 kubeconfig 中都没有上下文：文件由 KUBECONFIG 指定，否则为 ~/.kube/config。
contexts-no-file = 任何 kubeconfig（未指定文件）
hint-context-proxy = 指定一个无需代理即可访问该集群的上下文，例如通过隧道。
unsupported-fault = 不在他人的集群中注入故障
unsupported-typed-requests = 模拟的 API 服务器不读取 protobuf 请求体，而 kubectl 的这条命令会发送这种请求体
unsupported-port-forward = 模拟的 API 服务器不支持端口转发
removed-simulated = 模拟集群 { $cluster } 及承载它的进程
unsupported-host-network = 节点没有可以访问本机的网络，或者无法得知本机上谁在监听
unsupported-dashboard-page = 此处提供 Dashboard 的程序没有带脚本的页面
unsupported-kind-tool = 该集群不是由 kind 命令创建的
unsupported-one-node = 只有一个节点
unsupported-transcript = 本环境的阶段没有留下相应的执行记录

refusal-stage-missing = { $why }
    .hint = 此处不允许任何更改。在自己的环境中，meshproof up 会补上缺失的部分；在他人的集群中，须由其所有者补上。
