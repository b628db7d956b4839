### Outcomes: what each claims, and what to do when it does not hold.

outcome-cluster-kind-named = Kind 集群使用文档规定的名称，且 kubectl 的上下文指向该集群
    .hint = meshproof up 创建集群；kubectl config get-contexts 列出上下文。
outcome-cluster-kind-nodes = 集群的节点及其角色与文档完全一致
    .hint = docker ps -a --filter label=io.x-k8s.kind.cluster 列出节点容器；meshproof up 修复集群。
outcome-cluster-nodes-ready = 每个节点均为 Ready，且其 kubelet 有响应
    .hint = kubectl describe node NAME 显示节点未 Ready 的原因。
outcome-cluster-system-healthy = kube-system 的所有组件均健康
    .hint = kubectl get pods -n kube-system 显示哪些组件不健康。
outcome-cluster-mirror-config-path = 每个节点上的 containerd 都在 config_path 中查找镜像仓库的主机配置
    .hint = 在节点上运行 containerd config dump 可查看实际生效的值；kind 0.30 及更早版本需要指南中的 containerdConfigPatches。
outcome-cluster-mirror-hosts-read = 每个节点上的 containerd 都读取 hosts.toml 文件
    .hint = 对比状态目录中的 certs.d 与节点上的 /etc/containerd/certs.d。
outcome-cluster-mirror-every-image = 每个节点的每个镜像都经由带记录的镜像源拉取，现在拉取也是如此
    .hint = 节点的 certs.d 必须将镜像仓库指向镜像源；在镜像源启用之前已有的镜像，只有随集群重建才会消失（--reuse never）。
outcome-cluster-proxy-connects = 每个节点拉取镜像时都使用 drop-in 文件中的代理
    .hint = 在节点上运行 systemctl show containerd -p Environment；每个节点都必须有该 drop-in 文件，且写入后须重启 containerd。
outcome-cluster-proxy-hosts-toml-ignored = containerd 忽略指南的 hosts.toml 中的 proxy 表
    .hint = 没有任何 containerd 版本支持 hosts.toml 中的 proxy；如果当前版本支持，则指南中的文件有效，无需 drop-in 文件。
outcome-cluster-proxy-every-node = 每个节点上的 containerd 都使用文档规定的代理运行
    .hint = 在节点上运行 systemctl show containerd -p Environment；每个节点都必须有该 drop-in 文件。
outcome-cluster-images-pulled = 在每个节点上都能用 crictl pull 拉取探测镜像
    .hint = 拉取失败的消息会指出所请求的镜像仓库；检查规约中的 mirrors 和 proxy。
outcome-dashboard-deployments-available = Dashboard 的两个 Deployment 均可用
    .hint = kubectl describe deployment -n kubernetes-dashboard
outcome-dashboard-pods-running = Dashboard 的 Pod 均为 1/1 Running
    .hint = kubectl get pod -n kubernetes-dashboard；镜像拉取失败时，kubectl describe pod 会指出镜像仓库。
outcome-dashboard-service-answers = 可通过 API 服务器访问 Dashboard
    .hint = kubectl logs -n kubernetes-dashboard deployment/kubernetes-dashboard
outcome-dashboard-admin-user-exists = 管理员用户的 ServiceAccount 已存在
    .hint = kubectl create serviceaccount -n kubernetes-dashboard admin-user
outcome-dashboard-admin-user-bound = 管理员用户已绑定到 cluster-admin
    .hint = kubectl create clusterrolebinding admin-user --clusterrole cluster-admin --serviceaccount=kubernetes-dashboard:admin-user
outcome-dashboard-token-valid = kubectl create token 给出管理员用户的有效令牌
    .hint = kubectl -n kubernetes-dashboard create token admin-user 必须只输出一个令牌，不含其他内容。
outcome-dashboard-login-accepted = Dashboard 接受该令牌
    .hint = 重新创建令牌；Dashboard 响应的 errors 字段会说明拒绝的原因。
