//! Faults that change objects of the API server. They need no access to nodes, so each is one on every backend whose cluster is the session's
//! own.

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::{Inject, Injected};
use crate::outcomes::{Environment, Stop};
use crate::wait::{Limit, Progress, Watched};

/// An object by what everybody calls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Group, empty for the core one, and version.
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    /// Empty where the kind has none.
    pub(super) namespace: &'static str,
    /// `{cluster}` and `{user}` stand for names of the spec.
    pub(super) name: &'static str,
}

impl Target {
    fn api(self, environment: &Environment) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, self.plural);
        let client = environment.cluster.client.clone();
        if self.namespace.is_empty() { Api::all_with(client, &resource) } else { Api::namespaced_with(client, self.namespace, &resource) }
    }

    fn named(self, environment: &Environment) -> String {
        let spec = &environment.spec;
        self.name.replace("{cluster}", &spec.cluster.name).replace("{user}", &spec.dashboard.admin_user)
    }

    fn text(self, environment: &Environment) -> String {
        format!("{} {}", self.kind, self.named(environment))
    }

    async fn read(self, environment: &Environment) -> Result<Option<DynamicObject>, Stop> {
        self.api(environment).get_opt(&self.named(environment)).await.map_err(Stop::kube(format!("read {}", self.text(environment))))
    }

    /// Waits until whoever looks after the object has done what it asks for.
    pub(super) async fn is_whole(self, environment: &Environment) -> Result<(), Stop> {
        self.becomes(environment, "is whole", |object| settled(self.kind, object)).await
    }

    /// Waits until the object, or that there is none, is as it should be, and none of its pods is on its way out.
    async fn becomes(
        self,
        environment: &Environment,
        what: &str,
        is: impl Fn(Option<&DynamicObject>) -> Result<(), String>,
    ) -> Result<(), Stop> {
        let selector = self.read(environment).await?.as_ref().and_then(selector);
        let mut waiter = environment.waiting.waiter();
        let name = ListParams::default().fields(&format!("metadata.name={}", self.named(environment)));
        let seen = waiter.watch(self.api(environment), &name);
        let pods = selector.map(|labels| {
            let api = Api::<Pod>::namespaced(environment.cluster.client.clone(), self.namespace);
            waiter.watch(api, &ListParams::default().labels(&labels))
        });
        let condition = || {
            let leaving = pods.iter().flat_map(Watched::items).find(|pod| pod.metadata.deletion_timestamp.is_some());
            match (is(seen.items().first().map(AsRef::as_ref)), leaving) {
                (Err(status), _) => Progress::NotYet(status),
                (Ok(()), Some(pod)) => Progress::NotYet(format!("pod {} is still there", pod.name_any())),
                (Ok(()), None) => Progress::Ready(()),
            }
        };
        Ok(waiter.until(&format!("{} {what}", self.text(environment)), Limit::Dashboard, condition).await?)
    }
}

/// The labels of the pods that an object looks after, if it does.
fn selector(object: &DynamicObject) -> Option<String> {
    let labels = object.data.pointer("/spec/selector/matchLabels")?.as_object()?;
    let labels: Vec<String> = labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    (!labels.is_empty()).then(|| labels.join(","))
}

/// An object as it was kept; none where nothing was.
fn object(kept: &Value) -> Result<Option<DynamicObject>, Stop> {
    serde_json::from_value(kept.clone()).map_err(|e| Stop::Failed(format!("what was kept of an object cannot be read: {e}")))
}

impl Target {
    /// The object as it is, which must be there.
    async fn keep(self, environment: &Environment) -> Result<Value, Stop> {
        let found = self.read(environment).await?;
        let found = found.ok_or_else(|| Stop::Failed(format!("there is no {}", self.text(environment))))?;
        serde_json::to_value(&found).map_err(|e| Stop::Failed(format!("{} cannot be kept: {e}", self.text(environment))))
    }
}

/// An object is removed, and made again.
#[derive(Debug)]
pub(super) struct Removed(pub(super) Target);

