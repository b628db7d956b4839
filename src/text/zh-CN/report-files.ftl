### Reports from journals and into files.

report-files-no-run = { $dir } 中没有任何运行部署或判定过内容
report-files-unknown = 没有名为 `{ $name }` 的运行或文件
report-files-no-journal = 目录 { $dir } 中没有 journal.jsonl
report-files-not-a-journal = `{ $name }` 不是 meshproof 的日志记录
report-files-stdin = 无法读取标准输入
report-files-hint-runs = 现有的运行（从新到旧）：{ $runs }
report-files-hint-none = { $dir } 中没有运行记录；可用 --state-dir 指定其他位置，或直接指定日志记录文件。
report-files-hint-junit = meshproof report --as junit --out FILE
report-files-summary-full = 警告：作业摘要 { $path } 已满，未添加任何内容
report-files-summary-failed = 警告：无法写入作业摘要 { $path }：{ $error }
