//! Manifests: fetched once, kept as applied, read with the YAML reader that knows no surprises.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersion;
use kube::discovery::{Scope, pinned_group};
use kube::error::DiscoveryError;
use serde_json::Value;

use super::{PlanStep, StageContext, StageError};
use crate::cluster::{Installs, Part, Provider};
use crate::spec::Spec;
use crate::tools::{MAX_TEXT_BYTES, fetch_text};
use crate::wait::terminal::pod_trouble;
use crate::wait::{Limit, conditions};

/// A manifest's text, kept in the state directory under `name`. One that was fetched from the same URL before is not fetched again: an
/// environment that stands must not need the internet.
pub(super) async fn fetch(context: &StageContext, name: &str, source: &str) -> Result<String, StageError> {
    let remote = source.contains("://");
    if remote
        && context.state().manifests.get(name).is_some_and(|kept| kept == source)
        && let Ok(text) = std::fs::read_to_string(context.session.manifest(name))
    {
        return settled(&context.spec, source, text);
    }
    let text = fetch_text(source, &context.spec.downloads, MAX_TEXT_BYTES).await?;
    let text = settled(&context.spec, source, text)?;
    keep(context, name, &text)?;
    context.record(|state| {
        state.manifests.insert(name.to_owned(), source.to_owned());
    })?;
    Ok(text)
}

/// The manifest of a part: the documented one from `source`, or that of the cluster's source. Both are kept under `name`, as applied.
pub(super) async fn manifest(context: &StageContext, part: Part, name: &str, source: &str) -> Result<String, StageError> {
    if context.provider.installs() != Installs::FromManifests {
        return fetch(context, name, source).await;
    }
    let text = context.provider.manifest(part, &context.spec)?;
    let text = settled(&context.spec, source, text)?;
    keep(context, name, &text)?;
    Ok(text)
}

/// The manifest as it is applied: where nodes have all images, none is asked for elsewhere. With `imagePullPolicy: Always`, which is also what an
/// image without a tag or with `latest` gets, the kubelet would ask a registry even for what the node has (defect D14).
fn settled(spec: &Spec, source: &str, text: String) -> Result<String, StageError> {
    if !spec.cluster.preloaded {
        return Ok(text);
    }
    let mut all = objects(source, &text)?;
    // Not `any`: every object must be looked at.
    let changed = all.iter_mut().map(pull_if_missing).fold(false, |changed, now| changed | now);
    // JSON is YAML.
    Ok(if changed { all.iter().map(|object| format!("---\n{object:#}\n")).collect() } else { text })
}

/// Sets the policy of every container in an object, wherever it is, and says whether one changed.
fn pull_if_missing(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().map(pull_if_missing).fold(false, |changed, now| changed | now),
        Value::Object(fields) => {
            let mut changed = false;
            for (key, value) in fields {
                if matches!(key.as_str(), "containers" | "initContainers")
                    && let Value::Array(containers) = value
                {
                    for container in containers.iter_mut().filter(|c| always_pulled(c)) {
                        (container["imagePullPolicy"], changed) = ("IfNotPresent".into(), true);
                    }
                }
                changed |= pull_if_missing(value);
            }
            changed
        }
        _ => false,
    }
}

/// As the API server's defaults have it.
fn always_pulled(container: &Value) -> bool {
    let latest = |image: &str| {
        let name = image.rsplit('/').next().unwrap_or_default();
        !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
    };
    match container["imagePullPolicy"].as_str() {
        Some(policy) => policy == "Always",
        None => container["image"].as_str().is_some_and(latest),
    }
}

fn keep(context: &StageContext, name: &str, text: &str) -> Result<(), StageError> {
    if std::fs::read_to_string(context.session.manifest(name)).ok().as_deref() != Some(text) {
        context.session.write(&format!("manifests/{name}"), text)?;
    }
    Ok(())
}

/// What a plan says about a part: the guide's own command, or the manifest that is applied instead.
pub(super) fn plan(part: Part, name: &str, documented: Vec<PlanStep>, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
    if provider.installs() == Installs::AsDocumented {
        return documented;
    }
    match provider.manifest(part, spec).and_then(|text| settled(spec, name, text)) {
        Ok(content) => vec![
            PlanStep::File { path: format!("{{state}}/manifests/{name}"), on_nodes: false, content },
            PlanStep::note("plan-apply", &[]),
        ],
        Err(e) => vec![PlanStep::Note { text: crate::error::one_line(&e) }],
    }
}

/// A thing by what its manifest calls it.
pub(super) struct Named<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Named<'a> {
    pub(super) fn of(object: &'a Value) -> Self {
        let text = |v: &'a Value| v.as_str().unwrap_or_default();
        let meta = &object["metadata"];
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        Self { api_version, kind, namespace: text(&meta["namespace"]), name: text(&meta["name"]) }
    }

    fn lacks(&self) -> String {
        let Self { kind, namespace, name, .. } = self;
        if namespace.is_empty() { format!("{kind} {name} does not exist") } else { format!("{kind} {name} does not exist in {namespace}") }
    }
}

