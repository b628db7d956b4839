//! The docker network of kind, made beforehand exactly as kind makes it, so that it can carry our label.
//!
//! Source: kind `pkg/cluster/internal/providers/docker/network.go`.

use std::collections::HashMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListContainersOptionsBuilder};
use sha1::{Digest, Sha1};

use super::{Engine, EngineError};

/// Put on everything that meshproof makes in the engine; its value is the session's id.
pub const NETWORK_LABEL: &str = "dev.meshproof.session";
/// The name that kind always uses.
pub(super) const KIND_NETWORK: &str = "kind";

/// What is known of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkState {
    /// Session id on its label, if it has one.
    pub session: Option<String>,
    /// Gateways: the addresses that the host has on the bridge.
    pub gateways: Vec<String>,
}

impl Engine {
    /// The network kind uses, or `None` where it does not exist.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn kind_network(&self) -> Result<Option<NetworkState>, EngineError> {
        let found = self
            .docker
            .inspect_network(KIND_NETWORK, None::<InspectNetworkOptions>)
            .await
            .map_err(EngineError::request("inspect network kind"));
        match found {
            Ok(network) => {
                let config = network.ipam.and_then(|i| i.config).unwrap_or_default();
                Ok(Some(NetworkState {
                    session: network.labels.unwrap_or_default().remove(NETWORK_LABEL),
                    gateways: config.iter().filter_map(|c| c.gateway.clone()).collect(),
                }))
            }
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes the network that kind would make, labelled with the session. IPv6 is left out where the engine has none, as kind does.
    ///
    /// # Errors
    /// When the engine refuses both forms.
    pub async fn create_kind_network(&self, session: &str) -> Result<(), EngineError> {
        let mtu = self.default_bridge_mtu().await;
        let request = |ipv6: bool| {
            let mut options = HashMap::from([("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "true".to_owned())]);
            if let Some(mtu) = &mtu {
                options.insert("com.docker.network.driver.mtu".to_owned(), mtu.clone());
            }
            NetworkCreateRequest {
                name: KIND_NETWORK.to_owned(),
                driver: Some("bridge".to_owned()),
                enable_ipv6: Some(ipv6),
                ipam: ipv6.then(|| Ipam {
                    config: Some(vec![IpamConfig { subnet: Some(ula_subnet(KIND_NETWORK)), ..IpamConfig::default() }]),
                    ..Ipam::default()
                }),
                options: Some(options),
                labels: Some(HashMap::from([(NETWORK_LABEL.to_owned(), session.to_owned())])),
                ..NetworkCreateRequest::default()
            }
        };
        if self.docker.create_network(request(true)).await.is_ok() {
            return Ok(());
        }
        self.docker.create_network(request(false)).await.map_err(EngineError::request("create network kind"))?;
        Ok(())
    }

    /// Removes the network if, and only if, it carries this session's label and nothing is attached to it. Says whether it did.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn remove_own_network(&self, session: &str) -> Result<bool, EngineError> {
        match self.kind_network().await? {
            // The network's own list leaves out stopped containers, which would never start again without it.
            Some(network) if network.session.as_deref() == Some(session) && self.containers_on(KIND_NETWORK).await? == 0 => {
                self.docker.remove_network(KIND_NETWORK).await.map_err(EngineError::request("remove network kind"))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// How many containers belong to a network, also stopped ones.
    async fn containers_on(&self, network: &str) -> Result<usize, EngineError> {
        let filters = HashMap::from([("network", vec![network.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.docker.list_containers(Some(options)).await;
        Ok(containers.map_err(EngineError::request("list the containers of a network"))?.len())
    }

    async fn default_bridge_mtu(&self) -> Option<String> {
        let bridge = self.docker.inspect_network("bridge", None::<InspectNetworkOptions>).await.ok()?;
        bridge.options?.remove("com.docker.network.driver.mtu")
    }
}

/// The unique local subnet that kind derives from the network's name: `fc00:`, then bytes 2 to 7 of the SHA-1 of the name and a counter of
/// attempts, which is 0 here.
fn ula_subnet(name: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(name.as_bytes());
    hash.update(0_u32.to_le_bytes());
    let digest = hash.finalize();
    let mut bytes = [0_u8; 8];
    bytes[0] = 0xfc;
    bytes[1] = 0x00;
    bytes[2..].copy_from_slice(&digest[2..8]);
    let words: Vec<String> = bytes.chunks(2).map(|w| format!("{:x}", u16::from_be_bytes([w[0], w[1]]))).collect();
    format!("{}::/64", words.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_is_the_one_that_kind_computes() {
        assert_eq!(ula_subnet("kind"), "fc00:f853:ccd:e793::/64");
    }
}
