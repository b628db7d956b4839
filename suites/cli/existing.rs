//! A cluster that is there already. Here it is the simulated one of another state directory: it knows every write, and no machine is needed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::discovery::{Discovery, verbs};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::machine::{Machine, Said};

/// A context that leads nowhere and is the current one, before the one that is meant.
const NOWHERE: &str = "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
    contexts: [{name: prod, context: {cluster: prod, user: prod}}]\n\
    clusters: [{name: prod, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: prod, user: {token: not-to-be-copied}}]\n";

/// A machine whose user has a cluster, with everything installed, that no state directory of the tests below has made.
struct Cluster {
    machine: Machine,
    runtime: Runtime,
}

/// Ends the cluster of a test that fails as well.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.machine.run(&["down", "--state-dir", &self.owner()]);
    }
}

impl Cluster {
    fn new() -> Self {
        let machine = Machine::new();
        let files = ["nowhere", "shared"].map(|name| machine.path(name));
        let machine = machine.with("KUBECONFIG", std::env::join_paths(&files).expect("paths without colons"));
        let cluster = Self { machine, runtime: Runtime::new().expect("a runtime can be made") };
        cluster.machine.run(&["up", "--backend", "embedded", "--set", "kubectlProxy.port=0", "--state-dir", &cluster.owner()]).code(0);
        std::fs::write(&files[0], NOWHERE).expect("a file can be written");
        // A name that nobody could come upon by rule.
        let config = std::fs::read_to_string(cluster.owned("kubeconfig")).expect("the owner's kubeconfig");
        std::fs::write(&files[1], config.replace("kind-istio-cluster", "shared")).expect("a file can be written");
        cluster
    }

    /// The state directory of whoever made it.
    fn owner(&self) -> String {
        self.machine.path("owner").display().to_string()
    }

    fn owned(&self, name: &str) -> PathBuf {
        self.machine.path("owner").join(name)
    }

    /// Runs a command that provisions, or rather does not. The manifests are files, since there is no network.
    fn run(&self, args: &[&str]) -> Said {
        let manifest = |key: &str, name: &str| format!("{key}.manifest={}", self.owned("manifests").join(name).display());
        let manifests = [manifest("dashboard", "dashboard.yaml"), manifest("gatewayApi", "gateway-api.yaml")];
        let sets = manifests.iter().map(String::as_str).chain(["kubectlProxy.port=0"]).flat_map(|set| ["--set", set]);
        self.machine.run(&args.iter().copied().chain(sets).collect::<Vec<_>>())
    }

    fn client(&self) -> Client {
        let kubeconfig = self.owned("kubeconfig");
        self.runtime.block_on(meshproof::cluster::own_client(&kubeconfig)).expect("the owner's client")
    }

    /// Every object with what every write of it changes.
    fn objects(&self) -> BTreeMap<String, String> {
        let client = self.client();
        self.runtime.block_on(async {
            let found = Discovery::new(client.clone()).run().await.expect("the API can be discovered");
            let mut objects = BTreeMap::new();
            for (resource, can) in found.groups().flat_map(kube::discovery::ApiGroup::recommended_resources) {
                if !can.supports_operation(verbs::LIST) {
                    continue;
                }
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
                let list = api.list(&ListParams::default()).await.unwrap_or_else(|e| panic!("{}: {e}", resource.plural));
                for object in list {
                    let key = format!("{}/{}/{}", resource.plural, object.namespace().unwrap_or_default(), object.name_any());
                    let written = match resource.plural.as_str() {
                        // The kubelets renew these whether anybody looks or not.
                        "leases" => String::new(),
                        "nodes" => format!("{:?} {:?} {}", object.labels(), object.annotations(), object.data["spec"]),
                        _ => object.resource_version().unwrap_or_default(),
                    };
                    objects.insert(key, format!("{:?} {written}", object.uid()));
                }
            }
            objects
        })
    }

    fn kubeconfigs(&self) -> Vec<Vec<u8>> {
        ["nowhere", "shared"].iter().map(|name| std::fs::read(self.machine.path(name)).expect("it is there")).collect()
    }
}

const RUN: [&str; 7] = ["run", "--backend", "existing", "--context", "shared", "--format", "json"];

fn counts(said: &Said) -> (u64, u64, u64, u64) {
    let json = said.json();
    let count = |name: &str| json["counts"][name].as_u64().unwrap_or_default();
    (count("passed"), count("failed"), count("blocked"), count("unsupported"))
}

fn of<'a>(list: &'a Value, id: &str) -> &'a Value {
    let found = list.as_array().and_then(|all| all.iter().find(|s| s["id"] == id));
    found.unwrap_or_else(|| panic!("no {id} in {list}"))
}

