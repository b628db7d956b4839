### What the command line says.

cli-error = 错误：{ $chain }
cli-hint = 提示：{ $hint }
cli-warning = 警告：{ $text }
cli-hint-recorded-spec = 所记录的规约来自另一版本的 meshproof；用 --spec 指定规约。
cli-bad-timeout-scale = --timeout-scale 必须在 0.01 到 100 之间
cli-unknown-backend = MESHPROOF_BACKEND 为 `{ $backend }`；可用的值为 auto、kind、embedded 和 existing
cli-no-context = --backend existing 需要指明集群的上下文名称：--context NAME，或 MESHPROOF_CONTEXT
    .hint = 不采用当前上下文，以免无意中检查了错误的集群。{ $contexts }
cli-context-without-existing = --context 仅用于 --backend existing
cli-hint-no-downgrade = 已设置环境变量 CI，因此 auto 不会降级为模拟集群。启动 Docker；如果需要的就是模拟集群，则指定 --backend embedded。
cli-downgrade =
    ==========================================================================
      模拟：没有容器引擎响应，因此集群不是真实的
    ==========================================================================
    {"  "}{ $error }
      对 kubectl 和这些检查而言，它的行为与真实集群一致，
      但不能证明真实安装的任何情况。使用 Docker：meshproof run --backend kind
    ==========================================================================
