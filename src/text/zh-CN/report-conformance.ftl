### report-conformance

report-conformance-core = 指南所述内容
report-conformance-extended = 指南之外的加固内容
report-conformance-success = { $part }：全部通过（通过 { $passed }，无判定 { $skipped }，失败 { $failed }）。
report-conformance-partial = { $part }：没有失败，但未全部判定（通过 { $passed }，无判定 { $skipped }，失败 { $failed }）。
report-conformance-failure = { $part }：失败（通过 { $passed }，无判定 { $skipped }，失败 { $failed }）。