#[test]
fn it_is_judged_and_nothing_of_it_or_of_the_kubeconfig_is_changed() {
    let cluster = Cluster::new();
    let machine = &cluster.machine;
    let (objects, kubeconfigs) = (cluster.objects(), cluster.kubeconfigs());
    assert!(objects.len() > 100, "{objects:?}");
    let said = cluster.run(&RUN).code(0);
    // Without what is asked of machines (5), what says how the cluster was made (2), and what has no kubectl, istioctl or transcript here.
    assert_eq!(counts(&said), (32, 0, 0, 28), "{}", said.stdout);
    let json = said.json();
    assert_eq!((&json["run"]["backend"], &json["fidelity"]), (&Value::from("existing"), &Value::from("simulated")));
    let stages: Vec<&Value> = json["stages"].as_array().expect("stages").iter().map(|s| &s["state"]).collect();
    assert!(stages.iter().all(|s| *s == "already" || *s == "not-needed"), "{stages:?}");
    for (id, capability) in [("cluster.kind.nodes", "kind-cluster"), ("cluster.images.pulled", "node-exec")] {
        assert_eq!(of(&json["outcomes"], id)["capability"], capability, "{json}");
    }

    // Of a cluster that is somebody's own only what is the guide's is told.
    assert_eq!(json["facts"]["context"], "shared");
    let roles = json["objects"]["ClusterRole"].as_array().expect("ClusterRoles");
    assert!(roles.contains(&"ztunnel".into()) && !roles.contains(&"kindnet".into()), "{roles:?}");
    let bindings = json["objects"]["ClusterRoleBinding"].as_array().expect("ClusterRoleBindings");
    assert!(bindings.contains(&"admin-user".into()) && !bindings.contains(&"cluster-admin".into()), "{bindings:?}");

    // The private kubeconfig has this context alone, for its owner alone.
    let private = machine.state().join("kubeconfig");
    assert_eq!(std::fs::metadata(&private).expect("it is there").permissions().mode() & 0o777, 0o600);
    let text = machine.run(&["kubeconfig"]).code(0).stdout;
    assert_eq!(text, std::fs::read_to_string(&private).expect("it can be read"));
    let config: Value = serde_json::from_str(&text).expect("JSON, which is YAML");
    for list in ["contexts", "clusters", "users"] {
        assert_eq!(config[list].as_array().map(Vec::len), Some(1), "{list}");
    }
    assert_eq!((&config["current-context"], &config["contexts"][0]["name"]), (&Value::from("shared"), &Value::from("shared")));
    assert!(!text.contains("not-to-be-copied") && !text.contains("prod"));

    // What was named is remembered, also where the variable is another.
    let elsewhere = [("KUBECONFIG", "/nonexistent"), ("MESHPROOF_CONTEXT", "prod")];
    let verified = machine.start_with(&elsewhere, &["verify", "--format", "json"]).end().code(0);
    assert_eq!(counts(&verified), (32, 0, 0, 28));
    assert_eq!((&verified.json()["fidelity"], &verified.json()["facts"]["context"]), (&"simulated".into(), &"shared".into()));
    assert_eq!(counts(&cluster.run(&["run", "--format", "json"])), (32, 0, 0, 28), "auto goes on with what the directory has");
    cluster.run(&["run", "--backend", "existing", "--reuse", "never", "--on-drift", "recreate"]).code(0);
    let status = machine.run(&["status"]).code(0).stdout;
    assert!(status.contains("backend existing, cluster shared") && !status.contains("missing") && !status.contains("agent"), "{status}");
    let env = machine.run(&["env"]).code(0).stdout;
    assert!(env.contains(&format!("KUBECONFIG='{}'", private.display())) && env.contains("MESHPROOF_CLUSTER='shared'"), "{env}");
    assert_eq!(machine.run(&["token"]).code(0).stdout.trim().split('.').count(), 3, "a JSON Web Token");
    machine.run(&["collect", "--out", "bundle"]).code(0);
    // Another cluster needs another directory.
    let other = cluster.run(&["up", "--backend", "existing", "--context", "prod"]).code(3);
    assert!(other.stdout.contains("the cluster of the context shared ("), "{}", other.stdout);
    cluster.run(&["up", "--backend", "kind"]).code(3).complains(&["of the backend existing, not of kind"]);

    let down = machine.run(&["down"]).code(0);
    assert_eq!(down.stdout.trim(), format!("removed: {}", machine.state().display()), "the directory and nothing else");
    assert!(!machine.state().exists());
    assert_eq!(cluster.objects(), objects, "no object was made, changed or removed");
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), "kubernetes-dashboard");
    let label = Patch::Merge(serde_json::json!({"metadata": {"labels": {"seen": "yes"}}}));
    cluster.runtime.block_on(accounts.patch("admin-user", &PatchParams::default(), &label)).expect("it can be changed");
    assert_ne!(cluster.objects(), objects, "a single label would have been seen");
    assert_eq!(cluster.kubeconfigs(), kubeconfigs);
    machine.run(&["verify", "--state-dir", &cluster.owner()]).code(0);
}

