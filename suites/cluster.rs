//! Guide 2.1.1, and the image pulls of 2.1.2: the cluster, its nodes, mirrors and proxy.

mod common;

use rstest::rstest;

#[rstest]
#[case::kind_named("cluster.kind.named")]
#[case::kind_nodes("cluster.kind.nodes")]
#[case::nodes_ready("cluster.nodes.ready")]
#[case::system_healthy("cluster.system.healthy")]
#[case::mirror_config_path("cluster.mirror.config-path")]
#[case::mirror_hosts_read("cluster.mirror.hosts-read")]
#[case::mirror_every_image("cluster.mirror.every-image")]
#[case::proxy_every_node("cluster.proxy.every-node")]
#[case::proxy_connects("cluster.proxy.connects")]
#[case::proxy_hosts_toml_ignored("cluster.proxy.hosts-toml-ignored")]
#[case::images_pulled("cluster.images.pulled")]
#[case::files_private("cluster.files.private")]
#[case::files_no_secret("cluster.files.no-secret")]
#[case::kind_second_create_fails("cluster.kind.second-create-fails")]
#[case::proxy_table_of_wrong_type("cluster.proxy.table-of-wrong-type")]
#[case::proxy_worker_left_out("cluster.proxy.worker-left-out")]
#[case::proxy_other_network("cluster.proxy.other-network")]
#[case::images_ctr_asks_elsewhere("cluster.images.ctr-asks-elsewhere")]
#[case::images_ctr_says_otherwise("cluster.images.ctr-says-otherwise")]
#[case::mirror_one_registry("cluster.mirror.one-registry")]
fn outcome(#[case] id: &str) {
    common::prove(id);
}
