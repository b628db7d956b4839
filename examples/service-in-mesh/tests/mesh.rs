//! Three tests of a service in an ambient mesh. The first that runs provisions the environment; all share it, and it is kept.

use meshproof::fixture::{Environment, Fixture, environment};
use meshproof::http::Method;
use rstest::{fixture, rstest};
use serial_test::file_serial;
use service_in_mesh::{SHOP, registry};

/// The environment with what this crate adds.
#[fixture]
async fn with_shop() -> Environment {
    Fixture::new().registry(registry().expect("the shop fits")).environment().await
}

/// In a namespace of its own, so that any number of such tests run at once.
#[rstest]
#[tokio::test]
async fn the_shop_serves_its_page_from_the_mesh(#[future(awt)] environment: Environment) {
    environment.prove("istio.ztunnel.every-node").await;
    let in_mesh = environment.namespace("shop").ambient();
    in_mesh
        .with(async |environment, namespace| {
            namespace.apply(SHOP).await;
            namespace.available(&["shop"]).await;
            let path = format!("/api/v1/namespaces/{}/services/shop:80/proxy/", namespace.name);
            let answer = environment.request(Method::GET, &path, &[], None).await.expect("an answer");
            assert!(answer.body.contains("The shop is open."), "{}", answer.brief());
        })
        .await;
}

/// The stage installs the shop once for all tests, and the outcome judges it with evidence and hints.
#[rstest]
#[tokio::test]
#[file_serial(example_shop)]
async fn the_shop_that_the_stage_installed_serves_its_page(#[future(awt)] with_shop: Environment) {
    with_shop.prove("shop.page.served").await;
}

/// A check that has never failed proves nothing. What the fault breaks is shared, so such tests take turns, also with other processes.
#[rstest]
#[tokio::test]
#[file_serial(example_shop)]
async fn the_outcome_notices_a_shop_without_pods(#[future(awt)] with_shop: Environment) {
    with_shop.prove_fault("shop.no-pods").await;
}