impl Inject for Removed {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        self.0.keep(environment).boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let target = self.0;
            let deleted = target.api(environment).delete(&target.named(environment), &DeleteParams::default()).await;
            deleted.map_err(Stop::kube(format!("delete {}", target.text(environment))))?;
            target.becomes(environment, "is gone", |object| object.map_or(Ok(()), |_| Err("it is still there".to_owned()))).await
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move {
            let target = self.0;
            let Some(mut object) = object(kept)? else { return Ok(()) };
            // What the API server fills in by itself.
            let meta = &mut object.metadata;
            (meta.uid, meta.resource_version, meta.creation_timestamp, meta.generation, meta.managed_fields) =
                (None, None, None, None, None);
            if let Some(fields) = object.data.as_object_mut() {
                fields.remove("status");
            }
            match target.api(environment).create(&PostParams::default(), &object).await {
                Ok(_) => {}
                // Whoever looks after it was faster, or it was never removed.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(e) => return Err(Stop::kube(format!("create {}", target.text(environment)))(e)),
            }
            target.becomes(environment, "is there again", |object| settled(target.kind, object)).await
        }
        .boxed()
    }
}

/// An object is changed, and changed back.
#[derive(Debug)]
pub(super) struct Changed {
    target: Target,
    /// A JSON merge patch (RFC 7386).
    patch: fn() -> Value,
}

impl Changed {
    pub(super) fn new(target: Target, patch: fn() -> Value) -> Self {
        Self { target, patch }
    }

    async fn apply(&self, environment: &Environment, patch: &Value) -> Result<(), Stop> {
        let target = self.target;
        let name = target.named(environment);
        let patched = target.api(environment).patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        let generation = patched.map_err(Stop::kube(format!("patch {}", target.text(environment))))?.metadata.generation;
        let followed = move |object: Option<&DynamicObject>| {
            // A list may come from a cache that has not heard of the change.
            if object.is_some_and(|object| object.metadata.generation < generation) {
                return Err("the change is not seen yet".to_owned());
            }
            settled(target.kind, object)
        };
        target.becomes(environment, "has followed", followed).await
    }
}

impl Inject for Changed {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        self.target.keep(environment).boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move { self.apply(environment, &(self.patch)()).await }.boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move { self.apply(environment, &inverse(&(self.patch)(), kept)).await }.boxed()
    }
}

/// An object is there that should not be.
#[derive(Debug)]
pub(super) struct Added {
    target: Target,
    /// What it is. `{user}` stands for the admin user's name.
    object: fn() -> Value,
}

impl Added {
    pub(super) fn new(target: Target, object: fn() -> Value) -> Self {
        Self { target, object }
    }
}

impl Inject for Added {
    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let target = self.target;
            let text = (self.object)().to_string().replace("{user}", &environment.spec.dashboard.admin_user);
            let object: DynamicObject = serde_json::from_str(&text).map_err(|e| Stop::Failed(format!("{}: {e}", target.kind)))?;
            let created = target.api(environment).create(&PostParams::default(), &object).await;
            created.map_err(Stop::kube(format!("create {}", target.text(environment))))?;
            Ok(())
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let target = self.target;
            match target.api(environment).delete(&target.named(environment), &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(e) => return Err(Stop::kube(format!("delete {}", target.text(environment)))(e)),
            }
            target.becomes(environment, "is gone", |object| object.map_or(Ok(()), |_| Err("it is still there".to_owned()))).await
        }
        .boxed()
    }
}

/// The first container of a workload is another one.
#[derive(Debug)]
pub(super) struct OtherContainer {
    pub(super) target: Target,
    pub(super) change: fn(&mut Value),
}

impl OtherContainer {
    async fn set(&self, environment: &Environment, containers: Value) -> Result<(), Stop> {
        // A merge patch replaces a list as a whole.
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        Changed::new(self.target, || Value::Null).apply(environment, &patch).await
    }
}

fn containers(kept: &Value) -> Value {
    kept.pointer("/spec/template/spec/containers").cloned().unwrap_or_default()
}

impl Inject for OtherContainer {
    fn keep<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<Value, Stop>> {
        self.target.keep(environment).boxed()
    }