/// The resources behind kinds. Every version of a group is asked for once, and all that are needed at the same time.
#[derive(Default)]
struct Resources(BTreeMap<(String, String), (ApiResource, Scope)>);

impl Resources {
    /// Looks up the kinds of these things. One that the API server does not know is not among them afterwards.
    async fn learn<'a>(&mut self, client: &Client, things: impl IntoIterator<Item = &'a Named<'a>>) -> Result<(), kube::Error> {
        let versions: BTreeSet<&str> = things.into_iter().filter(|t| !self.knows(t)).map(|t| t.api_version).collect();
        let groups = versions.into_iter().map(|version| async move {
            let parsed: GroupVersion =
                version.parse().map_err(|_| kube::Error::Discovery(DiscoveryError::InvalidGroupVersion(version.to_owned())))?;
            match pinned_group(client, &parsed).await {
                Ok(group) => Ok((version, group.versioned_resources(&parsed.version))),
                Err(kube::Error::Discovery(_)) => Ok((version, Vec::new())),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok((version, Vec::new())),
                Err(e) => Err(e),
            }
        });
        for (version, resources) in try_join_all(groups).await? {
            let known = resources.into_iter().map(|(resource, c)| ((version.to_owned(), resource.kind.clone()), (resource, c.scope)));
            self.0.extend(known);
        }
        Ok(())
    }

    fn knows(&self, thing: &Named<'_>) -> bool {
        self.0.contains_key(&(thing.api_version.to_owned(), thing.kind.to_owned()))
    }

    fn api(&self, client: &Client, thing: &Named<'_>) -> Option<Api<DynamicObject>> {
        let (resource, scope) = self.0.get(&(thing.api_version.to_owned(), thing.kind.to_owned()))?;
        Some(match scope {
            Scope::Cluster => Api::all_with(client.clone(), resource),
            Scope::Namespaced if thing.namespace.is_empty() => Api::namespaced_with(client.clone(), "default", resource),
            Scope::Namespaced => Api::namespaced_with(client.clone(), thing.namespace, resource),
        })
    }
}

/// The first of the things that does not exist, in words. A kind that the API server does not know exists in no thing.
pub(super) async fn lacking(client: &Client, things: &[Named<'_>]) -> Result<Option<String>, StageError> {
    let mut resources = Resources::default();
    resources.learn(client, things).await.map_err(StageError::kube("ask which kinds there are"))?;
    let found = things.iter().map(|thing| {
        let api = resources.api(client, thing);
        async move {
            let Some(api) = api else { return Ok(Some(thing.lacks())) };
            let found = api.get_metadata_opt(thing.name).await;
            let found = found.map_err(StageError::kube(format!("look for {} {}", thing.kind, thing.name)))?;
            Ok::<_, StageError>(found.is_none().then(|| thing.lacks()))
        }
    });
    Ok(try_join_all(found).await?.into_iter().flatten().next())
}

/// What a stage heeds of a manifest: its place, and the content of a file, which may change in its place.
pub(super) fn heeded_manifest(provider: &dyn Provider, source: &str) -> Value {
    if provider.installs() != Installs::AsDocumented {
        return Value::Null;
    }
    let content = (!source.contains("://")).then(|| std::fs::read(source).ok()).flatten();
    let digest = content.map(|bytes| format!("sha256:{}", hex::encode(ring::digest::digest(&ring::digest::SHA256, &bytes))));
    serde_json::json!({"source": source, "digest": digest})
}

/// The objects of a manifest.
pub(crate) fn objects(source: &str, text: &str) -> Result<Vec<Value>, StageError> {
    let unusable = |reason: String| StageError::Manifest { manifest: source.to_owned(), reason };
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| unusable(e.to_string()))?;
    let objects: Vec<Value> = documents.into_iter().filter(|d| !d.is_null()).collect();
    if let Some(bad) = objects.iter().find(|o| !o["kind"].is_string() || !o["apiVersion"].is_string()) {
        let start: String = bad.to_string().chars().take(80).collect();
        return Err(unusable(format!("a document has no kind or no apiVersion: {start}")));
    }
    if objects.is_empty() { Err(unusable("it holds no object".to_owned())) } else { Ok(objects) }
}

/// Applies the kept manifest: with `kubectl apply` as the guide does, or object by object through the API, server-side.
pub(super) async fn apply(context: &StageContext, name: &str, flags: &[&str], text: &str) -> Result<(), StageError> {
    if context.provider.installs() == Installs::AsDocumented {
        let command = context.kubectl().await?.arg("apply").args(flags).arg("-f").arg(context.session.manifest(name));
        command.timeout(context.waiting.limit(Limit::Controller)).ok(&context.journal).await?;
        return Ok(());
    }
    apply_objects(&context.client().await?, &objects(name, text)?, "default").await
}