outcome-dashboard-login-cluster-admin = 管理员用户的会话能列出所有节点和命名空间
    .hint = 检查管理员用户的 ClusterRoleBinding。
outcome-dashboard-login-wrong-token-refused = Dashboard 拒绝错误的令牌
    .hint = 检查是否启用了 --enable-skip-login，或是否有代理附加了凭据。
outcome-dashboard-login-expired-token-refused = Dashboard 拒绝过期的令牌
    .hint = 检查主机和节点的时钟。
outcome-dashboard-login-without-session-refused = 没有会话时，Dashboard 不显示任何内容
    .hint = 检查是否启用了 --enable-skip-login，或是否有角色绑定到 Dashboard 自身的 ServiceAccount。
outcome-dashboard-proxy-serves = kubectl proxy 在 127.0.0.1 上提供 API 和 Dashboard
    .hint = 如果端口已被占用：--set kubectlProxy.port=0
outcome-dashboard-proxy-foreign-host-refused = kubectl proxy 拒绝外来的 Host 标头
    .hint = 不要使用 --accept-hosts='.*'：它会让任意网页都能以当前用户的权限访问集群。
outcome-dashboard-proxy-exec-refused = kubectl proxy 拒绝 exec 和 attach
    .hint = 不要清空 --reject-paths。
outcome-istioctl-version-client = istioctl 可以运行，且版本与文档一致
    .hint = meshproof plan 显示使用的是哪个 istioctl。
outcome-istioctl-version-before-install = 安装前，istioctl version 未发现 Istio
    .hint = 在按指南安装之前 Istio 就已存在；依次运行 meshproof down 和 up 可从空集群开始。
outcome-istioctl-version-after-install = istioctl version 显示控制平面和数据平面均为文档规定的版本
    .hint = istioctl proxy-status 显示哪些代理已连接。
outcome-istio-install-lines = istioctl install 输出了文档中的五行内容
    .hint = 证据中的执行记录包含其全部输出。
outcome-istio-istiod-ready = istiod 已就绪
    .hint = kubectl describe deployment istiod -n istio-system；istiod 请求 2 GiB 内存。
outcome-istio-cni-every-node = 每个节点上恰好运行一个就绪的 istio-cni 节点代理
    .hint = kubectl get pods -n istio-system -l k8s-app=istio-cni-node -o wide
outcome-istio-ztunnel-every-node = 每个节点上恰好运行一个就绪的 ztunnel
    .hint = kubectl get pods -n istio-system -l app=ztunnel -o wide
outcome-gateway-api-crds-established = Gateway API 安装清单中的每个 CRD 均为 Established
    .hint = kubectl get crd | grep gateway.networking.k8s.io；再次应用安装清单即可补齐缺失的 CRD。
outcome-gateway-api-crds-bundle = Gateway API CRD 的版本和渠道与文档一致
    .hint = 将 gatewayApi.version 设为已安装的版本，或删除这些 CRD 后运行 meshproof up。
outcome-gateway-api-classes-accepted = Istio 的 GatewayClass 均为 Accepted
    .hint = CRD 存在后，istiod 会创建它们；如果一直没有出现，请查看 istiod 的日志。
outcome-cluster-files-private = 会话的密钥文件只有所有者可读
    .hint = 对列出的文件执行 chmod 600；集群管理员的 kubeconfig 不应让他人读取。
outcome-cluster-files-no-secret = 会话的日志、报告和记录中没有令牌或私钥
    .hint = 删除列出的文件，并重新生成该令牌或密钥；如果文件由 meshproof 写入，请报告该缺陷。
outcome-cluster-kind-second-create-fails = 再次以同名执行 kind create cluster 会失败
    .hint = 如果没有失败，说明第一个集群已不存在。
outcome-cluster-proxy-table-of-wrong-type = 即使 containerd 将来支持该键，指南 hosts.toml 中的 proxy 表的类型也不对
    .hint = 参见 containerd 的 PR 13359；在其发布之前，任何写法都不起作用。