    fn inject<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move {
            let mut containers = containers(kept);
            match containers.get_mut(0) {
                Some(container) => (self.change)(container),
                None => return Err(Stop::Failed(format!("{} has no container", self.target.text(environment)))),
            }
            self.set(environment, containers).await
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, kept: &'a Value) -> Injected<'a> {
        async move { self.set(environment, containers(kept)).await }.boxed()
    }
}

/// The merge patch that undoes another one on what was there before.
fn inverse(patch: &Value, before: &Value) -> Value {
    match (patch, before) {
        (Value::Object(patch), Value::Object(before)) => {
            let undo =
                |(key, value): (&String, &Value)| (key.clone(), before.get(key).map_or(Value::Null, |before| inverse(value, before)));
            Value::Object(patch.iter().map(undo).collect::<Map<_, _>>())
        }
        _ => before.clone(),
    }
}

/// Whether whoever looks after the object has done what it asks for: as many pods as it wants, on every node that it wants, and no others.
fn settled(kind: &str, object: Option<&DynamicObject>) -> Result<(), String> {
    let Some(object) = object else { return Err("it is not there".to_owned()) };
    let number = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_i64);
    let seen = number("/status/observedGeneration");
    if object.data.get("status").is_some() && seen.is_some() && seen < object.metadata.generation {
        return Err("its controller has not seen the change".to_owned());
    }
    // Not by the object's own word: what comes out of a list has none.
    let pairs = match kind {
        "Deployment" => {
            let wanted = number("/spec/replicas").unwrap_or(1);
            vec![
                ("pods", number("/status/replicas"), wanted),
                ("updated pods", number("/status/updatedReplicas"), wanted),
                ("ready pods", number("/status/readyReplicas"), wanted),
                ("available pods", number("/status/availableReplicas"), wanted),
            ]
        }
        "DaemonSet" => {
            let wanted = number("/status/desiredNumberScheduled").unwrap_or(0);
            let updated = number("/status/updatedNumberScheduled");
            let ready = number("/status/numberReady");
            vec![
                ("pods", number("/status/currentNumberScheduled"), wanted),
                ("updated pods", updated, wanted),
                ("ready pods", ready, wanted),
            ]
        }
        "CustomResourceDefinition" => {
            let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
            let established = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"));
            return if established { Ok(()) } else { Err("it is not Established".to_owned()) };
        }
        _ => Vec::new(),
    };
    let off = pairs.into_iter().find(|(_, found, wanted)| found.unwrap_or(0) != *wanted);
    off.map_or(Ok(()), |(what, found, wanted)| Err(format!("it has {} {what} and wants {wanted}", found.unwrap_or(0))))
}

/// No pods.
pub(super) fn no_replicas() -> Value {
    json!({"spec": {"replicas": 0}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_undone_to_the_letter() {
        let before = json!({"spec": {"replicas": 2, "template": {"a": 1}}, "metadata": {"labels": {"x": "y"}}});
        for patch in [
            json!({"spec": {"replicas": 0}}),
            json!({"spec": {"template": {"a": null, "b": {"c": 1}}}}),
            json!({"metadata": {"labels": {"x": null, "z": "new"}, "annotations": {"n": "1"}}}),
        ] {
            let mut now = before.clone();
            merge(&mut now, &patch);
            assert_ne!(now, before);
            merge(&mut now, &inverse(&patch, &before));
            assert_eq!(now, before, "{patch}");
        }
    }

    /// RFC 7386.
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else { return *target = patch.clone() };
        if !target.is_object() {
            *target = json!({});
        }
        let fields = target.as_object_mut().unwrap();
        for (key, value) in patch {
            if value.is_null() {
                fields.remove(key);
            } else {
                merge(fields.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_controller_that_lags_behind_is_waited_for() {
        let deployment = |replicas: i64, ready: i64, seen: i64| {
            object(
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "generation": 2}, "spec": {"replicas": replicas},
                "status": {"replicas": ready, "updatedReplicas": ready, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": seen}}),
            )
        };
        assert_eq!(settled("Deployment", Some(&deployment(1, 1, 2))), Ok(()));
        assert_eq!(settled("Deployment", Some(&deployment(0, 0, 2))), Ok(()));
        assert!(settled("Deployment", Some(&deployment(1, 1, 1))).unwrap_err().contains("not seen"));
        assert!(settled("Deployment", Some(&deployment(0, 1, 2))).unwrap_err().contains("1 pods and wants 0"));
        assert!(settled("Deployment", None).is_err());
    }
}
