### The ledger of expected failures.

cli-ledger = expected failures: { $path }, { $applying } of { $count } entries apply to this run
report-ledger = Expected failures
report-ledger-failed = { $id }: fails as expected, until { $expires } ({ $owner }): { $reason }
report-ledger-passed = { $id }: passed, although it is expected to fail; remove its entry ({ $owner }, until { $expires }): { $reason }
report-ledger-expired = { $id }: its entry has expired; renew it or remove it ({ $owner }, until { $expires }): { $reason }
report-ledger-unseen = { $id }: is expected to fail, and was not seen to ({ $owner }, until { $expires }): { $reason }
report-expected-failure = expected failure
report-unexpected-pass = unexpected pass
report-counts-expected = , { $count } failed as expected
report-counts-unexpected = , { $count } passed unexpectedly
report-progress-expected = expected to fail until { $expires }: { $id } ({ $owner }): { $reason }
