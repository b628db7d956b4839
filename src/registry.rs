//! What there is to provision, to judge and to break: the guide's own, and whatever other crates add through the same types.
//!
//! Ids are stable. An outcome's has three parts, `chapter.subject.claim`, and a crate of its own takes a chapter of its own.

use std::collections::BTreeSet;

use crate::faults::{self, Fault};
use crate::outcomes::{self, Outcome};
use crate::stages::{self, Plan, PlanError, Stage};

/// Stages, outcomes and faults that fit together.
#[derive(Debug, Clone)]
pub struct Registry {
    plan: Plan,
    outcomes: Vec<Outcome>,
    faults: Vec<Fault>,
}

/// Why something cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Stages that do not make a plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An id that is not made of parts of lower-case letters, digits and dashes: one for a stage, two for a fault, three for an outcome.
    #[error("`{id}` is no id of {what}: it has {parts} of lower-case letters, digits and dashes")]
    Id {
        /// The id.
        id: String,
        /// What it would name.
        what: &'static str,
        /// How many parts it must have, in words.
        parts: &'static str,
    },
    /// Two of them have the same id.
    #[error("two {what}s are called `{id}`")]
    Duplicate {
        /// The id.
        id: String,
        /// What it names.
        what: &'static str,
    },
    /// Something refers to what is not there.
    #[error("`{id}` names the {what} `{name}`, which is not there")]
    Unknown {
        /// What refers.
        id: String,
        /// What it refers to.
        what: &'static str,
        /// By this name.
        name: String,
    },
    /// A fault that breaks no outcome proves nothing.
    #[error("the fault `{id}` names no outcome that it breaks")]
    Harmless {
        /// Its id.
        id: String,
    },
    /// An outcome or a stage without a title.
    #[error("`{id}` has no title")]
    Title {
        /// Its id.
        id: String,
    },
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Registry {
    /// The guide's stages and outcomes.
    ///
    /// # Panics
    /// Never: a test holds them to the rules.
    #[must_use]
    pub fn builtin() -> Self {
        let plan = Plan::new(stages::builtin()).expect("the stages of the guide make a plan");
        Self { plan, outcomes: outcomes::builtin(), faults: faults::builtin() }
    }

    /// Adds a stage after those that are there.
    ///
    /// # Errors
    /// When its id or what it needs does not fit.
    pub fn stage(mut self, stage: Stage) -> Result<Self, RegistryError> {
        named(stage.id, "a stage", 1)?;
        if stage.info().title.starts_with("stage-") {
            return Err(RegistryError::Title { id: stage.id.to_owned() });
        }
        self.plan = Plan::new(self.plan.stages().iter().cloned().chain([stage]).collect())?;
        Ok(self)
    }

    /// Adds an outcome.
    ///
    /// # Errors
    /// When its id is taken or no id, or it needs a stage that is not there.
    pub fn outcome(mut self, outcome: Outcome) -> Result<Self, RegistryError> {
        let id = outcome.id;
        named(id, "an outcome", 3)?;
        if self.outcomes.iter().any(|o| o.id == id) {
            return Err(RegistryError::Duplicate { id: id.to_owned(), what: "outcome" });
        }
        let stages: BTreeSet<&str> = self.plan.stages().iter().map(|s| s.id).collect();
        if let Some(need) = outcome.needs.iter().find(|n| !stages.contains(*n)) {
            return Err(RegistryError::Unknown { id: id.to_owned(), what: "stage", name: (*need).to_owned() });
        }
        if outcome.info().title.starts_with("outcome-") {
            return Err(RegistryError::Title { id: id.to_owned() });
        }
        self.outcomes.push(outcome);
        Ok(self)
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// When its id is taken or no id, or it breaks an outcome that is not there.
    pub fn fault(mut self, fault: Fault) -> Result<Self, RegistryError> {
        let id = fault.id;
        named(id, "a fault", 2)?;
        if self.faults.iter().any(|f| f.id == id) {
            return Err(RegistryError::Duplicate { id: id.to_owned(), what: "fault" });
        }
        if fault.breaks.is_empty() {
            return Err(RegistryError::Harmless { id: id.to_owned() });
        }
        if let Some(unknown) = fault.breaks.iter().find(|b| !self.outcomes.iter().any(|o| o.id == **b)) {
            return Err(RegistryError::Unknown { id: id.to_owned(), what: "outcome", name: (*unknown).to_owned() });
        }
        self.faults.push(fault);
        Ok(self)
    }

    /// The stages, in an order in which each comes after what it needs.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The outcomes, in the order of reports.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The faults.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

fn named(id: &str, what: &'static str, parts: usize) -> Result<(), RegistryError> {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_lowercase()) && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let words = ["", "one part", "two parts, with a dot between them,", "three parts, with dots between them,"][parts];
    let fits = id.split('.').count() == parts && id.split('.').all(part);
    if fits { Ok(()) } else { Err(RegistryError::Id { id: id.to_owned(), what, parts: words }) }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use serde_json::Value;

    use super::*;
    use crate::cluster::Provider;
    use crate::faults::{Inject, Injected};
    use crate::outcomes::{Checked, Environment, Look};
    use crate::spec::Spec;
    use crate::stages::{Action, Done, Found, PlanStep, StageContext, StageError};

    struct Nothing;

    impl Action for Nothing {
        fn look<'a>(&'a self, _: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
            Box::pin(std::future::ready(Ok(Found::True)))
        }

        fn make<'a>(&'a self, _: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
            Box::pin(std::future::ready(Ok(Done::Already)))
        }

        fn plan(&self, _: &Spec, _: &dyn Provider) -> Vec<PlanStep> {
            Vec::new()
        }
    }

    impl Inject for Nothing {
        fn inject<'a>(&'a self, _: &'a Environment, _: &'a Value) -> Injected<'a> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn revert<'a>(&'a self, _: &'a Environment, _: &'a Value) -> Injected<'a> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn holds<'a>(_: &'a Environment, _: &'a mut Look) -> Checked<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    #[test]
    fn what_another_crate_adds_stands_beside_the_guides_own() {
        let added = Registry::builtin()
            .stage(Stage::new("shop", Nothing).needs(&["istio"]).titled("The shop"))
            .and_then(|r| r.outcome(Outcome::hardening("shop.cart.answers", holds).needs(&["shop"]).titled("The cart answers")))
            .and_then(|r| r.fault(Fault::new("shop.cart-gone", Nothing).breaks(&["shop.cart.answers"])))
            .unwrap();
        assert_eq!(added.plan().stages().last().map(|s| s.info().title).as_deref(), Some("The shop"));
        assert_eq!(added.outcomes().last().map(|o| o.info().title).as_deref(), Some("The cart answers"));
        assert_eq!(added.outcomes().len(), outcomes::builtin().len() + 1);
        assert_eq!(added.faults().len(), Registry::builtin().faults().len() + 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let stage = |id, needs| Registry::builtin().stage(Stage::new(id, Nothing).needs(needs).titled("t")).unwrap_err().to_string();
        assert_eq!(stage("istio", &[]), "two stages are called `istio`");
        assert_eq!(stage("shop", &["shops"]), "stage `shop` needs `shops`, which is not before it");
        assert!(stage("Shop", &[]).contains("lower-case"));
        let outcome =
            |id, needs| Registry::builtin().outcome(Outcome::hardening(id, holds).needs(needs).titled("t")).unwrap_err().to_string();
        assert!(outcome("shop.answers", &[]).contains("three parts"));
        assert_eq!(outcome("cluster.kind.named", &[]), "two outcomes are called `cluster.kind.named`");
        assert_eq!(outcome("shop.cart.answers", &["shop"]), "`shop.cart.answers` names the stage `shop`, which is not there");
        let untitled = Registry::builtin().outcome(Outcome::hardening("shop.cart.answers", holds)).unwrap_err();
        assert_eq!(untitled.to_string(), "`shop.cart.answers` has no title");
        let fault = Registry::builtin().fault(Fault::new("shop.gone", Nothing).breaks(&["shop.cart.answers"])).unwrap_err();
        let harmless = Registry::builtin().fault(Fault::new("shop.gone", Nothing)).unwrap_err();
        assert_eq!(harmless.to_string(), "the fault `shop.gone` names no outcome that it breaks");
        assert_eq!(fault.to_string(), "`shop.gone` names the outcome `shop.cart.answers`, which is not there");
    }
}
