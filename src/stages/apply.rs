//! Manifests: fetched once, kept as applied, read with the YAML reader that knows no surprises.

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::Value;

use super::{StageContext, StageError};
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
        return Ok(text);
    }
    let text = fetch_text(source, &context.spec.downloads, MAX_TEXT_BYTES).await?;
    context.session.write(&format!("manifests/{name}"), &text)?;
    context.record(|state| {
        state.manifests.insert(name.to_owned(), source.to_owned());
    })?;
    Ok(text)
}

/// Whether every one of the things that `args` name exists; `kubectl get` says so.
pub(super) async fn exist(context: &StageContext, args: &[&std::ffi::OsStr]) -> Result<bool, StageError> {
    let command = context.kubectl().await?.args(["get", "-o", "name"]).args(args).timeout(context.waiting.limit(Limit::ShortCommand));
    Ok(command.output(&context.journal).await?.success())
}

/// The objects of a manifest.
pub(super) fn objects(source: &str, text: &str) -> Result<Vec<Value>, StageError> {
    let unusable = |reason: String| StageError::Manifest { manifest: source.to_owned(), reason };
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| unusable(e.to_string()))?;
    let objects: Vec<Value> = documents.into_iter().filter(|d| !d.is_null()).collect();
    if let Some(bad) = objects.iter().find(|o| !o["kind"].is_string() || !o["apiVersion"].is_string()) {
        let start: String = bad.to_string().chars().take(80).collect();
        return Err(unusable(format!("a document has no kind or no apiVersion: {start}")));
    }
    if objects.is_empty() { Err(unusable("it holds no object".to_owned())) } else { Ok(objects) }
}

/// `kubectl apply` of the kept manifest.
pub(super) async fn apply(context: &StageContext, name: &str, flags: &[&str]) -> Result<(), StageError> {
    context
        .kubectl()
        .await?
        .arg("apply")
        .args(flags)
        .arg("-f")
        .arg(context.session.manifest(name))
        .timeout(context.waiting.limit(Limit::Controller))
        .ok(&context.journal)
        .await?;
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
}
