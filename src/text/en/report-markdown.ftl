### report-markdown

report-markdown-verdict-line = meshproof { $command }: { $exit }
report-markdown-run = **fidelity: { $fidelity }** · backend { $backend } · { $time } · meshproof { $version } · run { $run }
report-markdown-passed = passed
report-markdown-failed = failed
report-markdown-blocked = blocked
report-markdown-skipped = skipped
report-markdown-unsupported = unsupported
report-markdown-not-judged = not judged
report-markdown-not-selected = not selected
report-markdown-stage = stage
report-markdown-title = what it makes true
report-markdown-result = result
report-markdown-time = time
report-markdown-left-out = Not looked at
report-markdown-verdict = verdict
report-markdown-reason = reason
report-markdown-count = count
report-markdown-outcomes = outcomes
report-markdown-facts = Facts
report-markdown-fact = fact
report-markdown-value = value
report-markdown-more = … and { $count } more, left out here; the JSON report has them all
report-markdown-more-diagnoses = … and { $count } more diagnoses
