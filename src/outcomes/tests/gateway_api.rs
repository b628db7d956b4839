//! What breaks the Gateway API.

use serde_json::json;

use super::cases::{Case, check};
use crate::outcomes::{BUNDLE_VERSION, CHANNEL};
use crate::testing::api::Reply;

const HTTP_ROUTES: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.gateway.networking.k8s.io";
const WAYPOINT: &str = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio-waypoint";

#[tokio::test]
async fn definitions() {
    check(&[
        Case {
            name: "a CRD is not Established",
            breaks: |w| {
                w.api.edit(HTTP_ROUTES, |c| {
                    c["status"]["conditions"][1] =
                        json!({"type": "Established", "status": "False", "message": "not all names are accepted"});
                });
            },
            fails: &[(
                "gateway-api.crds.established",
                "httproutes.gateway.networking.k8s.io is not Established: not all names are accepted",
            )],
        },
        Case {
            name: "a CRD has no status yet",
            breaks: |w| w.api.edit(HTTP_ROUTES, |c| c["status"] = json!({})),
            fails: &[("gateway-api.crds.established", "httproutes.gateway.networking.k8s.io is not NamesAccepted yet")],
        },
        Case {
            name: "a CRD stores a version that it does not serve",
            breaks: |w| w.api.edit(HTTP_ROUTES, |c| c["spec"]["versions"][0]["served"] = false.into()),
            fails: &[("gateway-api.crds.established", "does not serve the version that it stores")],
        },
        Case {
            name: "a CRD is missing",
            breaks: |w| w.api.remove(HTTP_ROUTES),
            fails: &[
                ("gateway-api.crds.established", "CRD httproutes.gateway.networking.k8s.io does not exist"),
                ("gateway-api.crds.bundle", "CRDs are missing: [\"httproutes.gateway.networking.k8s.io\"]"),
            ],
        },
        Case {
            name: "a CRD is of another bundle",
            breaks: |w| w.api.edit(HTTP_ROUTES, |c| c["metadata"]["annotations"][BUNDLE_VERSION] = "v1.2.1".into()),
            fails: &[("gateway-api.crds.bundle", "is of the bundle v1.2.1 standard, not v1.3.0 standard")],
        },
        Case {
            name: "a CRD is of the experimental channel",
            breaks: |w| w.api.edit(HTTP_ROUTES, |c| c["metadata"]["annotations"][CHANNEL] = "experimental".into()),
            fails: &[("gateway-api.crds.bundle", "is of the bundle v1.3.0 experimental, not v1.3.0 standard")],
        },
        Case {
            name: "a CRD does not say its bundle",
            breaks: |w| w.api.edit(HTTP_ROUTES, |c| c["metadata"]["annotations"] = json!({})),
            fails: &[("gateway-api.crds.bundle", "is of the bundle none none")],
        },
    ])
    .await;
}

#[tokio::test]
async fn classes() {
    check(&[
        Case {
            name: "a GatewayClass is missing",
            breaks: |w| w.api.remove(WAYPOINT),
            fails: &[("gateway-api.classes.accepted", "not within 30 s; last seen: GatewayClass istio-waypoint does not exist")],
        },
        Case {
            name: "a GatewayClass is not Accepted",
            breaks: |w| w.api.edit(WAYPOINT, |c| c["status"]["conditions"][0]["status"] = "Unknown".into()),
            fails: &[("gateway-api.classes.accepted", "GatewayClass istio-waypoint is not Accepted: Unknown")],
        },
        Case {
            name: "a GatewayClass has no status",
            breaks: |w| w.api.edit(WAYPOINT, |c| c["status"] = json!({})),
            fails: &[("gateway-api.classes.accepted", "GatewayClass istio-waypoint is not Accepted: no condition")],
        },
        Case {
            name: "a GatewayClass is somebody else's",
            breaks: |w| w.api.edit(WAYPOINT, |c| c["spec"]["controllerName"] = "example.com/controller".into()),
            fails: &[(
                "gateway-api.classes.accepted",
                "GatewayClass istio-waypoint has the controller example.com/controller, not istio.io/mesh-controller",
            )],
        },
        Case {
            name: "the API server does not serve GatewayClasses",
            breaks: |w| {
                let list = "GET /apis/gateway.networking.k8s.io/v1/gatewayclasses";
                w.api.always(list, Reply::Text(404, "404 page not found".into()));
            },
            fails: &[("gateway-api.classes.accepted", "cannot list gatewayclasses")],
        },
        Case {
            name: "a class of somebody else is there besides, and ours comes late",
            breaks: |w| {
                w.api.put(json!({
                    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "other"},
                    "spec": {"controllerName": "example.com/controller"},
                }));
                w.api.next("GET /apis/gateway.networking.k8s.io/v1/gatewayclasses", [Reply::status(503, "starting")]);
            },
            fails: &[],
        },
    ])
    .await;
}
