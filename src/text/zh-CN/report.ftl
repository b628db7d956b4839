### report

report-header = meshproof { $version } { $command } · 后端 { $backend } · 保真度：{ $fidelity } · 运行 { $run }
report-empty = 日志记录中没有首条记录：无法得知本次运行的任何情况。
report-simulated = 模拟：没有真实集群；判定仅对模拟有效。
report-fidelity-real = 真实
report-fidelity-simulated = 模拟
report-fidelity-unknown = 未知
report-seconds = { $seconds } s
report-milliseconds = { $milliseconds } ms

report-recorded = 请求记录
report-recorded-requests = 发往镜像源的请求 { $mirror } 个（出错 { $errors } 个，已发送 { $mib } MiB），发往代理的请求 { $proxy } 个
report-stand-ins = 替身
report-stand-in = { $component }：替身（{ $image }）
report-warnings = 警告
report-stages = 阶段
report-outcomes = 结论
report-first-failure = 首个失败
report-other-failures = 其他失败
report-interrupted = 中断

report-stage-pending = 未开始
report-stage-running = 进行中
report-stage-already = 已满足
report-stage-provisioned = 已完成
report-stage-not-needed = 不需要
report-stage-failed = 失败
report-blocked-by = 受阻于 { $by }

report-passed = 通过
report-failed = 失败
report-failed-not-gating = 失败，不影响退出码
report-skipped = 跳过：{ $reason }
report-unsupported = 不支持：{ $capability }
report-not-judged = 未判定
report-outcome-running = 判定中

report-failure-stage = 阶段 { $id }：{ $title }
report-failure-outcome = { $id }：{ $title }
report-reason = 原因：
report-because = 起因：
report-last-status = 最后状态：
report-evidence = 证据：
report-evidence-more = … 还有 { $count } 行；完整内容见 JSON 报告
report-diagnosis = 诊断 { $rule }：
report-diagnosis-certain = 诊断 { $rule }（确定）：
report-diagnosis-possible = 诊断 { $rule }（可能）：
report-seen = 依据：
report-remedy = 处理：
report-hint = 提示：
report-guide = 指南 { $section }：
report-blocked-outcomes = 受阻于 { $by } 的结论：{ $count }

report-interrupted-stage = 阶段 { $id } 已进行 { $time }
report-interrupted-outcome = 结论 { $id } 已判定 { $time }，尚未结束
report-interrupted-idle = 日志记录结束时，没有正在进行的工作

report-missing = 缺少的能力（不支持的结论数）：{ $capabilities }
report-stage-counts = 阶段就绪 { $ready }/{ $all }
report-counts = 通过 { $passed }，失败 { $failed }，受阻 { $blocked }，跳过 { $skipped }，不支持 { $unsupported }
report-counts-not-judged = ，未判定 { $count }
report-counts-not-selected = ，未选择 { $count }
report-strict = strict：跳过和不支持的结论影响退出码：{ $count }
report-not-gating = 失败但不影响退出码的文档缺陷类结论：{ $count }
report-progress-fault = 故障 { $fault }：已注入
report-progress-fault-reverted = 故障 { $fault }：已恢复
report-progress-fault-stays = 故障 { $fault }：无法恢复：{ $error }
report-collected = 诊断包：{ $dir }（{ $files } 个文件，{ $size } MiB；未收入或截断：{ $leftOut }）
report-exit = 退出码 { $code }
report-exit-none = 已中断
report-last-line = { $verdicts } · 保真度：{ $fidelity } · { $time } · { $exit }

report-progress-run = { $command }：后端 { $backend }，保真度：{ $fidelity }，运行 { $run }
report-progress-stage-started = 阶段 { $id }：开始
report-progress-stage-status = 阶段 { $id }：{ $status }
report-progress-stage-finished = 阶段 { $id }：{ $result }（{ $time }）
report-progress-stage-failed = 阶段 { $id }：失败，耗时 { $time }：{ $error }
report-progress-warning = 警告：{ $message }
report-progress-stand-in = 替身：{ $component }（{ $image }）
report-progress-outcome = { $verdict } { $id }（{ $time }）
report-progress-outcome-why = { $verdict } { $id }：{ $reason }
report-progress-command-started = 命令 { $argv }
report-progress-command-finished = 命令 { $program } 结束，退出码：{ $code }，耗时 { $time }
report-progress-signal = 无（被信号终止）
report-progress-finished = 结束，耗时 { $time }，退出码 { $code }
report-blocked = 受阻
report-unsupported-word = 不支持
report-skipped-word = 跳过

report-live-outcomes = 结论 { $judged }/{ $all }，失败 { $failed }
report-live-pending = 还有 { $count } 个阶段
report-live-typical = { $time }（通常 { $typical }）
