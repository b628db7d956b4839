//! What somebody has changed in an environment that was whole, by what the outcomes themselves say of it.

use super::Confidence::{Certain, Likely};
use super::rules::Rule;

pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule::new("other-context", Certain, &[r"the current context is `(?P<context>[^`]*)`, not `(?P<wanted>[^`]*)`"]),
        Rule::new("node-role", Likely, &[r"the API server has \{.*\}, the spec wants \{"]),
        Rule::new("no-replicas", Certain, &[r"Deployment (?P<workload>[a-z0-9.-]+): \d+ of 0 available"]),
        Rule::new("no-node-fits", Certain, &[r"(?P<workload>[a-z0-9.-]+) can be scheduled to no node"]),
        Rule::new("hosts-toml-changed", Certain, &[r"(?P<file>/\S+hosts\.toml) on (?P<node>\S+) is not what the spec says"]),
        Rule::new("file-mode", Certain, &[r"others may use (?P<file>.+): its mode is (?P<mode>\d+)"]),
        Rule::new("secret-in-file", Certain, &[r"(?P<file>\S+) holds (?:the admin user's token|a token or a private key)"]),
        Rule::new("pod-began-anew", Likely, &[r"stay as they are: .*\bpod (?P<pod>[a-z0-9.-]+) "]),
        Rule::new("user-gone", Certain, &[r"ServiceAccount (?P<account>\S+) does not exist"]),
        Rule::new("binding-gone", Certain, &[r"ClusterRoleBinding (?P<binding>\S+) does not (?:exist|give)"]),
        Rule::new("other-token", Certain, &[r"the token is for (?P<account>\S+), not "]),
        Rule::new(
            "token-for-ever",
            Certain,
            &[r"Secrets hold tokens of (?P<account>\S+) that never expire", r"the token lives .*not for an (?P<account>hour)"],
        ),
        Rule::new(
            "believes",
            Likely,
            &[r"(?:a token (?:with \w+|for another audience)|an expired token) is not refused", r"without a session the list gives HTTP 2"],
        ),
        Rule::new("rights-for-nobody", Likely, &[r"the account (?P<account>\S+), which has no rights, sees"]),
        Rule::new(
            "proxy-open",
            Certain,
            &[
                r"a foreign host gets HTTP 2",
                r"(?:exec|attach) gets HTTP (?:[^4]|4[^0]|40[^3])",
                r"(?:exec|attach) gets HTTP 403 \{",
                r"`kubectl proxy` (?:listens on|is reached from)",
            ],
        ),
        Rule::new("other-istioctl", Certain, &[r"istioctl says its version is (?P<found>.+), the spec wants (?P<wanted>\S+)"]),
        Rule::new("other-istio", Likely, &[r"the (?P<plane>control plane|data plane) is \[.*\], not (?P<wanted>\S+)"]),
        Rule::new("istio-was-there", Likely, &[r"`istioctl version` (?:did not say that Istio is absent|already found Istio|exited with)"]),
        Rule::new("install-incomplete", Likely, &[r"the line `(?P<line>[^`]*)` was not printed"]),
        Rule::new("crd-gone", Certain, &[r"CRD (?P<crd>\S+) does not exist"]),
        Rule::new("other-bundle", Certain, &[r"CRD (?P<crd>\S+) is of the bundle (?P<found>\S* \S*), not (?P<wanted>\S+ \S+)"]),
    ]
}
