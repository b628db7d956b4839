### report-conformance

report-conformance-core = What the guide documents
report-conformance-extended = What goes beyond it
report-conformance-success = { $part }: all passed ({ $passed } passed, { $skipped } without a verdict, { $failed } failed).
report-conformance-partial = { $part }: nothing failed, but not all was judged ({ $passed } passed, { $skipped } without a verdict, { $failed } failed).
report-conformance-failure = { $part }: failed ({ $passed } passed, { $skipped } without a verdict, { $failed } failed).
