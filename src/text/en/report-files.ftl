### Reports from journals and into files.

report-files-no-run = no run in { $dir } has provisioned or judged anything
report-files-unknown = there is no run and no file `{ $name }`
report-files-no-journal = the directory { $dir } has no journal.jsonl
report-files-not-a-journal = `{ $name }` is no journal of meshproof
report-files-stdin = cannot read standard input
report-files-hint-runs = There are these runs, newest first: { $runs }
report-files-hint-none = There are no runs in { $dir }; --state-dir names another place, and a journal can be named by its file.
report-files-hint-junit = meshproof report --as junit --out FILE
report-files-summary-full = warning: the job summary { $path } is full; nothing was added to it
report-files-summary-failed = warning: cannot add to the job summary { $path }: { $error }
