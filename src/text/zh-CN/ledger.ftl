### 预期失败清单。

cli-ledger = 预期失败清单：{ $path }，共 { $count } 条，其中 { $applying } 条适用于本次运行
report-ledger = 预期失败
report-ledger-failed = { $id }：如预期失败，有效期至 { $expires }（负责人：{ $owner }）：{ $reason }
report-ledger-passed = { $id }：预期失败，但已通过；请删除该条目（负责人：{ $owner }，有效期至 { $expires }）：{ $reason }
report-ledger-expired = { $id }：条目已过期；请续期或删除（负责人：{ $owner }，有效期至 { $expires }）：{ $reason }
report-ledger-unseen = { $id }：预期失败，本次未能确认（负责人：{ $owner }，有效期至 { $expires }）：{ $reason }
report-expected-failure = 预期失败
report-unexpected-pass = 意外通过
report-counts-expected = ，预期失败 { $count }
report-counts-unexpected = ，意外通过 { $count }
report-progress-expected = 预期失败，有效期至 { $expires }：{ $id }（负责人：{ $owner }）：{ $reason }
