//! Which event concerns which controllers.

use std::sync::Arc;
use std::time::Duration;

use super::fields::{controller_of, text};
use super::kernel::{Context, Outcome};
use super::pods::Pod;
use super::queue::{Key, Which};
use super::selector::Selector;
use super::{
    crd, daemonset, deployment, disruption, endpoints, eviction, gc, job, namespace, nodes, replicaset, scheduler, serviceaccount,
};
use super::{slices, statefulset};
use crate::store::{Change, Object};

/// Owners of more pods than this are looked at after a while, so that one look serves many events.
const MANY: usize = 128;

pub(super) fn reconcile(context: &mut Context, key: &Key) -> Outcome {
    let (namespace, name) = (&*key.namespace, &*key.name);
    match key.which {
        Which::Crd => crd::reconcile(context, name),
        Which::DaemonSet => daemonset::reconcile(context, namespace, name),
        Which::Deployment => deployment::reconcile(context, namespace, name),
        Which::Endpoints => endpoints::reconcile(context, namespace, name),
        Which::EndpointSlice => slices::reconcile(context, namespace, name),
        Which::Eviction => eviction::reconcile(context, name),
        Which::Gc => gc::reconcile(context, name),
        Which::Job => job::reconcile(context, namespace, name),
        Which::Namespace => namespace::reconcile(context, name),
        Which::Node => nodes::reconcile(context, name),
        Which::NodeMonitor => nodes::monitor(context, name),
        Which::Pdb => disruption::reconcile(context, namespace, name),
        Which::PodGc => nodes::collect(context, name),
        Which::ReplicaSet => replicaset::reconcile(context, namespace, name),
        Which::RootCa => serviceaccount::root_ca(context, name),
        Which::Scheduler => scheduler::reconcile(context),
        Which::ServiceAccount => serviceaccount::account(context, name),
        Which::StatefulSet => statefulset::reconcile(context, namespace, name),
    }
}

