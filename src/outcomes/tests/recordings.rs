//! What the recorders saw: by whom, of what and through which listener, and what is said where it is not enough.

use super::edges::reason;
use crate::mirror::record::{Access, Asked};
use crate::recording::{DROP_IN, HOSTS_TOML, PROXIED_REGISTRY};
use crate::testing::environment::{IMAGES, World, mirror_access, proxy_access};
use crate::testing::guide::{CONTROL_PLANE, WORKER};

const EVERY_IMAGE: &str = "cluster.mirror.every-image";
const CONNECTS: &str = "cluster.proxy.connects";

/// A world in which the recorders see this of a pull on the worker, which ends with code 1 and these outputs.
fn world(pull: &str, accesses: &[Access], stdout: &str, stderr: &str) -> World {
    let world = World::healthy();
    let command = format!("crictl pull {pull}");
    world.nodes.seen(WORKER, &command, accesses);
    world.nodes.answer(WORKER, &command, 1, stdout, stderr);
    world
}

/// A pull of what the tag meant before.
fn another_digest() -> Access {
    let mut access = mirror_access(WORKER, 200);
    if let Asked::Mirror { digest, .. } = &mut access.asked {
        *digest = Some(IMAGES[0].parse().unwrap());
    }
    access
}

#[tokio::test]
async fn an_image_came_through_the_mirror_if_its_own_node_asked_for_its_own_digest() {
    let image = World::healthy().spec.probe.image;
    let bypassed = |said: &str| format!("image {image} on {WORKER} (registry docker.io) did not come through the mirror: {said}");
    let both = |said: &str| Some([bypassed(said), bypassed("nothing of it is recorded")].join("; "));
    for (accesses, stdout, stderr, wanted) in [
        (vec![mirror_access(WORKER, 200)], "", "", None),
        // It asked, and was given nothing that could be the image.
        (vec![mirror_access(WORKER, 404)], "", "", Some(bypassed("nothing of it is recorded"))),
        (vec![another_digest()], "", "", Some(bypassed("nothing of it is recorded"))),
        // It did not ask, whatever the other one did.
        (vec![], "", "first\nlast\n \n", both("last")),
        (vec![mirror_access(CONTROL_PLANE, 200)], "\nout\n\n", "error\n", both("out")),
        (vec![], "", "", both("")),
    ] {
        let world = world(&image, &accesses, stdout, stderr);
        assert_eq!(reason(&world, EVERY_IMAGE).await, wanted, "{accesses:?} {stdout:?} {stderr:?}");
    }
    let world = world(&image, &[], "", &"x".repeat(1000));
    assert_eq!(reason(&world, EVERY_IMAGE).await, both(&"x".repeat(400)), "not more than a person reads");
    world.nodes.take_down(WORKER);
    assert!(reason(&world, EVERY_IMAGE).await.is_some_and(|r| r.contains("container is not running")));
}

#[tokio::test]
async fn a_proxy_was_asked_if_its_own_listener_was_to_connect_to_the_registry() {
    let pull = format!("{PROXIED_REGISTRY}/probe:latest");
    let target = format!("{PROXIED_REGISTRY}:443");
    for (listener, method, target, passes) in [
        (DROP_IN, "CONNECT", target.as_str(), true),
        (HOSTS_TOML, "CONNECT", &target, false),
        (DROP_IN, "GET", &target, false),
        (DROP_IN, "CONNECT", "elsewhere:443", false),
    ] {
        let world = world(&pull, &[proxy_access(WORKER, listener, method, target)], "", "bad gateway\n");
        let wanted = format!("containerd on {WORKER} did not ask the proxy of the drop-in; its pull said: bad gateway");
        assert_eq!(reason(&world, CONNECTS).await, (!passes).then_some(wanted), "{listener} {method} {target}");
    }
}
