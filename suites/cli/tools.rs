//! Programs that say the version of the guide and do nothing else, so that a preflight needs no network.

use super::machine::{Machine, script};

/// Puts `docker`, which only has to be there for kind, `kubectl` and `istioctl` on the PATH.
pub(crate) fn without_kind(machine: &Machine) {
    script(&machine.path("bin/docker"), "#!/bin/sh\necho \"unexpected: $*\" >&2; exit 1\n");
    let kubectl = "#!/bin/sh\necho '{\"clientVersion\": {\"gitVersion\": \"v1.33.4\"}}'\n";
    script(&machine.path("bin/kubectl"), kubectl);
    script(&machine.path("bin/istioctl"), "#!/bin/sh\necho 'client version: 1.27.1'\n");
}

/// Puts a `kind` on the PATH as well, that begins to create a cluster and never ends, and deletes what is not there. It
/// leaves its process id in the file `kind.pid`.
pub(crate) fn with_endless_kind(machine: &Machine) {
    without_kind(machine);
    let pid = machine.path("kind.pid");
    let kind = format!(
        "#!/bin/sh\n\
         case \"$1\" in\n\
         version) echo 'kind v0.30.0 go1.24.6 linux/amd64' ;;\n\
         create) echo $$ > '{}'; echo ' • Preparing nodes 📦 📦   ...' >&2; exec /bin/sleep 600 ;;\n\
         delete) echo \"Deleting cluster \\\"$4\\\" ...\" >&2 ;;\n\
         *) echo \"unexpected: $*\" >&2; exit 1 ;;\n\
         esac\n",
        pid.display()
    );
    script(&machine.path("bin/kind"), &kind);
}
