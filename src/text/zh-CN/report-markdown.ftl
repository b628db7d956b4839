### report-markdown

report-markdown-verdict-line = meshproof { $command }：{ $exit }
report-markdown-run = **保真度：{ $fidelity }** · 后端 { $backend } · { $time } · meshproof { $version } · 运行 { $run }
report-markdown-passed = 通过
report-markdown-failed = 失败
report-markdown-blocked = 受阻
report-markdown-skipped = 跳过
report-markdown-unsupported = 不支持
report-markdown-not-judged = 未判定
report-markdown-not-selected = 未选择
report-markdown-stage = 阶段
report-markdown-title = 内容
report-markdown-result = 结果
report-markdown-time = 耗时
report-markdown-left-out = 未检查
report-markdown-verdict = 判定
report-markdown-reason = 原因
report-markdown-count = 数量
report-markdown-outcomes = 结论
report-markdown-facts = 环境信息
report-markdown-fact = 名称
report-markdown-value = 值
report-markdown-more = … 还有 { $count } 项未在此列出；完整内容见 JSON 报告
report-markdown-more-diagnoses = … 还有 { $count } 条诊断
