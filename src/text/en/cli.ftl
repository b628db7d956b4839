### What the command line says.

cli-error = error: { $chain }
cli-hint = hint: { $hint }
cli-warning = warning: { $text }
cli-hint-recorded-spec = The recorded spec is of another version of meshproof; name the spec with --spec.
cli-bad-timeout-scale = --timeout-scale must be between 0.01 and 100
cli-unknown-backend = MESHPROOF_BACKEND is `{ $backend }`; there are auto, kind, embedded and existing
cli-no-context = --backend existing needs the context of the cluster by name: --context NAME, or MESHPROOF_CONTEXT
    .hint = The current context is not taken, so that nobody looks at the wrong cluster unawares. { $contexts }
cli-context-without-existing = --context is only for --backend existing
cli-hint-no-downgrade = CI is set, so auto does not fall back to a simulated cluster. Start Docker, or say --backend embedded if a simulated cluster is what you want.
cli-downgrade =
    ==========================================================================
      SIMULATED: no container engine answers, so the cluster is not a real one
    ==========================================================================
    {"  "}{ $error }
      It behaves like one for kubectl and for these checks, and proves nothing
      about a real installation. With Docker: meshproof run --backend kind
    ==========================================================================
cli-status-agent = agent: process { $pid } { $life }, { $idle }; log: { $log }
cli-status-recorders = recorders: container { $container }
cli-agent-idle = ends after { $idle } without a request
cli-agent-stays = ends with the environment
cli-status-no-agent = agent: it has ended, and the simulated cluster with it; meshproof up makes it anew
cli-agent-alive = runs
cli-agent-dead = is gone
cli-no-junit = only run, up and verify have a JUnit report
cli-nothing-to-remove = There is nothing to remove: no environment was made in { $dir }
cli-down-interrupted = Interrupted; meshproof down removes the rest.
cli-removed = removed: { $what }
cli-remains = remains: { $what }
cli-interrupted-early = Interrupted before anything was done.
cli-interrupted-cluster = Interrupted. The cluster { $cluster } may exist, whole or in part; meshproof up goes on, meshproof down removes it. State: { $dir }
cli-interrupted-existing = Interrupted. Nothing was changed in the cluster { $cluster }; only { $dir } remains, which meshproof down removes.
cli-interrupted-nothing = Interrupted. No cluster was made; only { $dir } remains, which meshproof down removes.
cli-plan-file = write { $path }:
cli-plan-file-on-nodes = write { $path } on every node:
cli-explain-kind = kind:         { $value }
cli-explain-guide = guide:        { $value }
cli-explain-needs = needs:        { $value }
cli-explain-capabilities = capabilities: { $value }
cli-explain-hint = hint:         { $value }
cli-explain-outcomes = outcomes:     { $value }
cli-unknown-id = there is no stage and no outcome `{ $id }`
cli-did-you-mean = did you mean `{ $id }`? `meshproof list outcomes` and `meshproof list stages` show them all
cli-no-choice = only { $commands } take { $option }
hint-nearest = did you mean `{ $name }`?
hint-nearest-outcome = did you mean `{ $id }`? `meshproof list outcomes` shows them all
hint-selects-nothing = Each part selects something, but nothing is in all of them; try the parts with `meshproof list outcomes --select`.
hint-nothing-left = It selects none of what is to be judged again; leave out --select, or --rerun-failed.
hint-never-judged = meshproof run judges an environment, and meshproof verify the one that is there; then there is something to judge again.
warning-nothing-failed = --rerun-failed: nothing was left to judge again by run { $run }, so everything is judged
fixture-no-agent = the simulated cluster needs a process of its own, and which test runs here cannot be told, so that none can be started
fixture-no-agent-hint = Set MESHPROOF_BIN to a meshproof program; or run the tests with more than one thread; or meshproof up beforehand.
cli-status-none = No environment: nothing was made in { $dir }
cli-status-session = session { $session }: { $phase }, backend { $backend }, cluster { $cluster }, { $age } old, in { $dir }
cli-status-worker = process { $pid } (meshproof { $command }) works on it
cli-status-left = ends by meshproof down, or after { $left } without being used
cli-status-for-ever = ends by meshproof down
cli-status-all = { $session }  { $phase }  { $backend }  { $left }  { $dir }
cli-status-all-none = No environment of yours is known on this machine.
cli-down-all = { $dir }:
cli-down-all-in-use = { $dir }: left alone, since somebody works on it or uses it
cli-down-all-failed = { $dir }: { $error }
cli-reaped = { $dir } was { $was }, and nobody can miss it: { $what }
cli-not-reaped = { $dir } is { $was } and could not be removed: { $error }
cli-status-node = node { $node }: { $state }
cli-status-journal = last journal: { $journal }
cli-collected = bundle: { $index }
cli-collected-without = left out or cut: { $count }; the index names each with its reason
cli-collect-interrupted = Interrupted; what is in { $dir } is not whole and has no index.
cli-hint-collect-out = Name a directory that is empty or does not exist: what is in a bundle should come from one environment at one time.
cli-hint-bundle = meshproof bundle verify shows what is wrong with a bundle, and meshproof bundle list what it holds
cli-bundle-image = image { $name } from { $origin }
cli-bundle-image-not-there = image { $name } is not to be had from { $origin }: { $why }
cli-bundle-blob = layer { $digest }, { $size }
cli-bundle-blob-kept = layer { $digest }, { $size }: already there
cli-bundle-broken = layer { $digest } broke off at { $at } and goes on: { $why }
cli-bundle-file = file { $path }
cli-bundle-made = made: { $path }
cli-bundle-signed = signed: { $path }
cli-bundle-key = the key's id is { $id }
cli-bundle-column-image = image or file
cli-bundle-column-size = size
cli-bundle-column-unique = only here
cli-bundle-column-digest = digest
cli-bundle-total = { $size } in { $dir }
cli-bundle-problem = wrong: { $problem }
cli-bundle-good = { $path } is whole and true ({ $size } read)
cli-bundle-bad = { $path } is not to be trusted: { $count } problems
cli-bundle-signed-by = signed by the key { $id }
cli-bundle-unsigned = not signed
cli-bundle-bake-node = the node image becomes { $image } in the engine
cli-bundle-bake-images = { $count } images go into a container of it
cli-bundle-bake-commit = the container becomes an image
cli-bundle-bake-tag = { $image } gets the name { $name } as well
cli-bundle-bad-tag = --tag { $name } is no name for an image; it is like registry.example.com/node:v1.33.4, without a digest
cli-bundle-baked =
    baked: { $image }
    use it: meshproof run --bundle { $bundle } --set cluster.preloaded=true
cli-bundle-baked-before =
    baked before: { $image }
    use it: meshproof run --bundle { $bundle } --set cluster.preloaded=true
cli-bundle-serving = serving on { $url }
cli-lint-unknown-file = { $file } is neither a .toml nor a .conf file, so nobody knows what it is to be
cli-lint-nothing = nothing is wrong
cli-explain-says = says:         { $value }
cli-guide-coverage = { $sentences } sentences: { $checked } are judged, { $reasoned } say why not, { $waiting } wait for outcomes that are not implemented ({ $planned }); outcomes: { $documented } judge a sentence, { $hardening } go beyond the guide
