//! Who may do what.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Error};
use serde_json::json;

use crate::{JSON, World, ask};

async fn token(world: &World, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "default");
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap().status.unwrap().token
}

async fn pods(client: &Client) -> Result<usize, u16> {
    match Api::<Pod>::namespaced(client.clone(), "default").list(&ListParams::default()).await {
        Ok(list) => Ok(list.items.len()),
        Err(Error::Api(status)) => Err(status.code),
        Err(other) => panic!("{other}"),
    }
}

fn bind(role: &str, account: &str) -> String {
    json!({
        "metadata": {"name": format!("{account}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    })
    .to_string()
}

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

#[tokio::test]
async fn a_token_carries_the_rights_of_its_account_and_dies_with_it() {
    let world = World::new().await;
    let token = token(&world, "default").await;
    let client = world.client_with(&token).await;
    assert_eq!(pods(&client).await, Err(403));
    assert_eq!(world.ask("POST", BINDINGS, &[JSON], &bind("view", "default")).await.0, 201);
    assert_eq!(pods(&client).await, Ok(0));
    let (status, answer) = ask(&client, "POST", "/api/v1/namespaces/default/configmaps", &[JSON], r#"{"metadata":{"name":"x"}}"#).await;
    assert_eq!(status, 403);
    assert_eq!(
        answer["message"],
        "configmaps is forbidden: User \"system:serviceaccount:default:default\" cannot create resource \"configmaps\" in API group \"\" in \
         the namespace \"default\""
    );
    // Nobody gives away more than they have.
    assert_eq!(ask(&client, "POST", BINDINGS, &[JSON], &bind("cluster-admin", "default")).await.0, 403);

    let review: TokenReview = serde_json::from_value(json!({"spec": {"token": token}})).unwrap();
    let reviews: Api<TokenReview> = Api::all(world.client.clone());
    let said = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    assert_eq!(said.user.unwrap().username.as_deref(), Some("system:serviceaccount:default:default"));

    Api::<ServiceAccount>::namespaced(world.client.clone(), "default").delete("default", &DeleteParams::default()).await.unwrap();
    assert_eq!(pods(&client).await, Err(401));
    let said = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    assert!(said.authenticated != Some(true) && said.error.is_some());
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let world = World::new().await;
    let client = world.client_with(&token(&world, "default").await).await;
    assert_eq!(pods(&client).await, Err(403));
    world.api.clock().skip(std::time::Duration::from_mins(62));
    assert_eq!(pods(&client).await, Err(401));
    let short = json!({"spec": {"expirationSeconds": 60}}).to_string();
    let (status, answer) = world.ask("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", &[JSON], &short).await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().contains("may not specify a duration less than 10 minutes"), "{answer}");
}

#[tokio::test]
async fn certificates_anonymity_and_garbage() {
    let world = World::new().await;
    let admin = world.client_of("kubernetes-admin", &["kubeadm:cluster-admins"]).await;
    assert_eq!(pods(&admin).await, Ok(0), "by the binding that kubeadm makes");
    let stranger = world.client_of("stranger", &[]).await;
    assert_eq!(pods(&stranger).await, Err(403));
    assert_eq!(pods(&world.client_with("garbage").await).await, Err(401));
    let review = |verb: &str| -> SelfSubjectAccessReview {
        serde_json::from_value(json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}})).unwrap()
    };
    for (client, allowed) in [(&admin, true), (&stranger, false)] {
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        assert_eq!(api.create(&PostParams::default(), &review("delete")).await.unwrap().status.unwrap().allowed, allowed);
    }
    // Whoever may, speaks for somebody else.
    let (status, who) =
        world.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &[JSON, ("impersonate-user", "stranger")], "{}").await;
    assert_eq!((status, who["status"]["userInfo"]["username"].as_str()), (201, Some("stranger")));
    let (status, _) = ask(&stranger, "GET", "/api/v1/pods", &[("impersonate-user", "kubernetes-admin")], "").await;
    assert_eq!(status, 403);
    for (path, code) in [("/version", 200), ("/healthz", 200), ("/nothing", 403), ("/sim/nodes", 403)] {
        assert_eq!(ask(&stranger, "GET", path, &[], "").await.0, code, "{path}");
    }
    assert_eq!(world.ask("GET", "/nothing", &[], "").await.0, 404);
}
