//! `plan`: everything that `up` would do.

use std::fmt::Write as _;

use serde_json::json;

use super::{Failure, Format, Global, print, print_json, select};
use crate::cluster::Provider;
use crate::journal::Redactor;
use crate::spec::{Spec, advisories};
use crate::stages::{Plan, PlanStep};
use crate::text;

pub(super) async fn plan(global: &Global) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let spec = select::spec(global)?;
    let session = select::session(global)?;
    let dir = session.dir().display().to_string();
    let provider = select::provider(global, session.load()?.as_ref()).await?;
    if global.format == Format::Json {
        let stages: Vec<_> = global
            .registry
            .plan()
            .stages()
            .iter()
            .map(|s| json!({"id": s.id, "title": s.info().title, "needs": s.needs, "steps": s.plan(&spec, provider.as_ref())}))
            .collect();
        let mut plan = json!({"state": dir, "spec": spec, "stages": stages});
        Redactor::default().json(&mut plan);
        print_json(&plan)?;
    } else {
        print(&render(global.registry.plan(), &spec, provider.as_ref()).replace("{state}", &dir))?;
    }
    Ok(0)
}

/// A plan as text, with `{state}` for the state directory.
pub(super) fn render(plan: &Plan, spec: &Spec, provider: &dyn Provider) -> String {
    let mut out = String::new();
    for advisory in advisories(spec) {
        let _ = writeln!(out, "{}", text::current().with("cli-warning", &[("text", &crate::harness::advice(&advisory))]));
    }
    for stage in plan.stages() {
        let needs = if stage.needs.is_empty() { String::new() } else { format!("  <- {}", stage.needs.join(", ")) };
        let _ = writeln!(out, "{}: {}{needs}", stage.id, stage.info().title);
        for step in stage.plan(spec, provider) {
            match step {
                PlanStep::Note { text } => {
                    let _ = writeln!(out, "    {text}");
                }
                PlanStep::Command { argv } => {
                    let _ = writeln!(out, "    $ {}", argv.join(" "));
                }
                PlanStep::File { path, on_nodes, content } => {
                    let key = if on_nodes { "cli-plan-file-on-nodes" } else { "cli-plan-file" };
                    let _ = writeln!(out, "    {}", text::current().with(key, &[("path", &path)]));
                    for line in content.lines() {
                        let _ = writeln!(out, "    | {line}");
                    }
                }
            }
        }
        out.push('\n');
    }
    // A proxy's URL may hold a password.
    Redactor::default().text(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kind::Kind;
    use crate::spec::{Request, load};

    fn with(sets: &[&str]) -> String {
        let sets = sets.iter().map(|s| (*s).to_owned()).collect();
        let kind = Kind::new(crate::engine::endpoint::find(|_| None));
        let plan = render(crate::registry::Registry::builtin().plan(), &load(&Request { sets, ..Request::default() }).unwrap(), &kind);
        // Downloads are for the machine that runs the test.
        let os = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        plan.replace(&format!("{os}-{arch}"), "OS-ARCH")
            .replace(&format!("{os}/{arch}"), "OS/ARCH")
            .replace(&format!("osx-{arch}"), "OS-ARCH")
    }

    fn snapshots() -> insta::internals::SettingsBindDropGuard {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind_to_scope()
    }

    #[test]
    fn the_plan_of_the_guide() {
        let _bound = snapshots();
        insta::assert_snapshot!("plan-guide", with(&[]));
    }

    #[test]
    fn the_plan_with_mirrors_and_a_proxy() {
        let _bound = snapshots();
        let plan = with(&[
            "proxy.enabled=true",
            "proxy.http=http://user:p%40ss@172.17.0.1:7890",
            "mirrors.docker.io={server: \"http://mirror:5000\", hosts: [{url: \"http://mirror:5000\", skipVerify: true}]}",
            "mirrors.\"localhost:5001\"={hosts: [{url: \"http://mirror:5000/v2/x\", overridePath: true}]}",
            "cluster.workers=2",
            "cluster.controlPlanes=3",
        ]);
        insta::assert_snapshot!("plan-mirrors-and-proxy", plan);
    }
}
