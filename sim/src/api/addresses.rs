//! Which service addresses and node ports are taken. A write takes what it needs while it is prepared; what it did not store in the end, be it
//! refused, only tried or overtaken, it gives back. Source: kubernetes `pkg/registry/core/service/storage/{alloc,transaction}.go`.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::{Api, suffix};
use crate::kinds::World;

/// The addresses and ports of all services.
#[derive(Default)]
pub(super) struct Addresses(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: BTreeSet<String>,
    last: u16,
    last_port: u16,
}

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what a service had and has not any more.
    pub(super) fn follow(&self, old: Option<&Value>, new: Option<&Value>) {
        let kept: BTreeSet<String> = new.into_iter().flat_map(of).collect();
        let mut taken = self.lock();
        for gone in old.into_iter().flat_map(of).filter(|a| !kept.contains(a)) {
            taken.all.remove(&gone);
        }
    }
}

/// The addresses and ports that a service has.
fn of(service: &Value) -> Vec<String> {
    let spec = &service["spec"];
    let ips = spec["clusterIPs"].as_array().into_iter().flatten().chain(std::iter::once(&spec["clusterIP"]));
    let ports = spec["ports"].as_array().into_iter().flatten().map(|p| &p["nodePort"]).chain(std::iter::once(&spec["healthCheckNodePort"]));
    let ips = ips.filter_map(Value::as_str).map(str::to_owned);
    ips.chain(ports.filter_map(Value::as_u64).map(|p| p.to_string())).collect()
}

/// What one write sees of the cluster. Dropping it gives back what was taken through it, unless the write was stored.
pub(super) struct Attempt<'a> {
    api: &'a Api,
    took: Mutex<Vec<String>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(api: &'a Api) -> Self {
        Self { api, took: Mutex::default() }
    }

    fn took(&self) -> MutexGuard<'_, Vec<String>> {
        self.took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.api.0.addresses.lock()
    }

    /// The write was stored: what it took is its own.
    pub(super) fn keep(&self) {
        self.took().clear();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let took = std::mem::take(&mut *self.took());
        if took.is_empty() {
            return;
        }
        let mut taken = self.taken();
        for given_back in &took {
            taken.all.remove(given_back);
        }
    }
}

impl World for Attempt<'_> {
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.api.read(resource, namespace, name)
    }

    /// From kind's service subnet 10.96.0.0/16, whose first address is the API server's own.
    fn allocate_ip(&self) -> Option<String> {
        let mut taken = self.taken();
        for _ in 0..u16::MAX {
            // A step that is prime to the size visits every address and does not hand out neighbours.
            taken.last = taken.last.wrapping_add(40_503);
            let [high, low] = taken.last.to_be_bytes();
            let ip = format!("10.96.{high}.{low}");
            if !matches!(taken.last, 0 | u16::MAX) && taken.all.insert(ip.clone()) {
                self.took().push(ip.clone());
                return Some(ip);
            }
        }
        None
    }

    fn take_ip(&self, ip: &str) -> bool {
        let free = self.taken().all.insert(ip.to_owned());
        if free {
            self.took().push(ip.to_owned());
        }
        free
    }

    fn allocate_node_port(&self) -> Option<u16> {
        const FIRST: u16 = 30_000;
        const COUNT: u16 = 2768;
        let mut taken = self.taken();
        for _ in 0..COUNT {
            taken.last_port = (taken.last_port + 1031) % COUNT;
            let port = FIRST + taken.last_port;
            if taken.all.insert(port.to_string()) {
                self.took().push(port.to_string());
                return Some(port);
            }
        }
        None
    }

    fn take_node_port(&self, port: u16) -> bool {
        self.take_ip(&port.to_string())
    }

    fn suffix(&self) -> String {
        suffix()
    }

    fn now(&self) -> String {
        self.api.clock().stamp()
    }
}
