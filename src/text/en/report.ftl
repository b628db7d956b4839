### report

report-header = meshproof { $version } { $command } · backend { $backend } · fidelity: { $fidelity } · run { $run }
report-empty = The journal has no first record: nothing is known about this run.
report-simulated = SIMULATED: there was no real cluster; the verdicts hold for a simulation only.
report-fidelity-real = real
report-fidelity-simulated = simulated
report-fidelity-unknown = unknown
report-seconds = { $seconds } s
report-milliseconds = { $milliseconds } ms

report-recorded = Recorded
report-recorded-requests = { $mirror } requests to the mirror ({ $errors } with an error, { $mib } MiB sent), { $proxy } to the proxy
report-stand-ins = Stand-ins
report-stand-in = { $component }: stand-in ({ $image })
report-warnings = Warnings
report-stages = Stages
report-outcomes = Outcomes
report-first-failure = First failure
report-other-failures = Other failures
report-interrupted = Interrupted

report-stage-pending = not started
report-stage-running = in progress
report-stage-already = already true
report-stage-provisioned = provisioned
report-stage-not-needed = not needed
report-stage-failed = failed
report-blocked-by = blocked by { $by }

report-passed = passed
report-failed = failed
report-failed-not-gating = failed, does not gate
report-skipped = skipped: { $reason }
report-unsupported = unsupported: { $capability }
report-not-judged = not judged
report-outcome-running = being judged

report-failure-stage = stage { $id }: { $title }
report-failure-outcome = { $id }: { $title }
report-reason = reason:
report-because = because:
report-last-status = last status:
report-evidence = evidence:
report-evidence-more = … { $count } more lines; the JSON report has them all
report-diagnosis = diagnosis { $rule }:
report-diagnosis-certain = diagnosis { $rule }, certain:
report-diagnosis-possible = diagnosis { $rule }, possible:
report-seen = seen:
report-remedy = remedy:
report-hint = hint:
report-guide = guide { $section }:
report-blocked-outcomes = blocked by { $by }, outcomes: { $count }

report-interrupted-stage = stage { $id } was in progress for { $time }
report-interrupted-outcome = outcome { $id } was being judged for { $time }
report-interrupted-idle = nothing was in progress when the journal ended

report-missing = missing capabilities (unsupported outcomes): { $capabilities }
report-stage-counts = { $ready } of { $all } stages ready
report-counts = { $passed } passed, { $failed } failed, { $blocked } blocked, { $skipped } skipped, { $unsupported } unsupported
report-counts-not-judged = , { $count } not judged
report-counts-not-selected = , { $count } not selected
report-strict = strict: skipped and unsupported outcomes gate: { $count }
report-not-gating = failed outcomes of kind defect, which do not gate: { $count }
report-progress-fault = fault { $fault }: injected
report-progress-fault-reverted = fault { $fault }: reverted
report-progress-fault-stays = fault { $fault }: could not be reverted: { $error }
report-collected = bundle: { $dir } ({ $files } files, { $size } MiB; left out or cut: { $leftOut })
report-exit = exit { $code }
report-exit-none = interrupted
report-last-line = { $verdicts } · fidelity: { $fidelity } · { $time } · { $exit }

report-progress-run = { $command } on { $backend }, fidelity: { $fidelity }, run { $run }
report-progress-stage-started = stage { $id }: started
report-progress-stage-status = stage { $id }: { $status }
report-progress-stage-finished = stage { $id }: { $result } ({ $time })
report-progress-stage-failed = stage { $id }: failed after { $time }: { $error }
report-progress-warning = warning: { $message }
report-progress-stand-in = stand-in: { $component } ({ $image })
report-progress-outcome = { $verdict } { $id } ({ $time })
report-progress-outcome-why = { $verdict } { $id }: { $reason }
report-progress-command-started = command { $argv }
report-progress-command-finished = command { $program } ended with { $code } after { $time }
report-progress-signal = a signal
report-progress-finished = finished in { $time }, exit { $code }
report-blocked = blocked
report-unsupported-word = unsupported
report-skipped-word = skipped

report-live-outcomes = outcomes { $judged }/{ $all }, { $failed } failed
report-live-pending = { $count } more stages
report-live-typical = { $time } (typically { $typical })