pub(super) fn observe(context: &mut Context, id: &Arc<str>, change: Change, object: &Arc<Object>, before: Option<&Arc<Object>>) {
    gc::observe(context, id, change, object);
    let (namespace, name) = (&*object.namespace, &*object.name);
    if !namespace.is_empty() && change == Change::Deleted && context.terminating.contains(namespace) {
        context.queue.add(Which::Namespace, "", namespace);
    }
    if change == Change::Deleted
        && let Some(definition) = context.dying.get(&**id)
    {
        context.queue.add(Which::Crd, "", definition);
    }
    match &**id {
        "pods" => pod(context, change, object),
        "nodes" => node(context, change, object, before),
        "services" => service(context, change, object),
        "namespaces" => {
            if change == Change::Deleted {
                context.terminating.remove(name);
            } else if object.deleting {
                context.terminating.insert(name.into());
                context.queue.add(Which::Namespace, "", name);
            } else {
                context.queue.add(Which::ServiceAccount, "", name);
                context.queue.add(Which::RootCa, "", name);
            }
        }
        "serviceaccounts" if name == "default" && change == Change::Deleted => context.queue.add(Which::ServiceAccount, "", namespace),
        "configmaps" if name == serviceaccount::ROOT_CA => context.queue.add(Which::RootCa, "", namespace),
        "leases.coordination.k8s.io" if namespace == "kube-node-lease" => context.queue.add(Which::NodeMonitor, "", name),
        "deployments.apps" => {
            context.queue.add(Which::Deployment, namespace, name);
        }
        "replicasets.apps" => {
            context.queue.add(Which::ReplicaSet, namespace, name);
            owned(context, object, Which::Deployment);
        }
        "daemonsets.apps" => context.queue.add(Which::DaemonSet, namespace, name),
        "statefulsets.apps" => context.queue.add(Which::StatefulSet, namespace, name),
        "jobs.batch" => context.queue.add(Which::Job, namespace, name),
        "poddisruptionbudgets.policy" => context.queue.add(Which::Pdb, namespace, name),
        "endpoints" if change == Change::Deleted => context.queue.add(Which::Endpoints, namespace, name),
        "endpointslices.discovery.k8s.io" if change == Change::Deleted => {
            if let Some(service) = object.label("kubernetes.io/service-name") {
                context.queue.add(Which::EndpointSlice, namespace, service);
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => crd::observe(context, change, object),
        _ => {}
    }
}

/// A replica set tells its deployment; one without a controller may be adopted by any deployment of its namespace.
fn owned(context: &mut Context, object: &Object, which: Which) {
    let value = object.value();
    match controller_of(&value) {
        Some(owner) => context.queue.add(which, &object.namespace, text(&owner["name"])),
        None => {
            for deployment in context.api.store().list("deployments.apps", &object.namespace).1 {
                context.queue.add(which, &object.namespace, &deployment.name);
            }
        }
    }
}

fn pod(context: &mut Context, change: Change, object: &Arc<Object>) {
    let quantity = context.settings.quantity;
    let (before, after) = context.pods.apply(change, object, quantity);
    scheduler::observe_pod(context, before.as_deref(), after.as_ref());
    nodes::observe_pod(context, before.as_deref(), after.as_deref());
    let (old, new) = (before.as_deref(), after.as_deref());
    let changed = |differs: fn(&Pod, &Pod) -> bool| match (old, new) {
        (Some(old), Some(new)) => differs(new, old),
        _ => true,
    };
    if changed(Pod::differs_for_owner) {
        for pod in [old, new].into_iter().flatten() {
            tell_owner(context, pod);
        }
        for budget in context.api.store().list("poddisruptionbudgets.policy", &object.namespace).1 {
            context.queue.add(Which::Pdb, &object.namespace, &budget.name);
        }
    }
    if changed(Pod::differs_for_service) {
        tell_services(context, object, old, new);
    }
}

fn soon(context: &mut Context, key: Key, many: usize) {
    if many < MANY {
        context.queue.push(key);
    } else {
        // In proportion to what a look costs.
        let at = context.now() + Duration::from_micros(10 * many as u64);
        context.queue.push_at(key, at);
    }
}

fn tell_owner(context: &mut Context, pod: &Pod) {
    let namespace = &*pod.object.namespace;
    let Some(owner) = &pod.owner else {
        for (id, which) in
            [("replicasets.apps", Which::ReplicaSet), ("daemonsets.apps", Which::DaemonSet), ("statefulsets.apps", Which::StatefulSet)]
        {
            for candidate in context.api.store().list(id, namespace).1 {
                context.queue.add(which, namespace, &candidate.name);
            }
        }
        return;
    };
    let which = match &*owner.kind {
        "ReplicaSet" => Which::ReplicaSet,
        "DaemonSet" => Which::DaemonSet,
        "StatefulSet" => Which::StatefulSet,
        "Job" => Which::Job,
        _ => return,
    };
    let many = context.pods.count_owned(&owner.uid);
    let key = Key::new(which, namespace, &owner.name);
    soon(context, key, many);
    // A deployment that recreates waits for the last pod to be gone, of which its replica set says nothing.
    if which == Which::ReplicaSet
        && many == 0
        && let Some(set) = context.api.read("replicasets.apps", namespace, &owner.name)
        && let Some(deployment) = controller_of(&set)
    {
        context.queue.add(Which::Deployment, namespace, text(&deployment["name"]));
    }
}

fn tell_services(context: &mut Context, object: &Object, old: Option<&Pod>, new: Option<&Pod>) {
    let Some(services) = context.services.get(&object.namespace) else { return };
    let selects = |s: &Selector| [old, new].into_iter().flatten().any(|p| s.matches(&p.object.labels));
    let names: Vec<Box<str>> = services.iter().filter(|(_, s)| selects(s)).map(|(n, _)| n.clone()).collect();
    let many = context.pods.count_within(&object.namespace);
    for name in names {
        soon(context, Key::new(Which::Endpoints, &object.namespace, &name), many);
        soon(context, Key::new(Which::EndpointSlice, &object.namespace, &name), many);
    }
}

fn service(context: &mut Context, change: Change, object: &Object) {
    let selector = if change == Change::Deleted { Selector::default() } else { Selector::map(&object.value()["spec"]["selector"]) };
    let within = context.services.entry(object.namespace.clone()).or_default();
    if selector.is_empty() {
        within.remove(&object.name);
    } else {
        within.insert(object.name.clone(), selector);
    }
    context.queue.add(Which::Endpoints, &object.namespace, &object.name);
    context.queue.add(Which::EndpointSlice, &object.namespace, &object.name);
}

fn node(context: &mut Context, change: Change, object: &Arc<Object>, before: Option<&Arc<Object>>) {
    let value = object.value();
    let moved = scheduler::observe_node(context, change, object, &value);
    nodes::observe_node(context, change, object, &value);
    // A heartbeat concerns nobody else.
    if moved || before.is_none() || change == Change::Deleted {
        for set in context.api.store().list("daemonsets.apps", "").1 {
            context.queue.add(Which::DaemonSet, &set.namespace, &set.name);
        }
    }
}
