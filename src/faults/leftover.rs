//! What a fault changed, on the disk for as long as it is not mended: whoever was killed in between leaves it to the next one.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::Api;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fault;
use crate::outcomes::{Environment, Stop};
use crate::session::Session;

/// Where it is, in the session's directory.
const FILE: &str = "fault.json";

#[derive(Debug, Serialize, Deserialize)]
struct Left {
    fault: String,
    /// The cluster that it was injected into, by the uid of its namespace kube-system: of another one nothing is to be mended.
    cluster: Option<String>,
    kept: Value,
}

async fn cluster(environment: &Environment) -> Result<Option<String>, Stop> {
    let namespaces: Api<Namespace> = Api::all(environment.cluster.client.clone());
    let found = namespaces.get_opt("kube-system").await.map_err(Stop::kube("read the namespace kube-system"))?;
    Ok(found.and_then(|namespace| namespace.uid()))
}

/// Before anything is broken.
pub(super) async fn remember(environment: &Environment, fault: &str, kept: &Value) -> Result<(), Stop> {
    let left = Left { fault: fault.to_owned(), cluster: cluster(environment).await?, kept: kept.clone() };
    let text = serde_json::to_string(&left).map_err(|e| Stop::Failed(format!("what {fault} changes cannot be kept: {e}")))?;
    environment.context.session.write(FILE, &text).map_err(|e| Stop::Failed(crate::error::one_line(&e)))
}

/// When everything is whole again.
pub(super) fn forget(session: &Session) -> Result<(), Stop> {
    let path = session.dir().join(FILE);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Stop::Failed(format!("cannot remove {}: {e}", path.display()))),
        _ => Ok(()),
    }
}

fn read(session: &Session) -> Option<Left> {
    serde_json::from_str(&std::fs::read_to_string(session.dir().join(FILE)).ok()?).ok()
}

/// The fault that somebody who was killed has left in a session's environment.
#[must_use]
pub fn left_behind(session: &Session) -> Option<String> {
    read(session).map(|left| left.fault)
}

/// Mends what was left behind, if anything was, and tells which fault it was.
///
/// # Errors
/// When it cannot be mended, or is none of these faults.
pub async fn mend_left_behind(environment: &Environment, faults: &[Fault]) -> Result<Option<String>, Stop> {
    let session = &environment.context.session;
    let Some(left) = read(session) else { return Ok(None) };
    if left.cluster.is_some() && cluster(environment).await? != left.cluster {
        forget(session)?;
        return Ok(None);
    }
    let fault = faults.iter().find(|f| f.id == left.fault);
    let fault = fault.ok_or_else(|| Stop::Failed(format!("the fault {} was left behind, and nobody here knows it", left.fault)))?;
    fault.mend(environment, &left.kept).await?;
    Ok(Some(left.fault))
}
