//! Pods that do not stay.

use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::objects::Target;
use super::{Inject, Injected};
use crate::outcomes::Environment;
use crate::wait::{Limit, Progress};

/// Each pod of a workload is deleted as soon as it is Running, so that there always is one that has just begun.
pub(super) struct Restless {
    target: Target,
    labels: &'static str,
    /// Nothing of it outlives the process, so there is nothing to keep.
    at_work: Mutex<Option<JoinHandle<()>>>,
}

impl Restless {
    pub(super) fn new(target: Target, labels: &'static str) -> Self {
        Self { target, labels, at_work: Mutex::new(None) }
    }

    fn api(&self, environment: &Environment) -> Api<Pod> {
        Api::namespaced(environment.cluster.client.clone(), self.target.namespace)
    }
}

fn runs(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && crate::wait::conditions::pod_ready(pod)
}

impl Inject for Restless {
    fn inject<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let (api, waiting) = (self.api(environment), environment.waiting.clone());
            let labels = ListParams::default().labels(self.labels);
            let work = async move {
                loop {
                    let mut waiter = waiting.waiter();
                    let seen = waiter.watch(api.clone(), &labels);
                    let running = || match seen.items().iter().find(|pod| runs(pod)) {
                        Some(pod) => Progress::Ready(pod.name_any()),
                        None => Progress::NotYet("there is none".to_owned()),
                    };
                    // Of one that does not come, or cannot be deleted, somebody else has to tell.
                    if let Ok(pod) = waiter.until("a pod runs", Limit::Dashboard, running).await {
                        let _ = api.delete(&pod, &DeleteParams::default().grace_period(0)).await;
                    }
                }
            };
            *self.at_work.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(work));
            Ok(())
        }
        .boxed()
    }

    fn revert<'a>(&'a self, environment: &'a Environment, _: &'a Value) -> Injected<'a> {
        async move {
            let work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(work) = work {
                work.abort();
                let _ = work.await;
            }
            self.target.is_whole(environment).await
        }
        .boxed()
    }
}
