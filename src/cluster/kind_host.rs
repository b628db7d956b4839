//! Whether the engine's machine can carry a kind cluster of the spec.

use crate::engine::Engine;
use crate::journal::Event;
use crate::spec::{Version, catalog};
use crate::stages::{Context, StageError};
use crate::text;

const MIB: u64 = 1024 * 1024;

/// Refuses a machine on which the spec cannot work, and warns of one on which it may not.
pub(super) async fn check(engine: &Engine, context: &Context) -> Result<(), StageError> {
    let machine = engine.machine().await?;
    let fact = |name: &str, value: String| context.journal.write(Event::Fact { name: name.to_owned(), value });
    fact("engine", machine.version.clone());
    fact("kernel", machine.kernel.clone());
    fact("cgroup", format!("v{}", machine.cgroup));
    fact("memory", format!("{} MiB", machine.memory / MIB));
    fact("cpus", machine.cpus.to_string());
    let warn = |key: &str, args: &[(&str, &str)]| context.journal.write(Event::Warning { message: text::current().with(key, args) });

    let spec = &context.spec;
    if machine.cgroup == 1 && spec.cluster.kubernetes.parse::<Version>().is_ok_and(|v| catalog::needs_cgroup_v2(&v)) {
        return Err(StageError::refused("cgroup-v1", [("kubernetes", spec.cluster.kubernetes.clone())]));
    }
    let nodes = spec.cluster.control_planes + spec.cluster.workers;
    // Every kind node shows the whole machine's memory to the scheduler, so one node's share decides whether istiod fits at all.
    let (least, all) = (catalog::istio_memory_mib(1), catalog::istio_memory_mib(nodes));
    let has = machine.memory / MIB;
    if has < least {
        return Err(StageError::refused("memory", [("has", has.to_string()), ("needs", least.to_string())]));
    }
    if has < all {
        warn("warning-memory", &[("has", &has.to_string()), ("needs", &all.to_string())]);
    }
    if engine.is_local() {
        inotify(warn)?;
    }
    Ok(())
}

fn inotify(warn: impl Fn(&str, &[(&str, &str)])) -> Result<(), StageError> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse::<u64>().ok();
    let limits = [
        ("max_user_watches", catalog::INOTIFY_MINIMUM.watches, catalog::INOTIFY_RECOMMENDED.watches),
        ("max_user_instances", catalog::INOTIFY_MINIMUM.instances, catalog::INOTIFY_RECOMMENDED.instances),
    ];
    for (name, minimum, recommended) in limits {
        let Some(has) = read(name) else { continue };
        let (has_text, recommended_text) = (has.to_string(), recommended.to_string());
        if has < minimum {
            return Err(StageError::refused("inotify", [("name", name.to_owned()), ("has", has_text), ("needs", recommended_text)]));
        }
        if has < recommended {
            warn("warning-inotify", &[("name", name), ("has", &has_text), ("needs", &recommended_text)]);
        }
    }
    Ok(())
}