#[test]
fn what_is_missing_fails_its_stage_and_blocks_what_needs_it_and_is_not_made() {
    let cluster = Cluster::new();
    let client = cluster.client();
    cluster.runtime.block_on(async {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kubernetes-dashboard");
        deployments.delete("kubernetes-dashboard", &DeleteParams::default()).await.expect("it can be deleted");
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.delete("grpcroutes.gateway.networking.k8s.io", &DeleteParams::default()).await.expect("it can be deleted");
    });
    let gone = |objects: &BTreeMap<String, String>| !objects.keys().any(|k| k.contains("grpcroutes"));
    super::machine::wait_until("the CRD is gone", || gone(&cluster.objects()));
    let said = cluster.run(&RUN).code(3);
    let json = said.json();
    let reason = |stage: &str| of(&json["stages"], stage)["error"].to_string();
    assert!(reason("dashboard").contains("Deployment kubernetes-dashboard is not there"), "{}", said.stdout);
    assert!(reason("gateway-api").contains("grpcroutes.gateway.networking.k8s.io does not exist"), "{}", said.stdout);
    assert!(said.stdout.contains("Nothing may be changed here."), "{}", said.stdout);
    let states = ["cluster", "dashboard", "admin-user", "istio", "gateway-api"].map(|s| of(&json["stages"], s)["state"].clone());
    assert_eq!(states, ["already", "failed", "blocked", "already", "failed"]);
    // All of the Dashboard's but two of `kubectl proxy`, and all of the Gateway API's.
    let (_, failed, blocked, _) = counts(&said);
    assert_eq!((failed, blocked), (0, 25), "{}", said.stdout);
    assert_eq!(of(&json["outcomes"], "istio.istiod.ready")["verdict"], "passed", "{}", said.stdout);
    let after = cluster.objects();
    assert!(gone(&after) && !after.contains_key("deployments/kubernetes-dashboard/kubernetes-dashboard"), "nothing was made");
}

#[test]
fn a_context_must_be_named_and_be_there() {
    let machine = Machine::new();
    let config = machine.path("nowhere");
    std::fs::write(&config, NOWHERE).expect("a file can be written");
    let machine = machine.with("KUBECONFIG", config);
    for command in ["run", "up", "plan"] {
        let said = machine.run(&[command, "--backend", "existing"]).code(2).without_result();
        said.complains(&["needs the context of the cluster by name: --context NAME", "hint: The current context is not taken", "prod"]);
    }
    let said = machine.run(&["run", "--backend", "existing", "--context", "prd"]).code(2).without_result();
    said.complains(&["there is no context `prd`", "/nowhere", "did you mean `prod`?"]);
    let variables = [("MESHPROOF_BACKEND", "existing"), ("MESHPROOF_CONTEXT", "nothing-like-it")];
    let said = machine.start_with(&variables, &["up"]).end().code(2).without_result();
    said.complains(&["there is no context `nothing-like-it`", "The contexts there are: prod"]);
    machine.run(&["run", "--context", "prod"]).code(2).without_result().complains(&["--context is only for --backend existing"]);
    let said = machine.start_with(&[("KUBECONFIG", "")], &["run", "--backend", "existing"]).end().code(2);
    said.complains(&["There is no context in any kubeconfig"]);
    assert!(machine.is_untouched(), "nothing was made");
    let plan = machine.run(&["plan", "--backend", "existing", "--context", "prod"]).code(0).stdout;
    assert_eq!(plan.matches("look in the cluster of the context prod").count(), 9, "{plan}");
    assert!(!plan.contains('$') && machine.is_untouched(), "{plan}");
}

#[test]
fn a_cluster_that_does_not_answer_is_named_and_a_context_that_is_gone_later_as_well() {
    let cluster = Cluster::new();
    let machine = &cluster.machine;
    let said = cluster.run(&["run", "--backend", "existing", "--context", "prod", "--format", "json"]).code(3);
    let json = said.json();
    assert!(of(&json["stages"], "cluster")["error"].to_string().contains("the API server of the context prod does not answer"));
    assert_eq!(counts(&said).2, 60, "everything is blocked");
    machine.run(&["verify"]).code(3);
    machine.run(&["down"]).code(0);
    assert!(!machine.state().exists());
    cluster.run(&["up", "--backend", "existing", "--context", "shared"]).code(0);
    std::fs::remove_file(machine.path("shared")).expect("it can be removed");
    let said = machine.run(&["verify"]).code(3);
    said.complains(&["there is no context `shared`", "The contexts there are: prod"]);
    machine.run(&["down"]).code(0);
}