cli-status-agent = agent：进程 { $pid } { $life }，{ $idle }；日志：{ $log }
cli-status-recorders = 记录器：容器 { $container }
cli-agent-idle = 无请求达 { $idle } 后结束
cli-agent-stays = 随环境一同结束
cli-status-no-agent = agent：已结束，模拟集群随之消失；meshproof up 会重建集群
cli-agent-alive = 运行中
cli-agent-dead = 已不存在
cli-no-junit = 只有 run、up 和 verify 有 JUnit 报告
cli-nothing-to-remove = 没有可移除的内容：{ $dir } 中没有创建过环境
cli-down-interrupted = 已中断；meshproof down 会移除其余部分。
cli-removed = 已移除：{ $what }
cli-remains = 残留：{ $what }
cli-interrupted-early = 在执行任何操作之前已中断。
cli-interrupted-cluster = 已中断。集群 { $cluster } 可能完整或部分存在；meshproof up 继续，meshproof down 移除。状态：{ $dir }
cli-interrupted-existing = 已中断。集群 { $cluster } 没有任何更改；只残留 { $dir }，meshproof down 会将其移除。
cli-interrupted-nothing = 已中断。没有创建集群；只残留 { $dir }，meshproof down 会将其移除。
cli-plan-file = 写入 { $path }：
cli-plan-file-on-nodes = 在每个节点上写入 { $path }：
cli-explain-kind = 类别：{ $value }
cli-explain-guide = 指南：{ $value }
cli-explain-needs = 依赖：{ $value }
cli-explain-capabilities = 能力：{ $value }
cli-explain-hint = 提示：{ $value }
cli-explain-outcomes = 结论：{ $value }
cli-unknown-id = 没有名为 `{ $id }` 的阶段或结论
cli-did-you-mean = 是否指 `{ $id }`？`meshproof list outcomes` 和 `meshproof list stages` 列出全部
cli-no-choice = 只有 { $commands } 接受 { $option }
hint-nearest = 是否指 `{ $name }`？
hint-nearest-outcome = 是否指 `{ $id }`？`meshproof list outcomes` 列出全部
hint-selects-nothing = 每个部分单独都能选中一些结论，但没有结论同时符合所有部分；用 `meshproof list outcomes --select` 逐个尝试。
hint-nothing-left = 需要重新判定的结论都未被选中；去掉 --select 或 --rerun-failed。
hint-never-judged = meshproof run 判定一个环境，meshproof verify 判定已有的环境；此后才有可以重新判定的结论。
warning-nothing-failed = --rerun-failed：运行 { $run } 没有留下需要重新判定的结论，因此判定全部结论
fixture-no-agent = 模拟集群需要独立的进程，但无法得知此处运行的是哪个测试，因此无法启动该进程
fixture-no-agent-hint = 将 MESHPROOF_BIN 设为 meshproof 程序；或用多个线程运行测试；或事先运行 meshproof up。
cli-status-none = 没有环境：{ $dir } 中没有创建过任何内容
cli-status-session = 会话 { $session }：{ $phase }，后端 { $backend }，集群 { $cluster }，已存在 { $age }，位于 { $dir }
cli-status-worker = 进程 { $pid }（meshproof { $command }）正在处理
cli-status-left = 由 meshproof down 结束，或闲置 { $left } 后结束
cli-status-for-ever = 由 meshproof down 结束
cli-status-all = { $session }  { $phase }  { $backend }  { $left }  { $dir }
cli-status-all-none = 本机上没有当前用户的已知环境。
cli-down-all = { $dir }：
cli-down-all-in-use = { $dir }：正在被处理或使用，予以保留
cli-down-all-failed = { $dir }：{ $error }
cli-reaped = { $dir } 的状态为 { $was }，不会再有人使用：{ $what }
cli-not-reaped = { $dir } 的状态为 { $was }，但无法移除：{ $error }
cli-status-node = 节点 { $node }：{ $state }
cli-status-journal = 最近的日志记录：{ $journal }
cli-collected = 诊断包：{ $index }
cli-collected-without = 未收入或截断：{ $count }；索引逐项列出原因
cli-collect-interrupted = 已中断；{ $dir } 中的内容不完整，且没有索引。
cli-hint-collect-out = 指定一个空目录或不存在的目录：诊断包的内容应来自同一环境的同一时刻。
cli-hint-bundle = meshproof bundle verify 显示离线包的问题，meshproof bundle list 列出其内容
cli-bundle-image = 镜像 { $name }，来自 { $origin }
cli-bundle-image-not-there = 无法从 { $origin } 获取镜像 { $name }：{ $why }
cli-bundle-blob = 层 { $digest }，{ $size }
cli-bundle-blob-kept = 层 { $digest }，{ $size }：已存在
cli-bundle-broken = 层 { $digest } 在 { $at } 处中断，继续下载：{ $why }
cli-bundle-file = 文件 { $path }
cli-bundle-made = 已生成：{ $path }
cli-bundle-signed = 已签名：{ $path }
cli-bundle-key = 密钥 ID 为 { $id }
cli-bundle-column-image = 镜像或文件
cli-bundle-column-size = 大小
cli-bundle-column-unique = 独占
cli-bundle-column-digest = 摘要
cli-bundle-total = { $dir } 共 { $size }
cli-bundle-problem = 问题：{ $problem }
cli-bundle-good = { $path } 完整无误（已读取 { $size }）
cli-bundle-bad = { $path } 不可信：{ $count } 个问题
cli-bundle-signed-by = 由密钥 { $id } 签名
cli-bundle-unsigned = 未签名
cli-bundle-bake-node = 将节点镜像导入容器引擎，名为 { $image }
cli-bundle-bake-images = 将 { $count } 个镜像导入该节点镜像的容器
cli-bundle-bake-commit = 将容器提交为镜像
cli-bundle-bake-tag = { $image } 另取名为 { $name }
cli-bundle-bad-tag = --tag { $name } 不是镜像名称；应形如 registry.example.com/node:v1.33.4，且不带摘要
cli-bundle-baked =
    已制作：{ $image }
    使用方式：meshproof run --bundle { $bundle } --set cluster.preloaded=true
cli-bundle-baked-before =
    此前已制作：{ $image }
    使用方式：meshproof run --bundle { $bundle } --set cluster.preloaded=true
cli-bundle-serving = 正在 { $url } 上提供服务
cli-lint-unknown-file = { $file } 既不是 .toml 文件也不是 .conf 文件，无法判断其用途
cli-lint-nothing = 未发现问题
cli-explain-says = 原文：{ $value }
cli-guide-coverage = { $sentences } 个句子：{ $checked } 个有结论判定，{ $reasoned } 个说明了不判定的原因，{ $waiting } 个等待尚未实现的结论（{ $planned } 个）；结论：{ $documented } 个判定句子，{ $hardening } 个超出指南范围