/// Applies a manifest server-side, as other crates' stages need it; objects that name no namespace go into the given one.
///
/// # Errors
/// When it is no manifest, or the API server refuses an object.
pub async fn apply_manifest(client: &Client, manifest: &str, namespace: &str) -> Result<(), StageError> {
    apply_objects(client, &objects("manifest", manifest)?, namespace).await
}

/// Applies objects server-side; those that name no namespace go into the given one.
pub(crate) async fn apply_objects(client: &Client, objects: &[Value], namespace: &str) -> Result<(), StageError> {
    let mut resources = Resources::default();
    let params = PatchParams::apply("meshproof").force();
    for object in objects {
        let mut thing = Named::of(object);
        if thing.namespace.is_empty() {
            thing.namespace = namespace;
        }
        let failed = || StageError::kube(format!("apply {} {}", thing.kind, thing.name));
        // An object may be of a kind that one before it has brought.
        if !resources.knows(&thing) {
            resources.learn(client, [&thing]).await.map_err(failed())?;
        }
        let unknown =
            || StageError::Manifest { manifest: thing.name.to_owned(), reason: format!("the API server knows no kind {}", thing.kind) };
        let api = resources.api(client, &thing).ok_or_else(unknown)?;
        api.patch(thing.name, &params, &Patch::Apply(object)).await.map_err(failed())?;
    }
    Ok(())
}

/// Whether every pod of a namespace that should run is Ready now; the status of its controller follows a moment later.
pub(super) async fn pods_ready(client: &kube::Client, namespace: &str) -> Result<bool, StageError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default()).await.map_err(StageError::kube(format!("list the pods of {namespace}")))?;
    Ok(list.iter().filter(|p| !conditions::pod_ended(p)).all(conditions::pod_ready))
}

/// Deletes pods that are stuck, so that their controllers try afresh: after a failed pull the kubelet waits up to five minutes, and what it
/// last said would end our wait at once although the cause may be gone.
pub(super) async fn restart_stuck_pods(context: &StageContext, namespace: &str) -> Result<(), StageError> {
    let pods: Api<Pod> = Api::namespaced(context.client().await?, namespace);
    let list = pods.list(&ListParams::default()).await.map_err(StageError::kube(format!("list the pods of {namespace}")))?;
    let stuck: Vec<String> = list
        .items
        .iter()
        .filter(|p| {
            (pod_trouble(p).is_some() || conditions::pod_ended(p)) && p.metadata.owner_references.as_ref().is_some_and(|o| !o.is_empty())
        })
        .map(kube::ResourceExt::name_any)
        .collect();
    let delete = |name: String| {
        let pods = pods.clone();
        async move {
            match pods.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(e) => Err(StageError::kube(format!("delete the stuck pod {name}"))(e)),
                Ok(_) => Ok(()),
            }
        }
    };
    try_join_all(stuck.into_iter().map(delete)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Request, load};

    #[test]
    fn a_manifest_is_a_row_of_objects_or_a_located_error() {
        let two = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# nothing here\n---\napiVersion: v1\nkind: Secret\n";
        let kinds: Vec<String> = objects("m", two).unwrap().iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["Namespace", "Secret"]);
        for (text, expected) in [("", "holds no object"), ("a: b\n", "no kind"), ("<html>\n</html>: [", "not usable")] {
            let error = objects("http://x/m.yaml", text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("http://x/m.yaml"), "{error}");
        }
    }

    fn settle(preloaded: bool, text: &str) -> String {
        let request = Request { sets: vec![format!("cluster.preloaded={preloaded}")], ..Request::default() };
        settled(&load(&request).unwrap(), "a.yaml", text.to_owned()).unwrap()
    }

    #[test]
    fn no_container_of_a_preloaded_node_is_pulled_where_the_node_has_it() {
        let text = r#"
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {
  initContainers: [{name: a, image: "a:1", imagePullPolicy: Always}, {name: b, image: "r:5000/b"}],
  containers: [{name: c, image: "c:latest"}, {name: d, image: "d:1"}, {name: e, image: "e:latest", imagePullPolicy: Never}, {name: f, image: "f@sha256:00"}]}}}}}
---
apiVersion: v1
kind: ConfigMap
data: {imagePullPolicy: Always}
"#;
        assert_eq!(settle(false, text), text);
        let all = objects("a.yaml", &settle(true, text)).unwrap();
        let pod = &all[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        let policies = |key: &str| -> Vec<Value> { pod[key].as_array().unwrap().iter().map(|c| c["imagePullPolicy"].clone()).collect() };
        assert_eq!(policies("initContainers"), ["IfNotPresent", "IfNotPresent"]);
        assert_eq!(policies("containers"), ["IfNotPresent".into(), Value::Null, "Never".into(), Value::Null]);
        assert_eq!(all[1]["data"]["imagePullPolicy"], "Always", "it is nobody's policy");
    }

    #[test]
    fn a_manifest_without_need_stays_as_it_was_written() {
        let text = "# a comment\napiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: 'a:1'}]}\n";
        assert_eq!(settle(true, text), text);
    }
}
