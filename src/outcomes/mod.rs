//! The documented claims, one file per chapter of the guide. An outcome judges; it never provisions.

mod choice;
mod clues;
mod cluster;
mod dashboard;
mod defects;
mod environment;
mod files;
mod gateway_api;
mod istio;
mod istioctl;
mod judge;
mod kubectl_proxy;
mod login;
mod look;
mod recordings;
mod rerun;
mod selection;
pub(crate) mod shown;
mod stable;
mod standin;
mod token;
mod words;

use std::sync::Arc;

pub use choice::{Choice, ChoiceError, Chosen, Skip, SkipError, SkipProblem};
pub use environment::{Environment, runtime_environment};
pub use judge::{Judged, block_all, judge, judge_all};
pub use look::{Check, Checked, Look, Stop};
pub use rerun::Rerun;
pub use selection::{Pattern, Selection, SelectionError, SelectionProblem};
pub use standin::stand_ins;
pub use token::request as request_token;
pub use words::failure;

use crate::cluster::Capability;
use crate::journal::{OutcomeInfo, OutcomeKind};
use crate::text;

/// Namespace of the Dashboard.
pub const DASHBOARD_NAMESPACE: &str = "kubernetes-dashboard";
/// Namespace of Istio.
pub const ISTIO_NAMESPACE: &str = "istio-system";
/// Annotation of a Gateway API CRD with the version of its bundle.
pub const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";
/// Annotation of a Gateway API CRD with its release channel.
pub const CHANNEL: &str = "gateway.networking.k8s.io/channel";

pub(crate) use gateway_api::crds as gateway_api_crds;
pub(crate) use istio::is_version;
pub(crate) use selection::is_dotted_prefix;
pub(crate) use standin::component as image_component;

pub(crate) use crate::stages::{ISTIO_INSTALL, ISTIO_VERSION_BEFORE};

/// Where the guide makes a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Section, for example `2.1.2`.
    pub section: &'static str,
    /// The guide's own sentence, command or output line.
    pub sentence: &'static str,
}

