//! Who a request is from (Kubernetes `apiserver/pkg/authentication/user`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Every request that carried a valid credential.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Every request that carried none.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that no authorizer is asked about.
pub const MASTERS: &str = "system:masters";
/// The group of kubelets.
pub const NODES: &str = "system:nodes";
/// The user name of requests without a credential.
pub const ANONYMOUS: &str = "system:anonymous";
/// The key in `extra` that names the credential itself, so that an audit can tell two of them apart.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// An authenticated (or anonymous) user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// For example `kubernetes-admin` or `system:serviceaccount:default:default`.
    pub name: String,
    /// Only `ServiceAccounts` have one.
    pub uid: String,
    /// Groups, in the order that the credential has them.
    pub groups: Vec<String>,
    /// What else the credential says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user with these groups and nothing else.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|&g| g.to_owned()).collect(), ..Self::default() }
    }

    /// A request without a credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// The user of kubeadm's `admin.conf`, whose power comes from an RBAC binding (`kubeadm:cluster-admins`).
    #[must_use]
    pub fn admin() -> Self {
        Self::new("kubernetes-admin", &["kubeadm:cluster-admins", AUTHENTICATED])
    }

    /// The user of kubeadm's `super-admin.conf`, whom no authorizer is asked about.
    #[must_use]
    pub fn super_admin() -> Self {
        Self::new("kubernetes-super-admin", &[MASTERS, AUTHENTICATED])
    }

    /// The API server speaking to itself.
    #[must_use]
    pub fn loopback() -> Self {
        Self::new("system:apiserver", &[AUTHENTICATED, MASTERS])
    }

    /// The kubelet of a node.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self::new(&format!("system:node:{name}"), &[NODES, AUTHENTICATED])
    }

    /// A `ServiceAccount` (`apiserver/pkg/authentication/serviceaccount`).
    #[must_use]
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), AUTHENTICATED];
        Self { uid: uid.to_owned(), ..Self::new(&service_account_name(namespace, name), &groups) }
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Whether everything is allowed without asking.
    #[must_use]
    pub fn is_superuser(&self) -> bool {
        self.is_in(MASTERS)
    }

    /// Whether there was no credential.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Name of the node whose kubelet this is (`pkg/auth/nodeidentifier`).
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix("system:node:")?;
        self.is_in(NODES).then_some(name)
    }

    /// Namespace and name, if this is a `ServiceAccount`.
    #[must_use]
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':').filter(|(ns, name)| !ns.is_empty() && !name.contains(':'))
    }

    /// The `UserInfo` of `authentication.k8s.io`; empty fields are left out.
    #[must_use]
    pub fn info(&self) -> Value {
        let mut info = json!({});
        if !self.name.is_empty() {
            info["username"] = json!(self.name);
        }
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.groups.is_empty() {
            info["groups"] = json!(self.groups);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

/// The user name of a `ServiceAccount`.
#[must_use]
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT}{namespace}:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_leaves_out_what_is_empty() {
        let expected = json!({"username": "system:anonymous", "groups": ["system:unauthenticated"]});
        assert_eq!(User::anonymous().info(), expected);
    }

    #[test]
    fn service_account_has_its_groups() {
        let user = User::service_account("shop", "cart", "u-1");
        assert_eq!(
            user.info(),
            json!({
                "username": "system:serviceaccount:shop:cart", "uid": "u-1",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            })
        );
        assert_eq!(user.as_service_account(), Some(("shop", "cart")));
        assert_eq!(User::admin().as_service_account(), None);
    }

    #[test]
    fn only_masters_are_superusers() {
        assert!(User::super_admin().is_superuser() && User::loopback().is_superuser());
        assert!(!User::admin().is_superuser() && !User::anonymous().is_superuser());
    }

    #[test]
    fn node_needs_both_name_and_group() {
        assert_eq!(User::node("worker").node_name(), Some("worker"));
        assert_eq!(User::new("system:node:worker", &[AUTHENTICATED]).node_name(), None);
        assert_eq!(User::new("worker", &[NODES]).node_name(), None);
    }
}
