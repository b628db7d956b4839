//! What this crate adds to meshproof: a stage that installs the shop, an outcome that judges it, and a fault that breaks it.
//!
//! With it, `meshproof::cli::main_with(registry())` is a command line that provisions, judges and reports the shop as well; that needs the
//! feature `cli`.

use meshproof::cluster::Provider;
use meshproof::faults::{Fault, Inject, Injected};
use meshproof::futures::FutureExt as _;
use meshproof::futures::future::BoxFuture;
use meshproof::http::Method;
use meshproof::k8s_openapi::api::apps::v1::Deployment;
use meshproof::k8s_openapi::api::core::v1::{Namespace, Pod};
use meshproof::kube::api::{Api, ListParams, Patch, PatchParams};
use meshproof::outcomes::{Checked, Environment, Look, Outcome, Stop};
use meshproof::registry::{Registry, RegistryError};
use meshproof::serde_json::{Value, json};
use meshproof::spec::Spec;
use meshproof::stages::{Action, Done, Found, PlanStep, Stage, StageContext, StageError, apply};
use meshproof::wait::{Limit, conditions};

/// The service: a ConfigMap, a Deployment and a Service.
pub const SHOP: &str = include_str!("../shop.yaml");

/// The namespace of the stage.
const NAMESPACE: &str = "example-shop";
/// The label that puts its pods into the ambient mesh.
const AMBIENT: (&str, &str) = ("istio.io/dataplane-mode", "ambient");

/// The guide's stages and outcomes, and the shop's.
///
/// # Errors
/// When they do not fit together, which the tests would tell.
pub fn registry() -> Result<Registry, RegistryError> {
    Registry::builtin()
        .stage(Stage::new("shop", Shop).needs(&["istio"]).titled("The shop, in the mesh"))?
        .outcome(
            Outcome::hardening("shop.page.served", page_served)
                .needs(&["shop"])
                .titled("The shop's page is served")
                .hint("kubectl get pods -n example-shop shows why the shop does not run."),
        )?
        .fault(Fault::new("shop.no-pods", NoPods).breaks(&["shop.page.served"]))
}

struct Shop;

impl Action for Shop {
    fn look<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Found, StageError>> {
        async move {
            let deployments: Api<Deployment> = Api::namespaced(context.client().await?, NAMESPACE);
            let shop = deployments.get_opt("shop").await.map_err(StageError::kube("read Deployment shop"))?;
            Ok(match shop {
                None => Found::Missing("Deployment shop does not exist".to_owned()),
                Some(shop) => conditions::deployment_lacks(&shop).map_or(Found::True, Found::Missing),
            })
        }
        .boxed()
    }

    fn make<'a>(&'a self, context: &'a StageContext) -> BoxFuture<'a, Result<Done, StageError>> {
        async move {
            let client = context.client().await?;
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": NAMESPACE, "labels": {AMBIENT.0: AMBIENT.1}}});
            apply(&client, &namespace.to_string(), NAMESPACE).await?;
            apply(&client, SHOP, NAMESPACE).await?;
            let mut waiter = context.waiting.waiter();
            let deployments = waiter.watch(Api::<Deployment>::namespaced(client.clone(), NAMESPACE), &ListParams::default());
            let pods = waiter.watch(Api::<Pod>::namespaced(client, NAMESPACE), &ListParams::default());
            let available = || conditions::deployments_available(&["shop"], &deployments.items(), &pods.items());
            waiter.until("the shop is available", Limit::Dashboard, available).await?;
            Ok(Done::Provisioned)
        }
        .boxed()
    }

    fn plan(&self, _: &Spec, _: &dyn Provider) -> Vec<PlanStep> {
        vec![PlanStep::Note { text: format!("apply shop.yaml to the namespace {NAMESPACE}") }]
    }

    fn heeds(&self, _: &Spec, _: &dyn Provider) -> Value {
        json!({"shop": SHOP})
    }
}

fn page_served<'a>(environment: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    async move {
        let namespaces: Api<Namespace> = Api::all(environment.cluster.client.clone());
        let namespace = namespaces.get(NAMESPACE).await.map_err(Stop::kube("read the namespace of the shop"))?;
        let ambient = namespace.metadata.labels.unwrap_or_default().get(AMBIENT.0).cloned();
        look.see("dataplane-mode", &ambient);
        look.require(ambient.as_deref() == Some(AMBIENT.1), || format!("the namespace {NAMESPACE} is not in the mesh"));
        let path = format!("/api/v1/namespaces/{NAMESPACE}/services/shop:80/proxy/");
        let answer = environment.request(Method::GET, &path, &[], None).await?;
        look.see("answer", answer.brief());
        look.require(answer.body.contains("The shop is open."), || format!("the shop does not serve its page: {}", answer.brief()));
        Ok(())
    }
    .boxed()
}

/// The shop without pods.
struct NoPods;

impl NoPods {
    async fn scale(environment: &Environment, replicas: i32) -> Result<(), Stop> {
        let client = environment.cluster.client.clone();
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let scaled = deployments.patch("shop", &PatchParams::default(), &patch).await;
        scaled.map_err(Stop::kube("scale the shop"))?;
        let mut waiter = environment.waiting.waiter();
        let deployments = waiter.watch(deployments, &ListParams::default());
        let pods = waiter.watch(Api::<Pod>::namespaced(client, NAMESPACE), &ListParams::default());
        let done = || {
            if replicas == 0 {
                conditions::no_pods(&pods.items())
            } else {
                conditions::deployments_available(&["shop"], &deployments.items(), &pods.items())
            }
        };
        Ok(waiter.until(&format!("the shop has {replicas} pods"), Limit::Dashboard, done).await?)
    }
}

impl Inject for NoPods {
    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        Self::scale(environment, 0).boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        Self::scale(environment, 1).boxed()
    }
}