outcome-cluster-proxy-worker-left-out = 需要拉取镜像的 Pod 运行在指南的 drop-in 未覆盖的节点上
    .hint = 只有一个节点时，不存在遗漏。
outcome-cluster-proxy-other-network = 节点不在指南 NO_PROXY 所写的网段内
    .hint = docker network inspect kind 可显示节点所在的网络。
outcome-cluster-images-ctr-asks-elsewhere = ctr 拉取镜像时不读取 hosts.toml，与 crictl 和 kubelet 不同
    .hint = 请用 crictl pull 验证镜像拉取。
outcome-cluster-images-ctr-says-otherwise = ctr 的输出与指南所示不同
    .hint = 请以退出码以及之后的 crictl images 为准。
outcome-cluster-mirror-one-registry = Istio 镜像并不只来自 docker.io
    .hint = 在 mirrors 下添加其他镜像仓库，或用 _default 覆盖所有仓库。
outcome-dashboard-pods-listed = kubectl get pod 输出指南所示的表格
    .hint = kubectl get pod -n kubernetes-dashboard；其余的行属于该命名空间中的其他对象。
outcome-dashboard-pods-stable = Dashboard 的 Pod 持续稳定运行
    .hint = kubectl get events -n kubernetes-dashboard 会说明 Pod 为何重新启动。
outcome-dashboard-token-short-lived = 管理员用户的令牌在一小时内失效，且没有长期保存的令牌
    .hint = 使用不带 --duration 的 kubectl create token，并删除类型为 kubernetes.io/service-account-token 的 Secret。
outcome-dashboard-login-foreign-audience-refused = Dashboard 拒绝为其他受众签发的令牌
    .hint = 受众由 API 服务器判定：请检查其 --api-audiences。
outcome-dashboard-login-other-account-limited = 没有权限的账户在 Dashboard 中什么也看不到
    .hint = kubectl get clusterrolebinding -o wide 可显示是谁授予了权限。
outcome-dashboard-proxy-loopback-only = kubectl proxy 只能从本机访问
    .hint = 不要使用 --address=0.0.0.0：任何能连接的人都会拥有与当前用户相同的权限。
outcome-dashboard-proxy-wildcard-open = kubectl proxy 的通配形式会把使用者的权限交给所有人
    .hint = 使用不带参数的 kubectl proxy；要供他人使用，请配置带登录的 Ingress。
outcome-dashboard-pods-always-pull = 即使节点已有镜像，Dashboard 仍会重新拉取
    .hint = --set cluster.preloaded=true 会改用 IfNotPresent。
outcome-dashboard-project-archived = 指南所安装的 Dashboard 项目已归档
    .hint = 维护者推荐的后继项目是 Headlamp。
outcome-dashboard-admin-user-no-namespace = -n 对 ClusterRoleBinding 没有意义，且重复执行该命令会失败
    .hint = 去掉 -n；kubectl apply 可以重复执行。
outcome-dashboard-login-page-closed = Dashboard 页面只允许在 localhost 或通过 https 登录
    .hint = 使用不带参数的 kubectl proxy，并访问 http://127.0.0.1。
outcome-istioctl-download-newest = 下载脚本安装的 Istio 与指南后续使用的版本不同
    .hint = 在 sh 之前设置 ISTIO_VERSION=1.27.1 即可固定版本。
outcome-istioctl-version-always-succeeds = 即使没有 Istio，istioctl version 也以 0 退出
    .hint = 请看它输出的内容。
outcome-istio-pods-stable = Istio 的 Pod 持续稳定运行
    .hint = kubectl get events -n istio-system 会说明 Pod 为何重新启动。
outcome-istio-install-order-varies = CNI 是否在 Istiod 之后报告取决于版本
    .hint = 这些行作为集合是正确的；只有部分顺序有保证。
outcome-gateway-api-guard-one-name = 指南的检查只看多个 CRD 中的一个，且不看版本
    .hint = kubectl get crd -o custom-columns=NAME:.metadata.name,BUNDLE:.metadata.annotations 可显示全部。
