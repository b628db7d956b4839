//! Which defaults and plugins belong to which kind.

use serde_json::Value;

use super::access::{object, set};
use super::{World, crd, decode, pod_admission, pods, services, small, volumes, workloads};
use crate::Failure;

/// Defaults and the default admission plugins for a creation.
///
/// # Errors
/// What the decoder or a plugin refuses.
pub fn admit_create(resource: &str, value: &mut Value, world: &dyn World) -> Result<(), Failure> {
    decode::normalize(resource, value)?;
    defaults(resource, value);
    match resource {
        "pods" => {
            pod_admission::service_account(value, world)?;
            pod_admission::tolerations(value);
            pod_admission::priority(value, world)?;
            pods::initial_status(value);
        }
        "services" => {
            services::allocate(value, None, world)?;
            services::initial_status(value);
        }
        "namespaces" => small::namespace(value),
        "jobs.batch" => {
            workloads::job_selector(value);
            // The labels that a Job without any has are those of its template, so also the ones just made.
            workloads::job(value);
        }
        "persistentvolumeclaims" => volumes::default_class(value, world),
        "customresourcedefinitions.apiextensions.k8s.io" => crd::initial_status(value),
        _ => {}
    }
    workloads::initial_status(resource, value);
    Ok(())
}

/// Defaults again for an update, and what the server keeps although the update does not say it.
///
/// # Errors
/// What the decoder or a plugin refuses.
pub fn admit_update(resource: &str, old: &Value, new: &mut Value, world: &dyn World) -> Result<(), Failure> {
    decode::normalize(resource, new)?;
    defaults(resource, new);
    match resource {
        "pods" => pod_admission::update(old, new),
        "services" => {
            services::keep(old, new);
            services::allocate(new, Some(old), world)?;
        }
        "namespaces" => {
            small::namespace_label(new);
            if let Some(spec) = object(new, "spec")
                && let Some(finalizers) = old["spec"].get("finalizers")
            {
                // They change through the subresource `finalize` only.
                super::access::put(spec, "finalizers", finalizers.clone());
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => crd::keep(old, new),
        "jobs.batch" => {
            if !set(&new["spec"], "selector")
                && set(&old["spec"], "selector")
                && let Some(spec) = object(new, "spec")
            {
                super::access::put(spec, "selector", old["spec"]["selector"].clone());
            }
        }
        _ => {}
    }
    Ok(())
}

fn defaults(resource: &str, value: &mut Value) {
    match resource {
        "pods" => pods::pod(value),
        "podtemplates" => pods::template(value, "template"),
        "deployments.apps" => workloads::deployment(value),
        "replicasets.apps" => workloads::replica_set(value),
        "daemonsets.apps" => workloads::daemon_set(value),
        "statefulsets.apps" => workloads::stateful_set(value),
        "replicationcontrollers" => workloads::replication_controller(value),
        "jobs.batch" => workloads::job(value),
        "cronjobs.batch" => workloads::cron_job(value),
        "horizontalpodautoscalers.autoscaling" => workloads::autoscaler(value),
        "services" => services::defaults(value),
        "secrets" => small::secret(value),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => small::binding(value),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io" => small::webhooks(value, true),
        "validatingwebhookconfigurations.admissionregistration.k8s.io" => small::webhooks(value, false),
        "validatingadmissionpolicies.admissionregistration.k8s.io" => small::admission_policy(value),
        "validatingadmissionpolicybindings.admissionregistration.k8s.io" => small::admission_binding(value),
        "networkpolicies.networking.k8s.io" => small::network_policy(value),
        "persistentvolumeclaims" => volumes::claim(value),
        "persistentvolumes" => volumes::volume(value),
        "storageclasses.storage.k8s.io" => volumes::class(value),
        "csidrivers.storage.k8s.io" => volumes::driver(value),
        "endpointslices.discovery.k8s.io" => small::endpoint_slice(value),
        "endpoints" => small::endpoints(value),
        "priorityclasses.scheduling.k8s.io" => small::priority_class(value),
        "apiservices.apiregistration.k8s.io" => small::api_service(value),
        "customresourcedefinitions.apiextensions.k8s.io" => crd::defaults(value),
        "limitranges" => small::limit_range(value),
        "events" => small::event(value),
        "nodes" => small::node(value),
        _ => {}
    }
}
