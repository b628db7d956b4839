//! The `ServiceAccount` and `ClusterRoleBinding` of guide 2.1.2. The guide's two `kubectl create` fail when run again (D15), so each runs only
//! where its object is missing.

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{Action, Done, Found, PlanStep, StageContext, StageError};
use crate::cluster::{Installs, Provider};
use crate::outcomes::DASHBOARD_NAMESPACE as NAMESPACE;
use crate::spec::Spec;
use crate::wait::Limit;

pub(super) struct AdminUser;

impl Action for AdminUser {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let user = &context.spec.dashboard.admin_user;
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
            if accounts.get_opt(user).await.map_err(StageError::kube(format!("read ServiceAccount {user}")))?.is_none() {
                return Ok(Found::Missing(format!("ServiceAccount {user} does not exist in {NAMESPACE}")));
            }
            let bindings: Api<ClusterRoleBinding> = Api::all(client);
            let present = bindings.get_opt(user).await.map_err(StageError::kube(format!("read ClusterRoleBinding {user}")))?;
            let bound = present.is_some_and(|present| binds(&present, user));
            let unbound = || Found::Missing(format!("ClusterRoleBinding {user} does not bind it to cluster-admin"));
            Ok(if bound { Found::True } else { unbound() })
        })
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        Box::pin(async move {
            let client = context.client().await?;
            let user = &context.spec.dashboard.admin_user;
            let [account, binding] = commands(&context.spec);
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
            if accounts.get_opt(user).await.map_err(StageError::kube(format!("read ServiceAccount {user}")))?.is_none() {
                create_account(context, &accounts, &account).await?;
            }
            let bindings: Api<ClusterRoleBinding> = Api::all(client);
            let read = StageError::kube(format!("read ClusterRoleBinding {user}"));
            match bindings.get_opt(user).await.map_err(read)? {
                Some(present) if binds(&present, user) => {}
                present => {
                    if present.is_some() {
                        // A binding's role cannot be changed, only replaced.
                        let delete = StageError::kube(format!("replace ClusterRoleBinding {user}"));
                        bindings.delete(user, &DeleteParams::default()).await.map_err(delete)?;
                    }
                    create_binding(context, &bindings, &binding).await?;
                }
            }
            Ok(Done::Provisioned)
        })
    }

    fn heeds(&self, spec: &Spec, _provider: &dyn Provider) -> Value {
        json!({"dashboard": {"adminUser": spec.dashboard.admin_user}})
    }

    fn plan(&self, spec: &Spec, provider: &dyn Provider) -> Vec<PlanStep> {
        if provider.installs() == Installs::FromManifests {
            return vec![PlanStep::note("plan-admin-user", &[("user", &spec.dashboard.admin_user)])];
        }
        commands(spec).iter().map(|c| PlanStep::command(std::iter::once("kubectl").chain(c.iter().map(String::as_str)))).collect()
    }
}

/// The guide's two commands. Its `-n` on the cluster-scoped binding has no effect and is left out.
fn commands(spec: &Spec) -> [Vec<String>; 2] {
    let user = &spec.dashboard.admin_user;
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    [
        words(format!("create serviceaccount -n {NAMESPACE} {user}")),
        words(format!("create clusterrolebinding {user} --clusterrole cluster-admin --serviceaccount={NAMESPACE}:{user}")),
    ]
}

async fn create(context: &StageContext, args: &[String]) -> Result<(), StageError> {
    let command = context.kubectl().await?.args(args).timeout(context.waiting.limit(Limit::ShortCommand));
    command.ok(&context.journal).await?;
    Ok(())
}

/// The guide's `kubectl create`, or the same object through the API.
async fn create_account(context: &StageContext, api: &Api<ServiceAccount>, args: &[String]) -> Result<(), StageError> {
    if context.provider.installs() == Installs::AsDocumented {
        return create(context, args).await;
    }
    let user = &context.spec.dashboard.admin_user;
    let metadata = ObjectMeta { name: Some(user.clone()), ..ObjectMeta::default() };
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    api.create(&PostParams::default(), &account).await.map_err(StageError::kube(format!("create ServiceAccount {user}")))?;
    Ok(())
}

async fn create_binding(context: &StageContext, api: &Api<ClusterRoleBinding>, args: &[String]) -> Result<(), StageError> {
    if context.provider.installs() == Installs::AsDocumented {
        return create(context, args).await;
    }
    let user = &context.spec.dashboard.admin_user;
    let group = "rbac.authorization.k8s.io".to_owned();
    let binding = ClusterRoleBinding {
        metadata: ObjectMeta { name: Some(user.clone()), ..ObjectMeta::default() },
        role_ref: RoleRef { api_group: group, kind: "ClusterRole".to_owned(), name: "cluster-admin".to_owned() },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: user.clone(),
            namespace: Some(NAMESPACE.to_owned()),
            ..Subject::default()
        }]),
    };
    api.create(&PostParams::default(), &binding).await.map_err(StageError::kube(format!("create ClusterRoleBinding {user}")))?;
    Ok(())
}

/// Whether a binding gives cluster-admin to the account.
pub(crate) fn binds(binding: &ClusterRoleBinding, user: &str) -> bool {
    let role = &binding.role_ref;
    (role.kind.as_str(), role.name.as_str()) == ("ClusterRole", "cluster-admin")
        && binding
            .subjects
            .iter()
            .flatten()
            .any(|s| s.kind == "ServiceAccount" && s.name == user && s.namespace.as_deref() == Some(NAMESPACE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_counts_only_with_the_right_role_and_subject() {
        let binding = |role: &str, name: &str, namespace: &str| -> ClusterRoleBinding {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "admin-user"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
            }))
            .unwrap()
        };
        assert!(binds(&binding("cluster-admin", "admin-user", NAMESPACE), "admin-user"));
        assert!(!binds(&binding("view", "admin-user", NAMESPACE), "admin-user"));
        assert!(!binds(&binding("cluster-admin", "other", NAMESPACE), "admin-user"));
        assert!(!binds(&binding("cluster-admin", "admin-user", "default"), "admin-user"));
    }
}