/// One checkable claim.
#[derive(Clone)]
pub struct Outcome {
    /// `chapter.subject.claim`.
    pub id: &'static str,
    /// Documented, hardening or defect.
    pub kind: OutcomeKind,
    /// Where the guide says it; `None` for hardening that goes beyond any sentence.
    pub anchor: Option<Anchor>,
    /// The defect of the guide that it shows, `D1` to `D17`; see [`crate::guide`].
    pub shows: Option<&'static str>,
    /// Stages without which it cannot be judged.
    pub needs: &'static [&'static str],
    /// What the environment must be able to do.
    pub capabilities: &'static [Capability],
    /// Outcomes of one group touch the same thing and are judged one after the other.
    pub group: Option<&'static str>,
    /// Its title and what to do when it fails, where it is none of the guide's own, whose words are texts.
    pub title: Option<&'static str>,
    /// See `title`.
    pub hint: Option<&'static str>,
    /// Why someone asked to leave it out; it is then not looked at.
    pub skip: Option<String>,
    /// The check.
    pub check: Arc<dyn Check>,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Outcome {
    /// A documented outcome.
    #[must_use]
    pub fn documented(id: &'static str, section: &'static str, sentence: &'static str, check: impl Check + 'static) -> Self {
        Self { kind: OutcomeKind::Documented, anchor: Some(Anchor { section, sentence }), ..Self::hardening(id, check) }
    }

    /// An outcome that goes beyond the guide; its section is the one that it hardens.
    #[must_use]
    pub fn hardening(id: &'static str, check: impl Check + 'static) -> Self {
        Self {
            id,
            kind: OutcomeKind::Hardening,
            anchor: None,
            shows: None,
            needs: &[],
            capabilities: &[],
            group: None,
            title: None,
            hint: None,
            skip: None,
            check: Arc::new(check),
        }
    }

    /// An outcome that shows what the guide's own text does. It never gates.
    #[must_use]
    pub fn defect(id: &'static str, section: &'static str, sentence: &'static str, check: impl Check + 'static) -> Self {
        Self { kind: OutcomeKind::Defect, ..Self::documented(id, section, sentence, check) }
    }

    /// Names the defect of the guide that it shows.
    #[must_use]
    pub fn shows(mut self, defect: &'static str) -> Self {
        self.shows = Some(defect);
        self
    }

    /// Names the stages that it needs.
    #[must_use]
    pub fn needs(mut self, stages: &'static [&'static str]) -> Self {
        self.needs = stages;
        self
    }

    /// Names the capabilities that it needs.
    #[must_use]
    pub fn with(mut self, capabilities: &'static [Capability]) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Names its group.
    #[must_use]
    pub fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// Gives it a title: the claim in one line.
    #[must_use]
    pub fn titled(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Says what to do when it fails, in one sentence.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Leaves it out for a reason that every report gives.
    #[must_use]
    pub fn skipped(mut self, reason: impl Into<String>) -> Self {
        self.skip = Some(reason.into());
        self
    }

    /// The first part of the id.
    #[must_use]
    pub fn chapter(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    /// What a journal says about it, in the process's language.
    #[must_use]
    pub fn info(&self) -> OutcomeInfo {
        let key = format!("outcome-{}", self.id);
        let texts = text::current();
        OutcomeInfo {
            id: self.id.to_owned(),
            title: self.title.map_or_else(|| texts.get(&key), str::to_owned),
            kind: self.kind,
            section: self.anchor.map(|a| a.section.to_owned()),
            sentence: self.anchor.map(|a| a.sentence.to_owned()),
            hint: self.hint.map(str::to_owned).or_else(|| texts.attribute(&key, "hint", &[])).unwrap_or_default(),
        }
    }
}

/// The chapters of the guide that outcomes are of, in its order.
const CHAPTERS: [&str; 5] = ["cluster", "dashboard", "istioctl", "istio", "gateway-api"];

/// Every outcome of the guide, in its order; within a chapter what shows defects comes last.
#[must_use]
pub fn builtin() -> Vec<Outcome> {
    let parts = [
        cluster::outcomes(),
        recordings::outcomes(),
        files::outcomes(),
        dashboard::outcomes(),
        kubectl_proxy::outcomes(),
        stable::outcomes(),
        istioctl::outcomes(),
        istio::outcomes(),
        gateway_api::outcomes(),
        defects::outcomes(),
    ];
    let mut all = parts.concat();
    let chapter = |outcome: &Outcome| CHAPTERS.iter().position(|c| *c == outcome.chapter());
    all.sort_by_key(|outcome| (chapter(outcome), outcome.kind == OutcomeKind::Defect));
    all
}

#[cfg(test)]
mod tests {
    mod cases;
    mod choice;
    mod cluster;
    mod dashboard;
    mod defects;
    mod edges;
    mod gateway_api;
    mod istio;
    mod judge;
    mod kubectl_proxy;
    mod login;
    mod recordings;
    mod selection;

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_outcome_has_an_id_of_three_parts_texts_and_known_stages() {
        let stages: BTreeSet<&str> = crate::stages::builtin().iter().map(|s| s.id).collect();
        let mut ids = BTreeSet::new();
        for outcome in builtin() {
            let id = outcome.id;
            assert_eq!(id.split('.').count(), 3, "{id}");
            assert!(ids.insert(id), "{id} twice");
            let info = outcome.info();
            assert!(!info.title.starts_with("outcome-"), "{id} has no title");
            assert!(!info.hint.is_empty(), "{id} has no hint");
            assert!(outcome.needs.iter().all(|n| stages.contains(n)), "{id} needs {:?}", outcome.needs);
            assert!(outcome.anchor.is_some() || outcome.kind == OutcomeKind::Hardening, "{id} has no anchor");
        }
        for stage in crate::stages::builtin() {
            assert!(!stage.info().title.starts_with("stage-"), "{} has no title", stage.id);
        }
        crate::stages::Plan::new(crate::stages::builtin()).unwrap();
    }
}
