//! Defaults of volumes and of the objects about storage.

use serde_json::{Map, Value, json};

use super::World;
use super::access::{default, default_zero, items_mut, object, put, set, text};

/// The mode of files that nothing is said about: 0644.
const MODE: u32 = 420;

/// `SetDefaults_Volume` and its sources.
pub(super) fn defaults(volume: &mut Value) {
    let Some(fields) = volume.as_object() else { return };
    if !fields.iter().any(|(name, source)| name != "name" && !source.is_null()) {
        put(volume, "emptyDir", Map::new());
        return;
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            default(source, "defaultMode", MODE);
        }
    }
    if let Some(source) = volume.get_mut("downwardAPI") {
        downward(source);
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in items_mut(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                default(token, "expirationSeconds", 3600);
            }
            if let Some(source) = source.get_mut("downwardAPI") {
                downward(source);
            }
        }
    }
    if let Some(host) = volume.get_mut("hostPath") {
        default(host, "type", "");
    }
    if let Some(iscsi) = volume.get_mut("iscsi") {
        default_zero(iscsi, "iscsiInterface", "default");
    }
    if let Some(claim) = volume.pointer_mut("/ephemeral/volumeClaimTemplate") {
        if let Some(meta) = object(claim, "metadata") {
            default(meta, "creationTimestamp", Value::Null);
        }
        if let Some(spec) = object(claim, "spec") {
            claim_spec(spec);
        }
    }
}

fn downward(source: &mut Value) {
    for item in items_mut(source, "items") {
        if let Some(field) = item.get_mut("fieldRef") {
            default_zero(field, "apiVersion", "v1");
        }
        if let Some(field) = item.get_mut("resourceFieldRef") {
            default(field, "divisor", "0");
        }
    }
}

/// `SetDefaults_PersistentVolumeClaimSpec`, and the data source that mirrors the other one (`pkg/registry/core/persistentvolumeclaim`).
pub(super) fn claim_spec(spec: &mut Value) {
    default(spec, "volumeMode", "Filesystem");
    default(spec, "resources", Map::new());
    if set(spec, "dataSource") && !set(spec, "dataSourceRef") {
        let source = spec["dataSource"].clone();
        put(spec, "dataSourceRef", source);
    }
}

/// A claim that stands for itself or in a `StatefulSet`.
pub(super) fn claim(claim: &mut Value) {
    if let Some(spec) = object(claim, "spec") {
        claim_spec(spec);
    }
    if let Some(status) = object(claim, "status") {
        default_zero(status, "phase", "Pending");
    }
}

/// The admission plugin `DefaultStorageClass`.
pub(super) fn default_class(claim: &mut Value, world: &dyn World) {
    if let Some(spec) = object(claim, "spec")
        && !set(spec, "storageClassName")
        && let Some(class) = world.default_storage_class()
    {
        put(spec, "storageClassName", class);
    }
}

/// `SetDefaults_PersistentVolume`.
pub(super) fn volume(volume: &mut Value) {
    if let Some(spec) = object(volume, "spec") {
        default_zero(spec, "persistentVolumeReclaimPolicy", "Retain");
        default(spec, "volumeMode", "Filesystem");
        if let Some(host) = spec.get_mut("hostPath") {
            default(host, "type", "");
        }
        if let Some(reference) = spec.get_mut("claimRef")
            && text(reference, "kind").is_empty()
        {
            put(reference, "kind", "PersistentVolumeClaim");
            default_zero(reference, "apiVersion", "v1");
        }
    }
    if let Some(status) = object(volume, "status") {
        default_zero(status, "phase", "Pending");
    }
}

/// `SetDefaults_StorageClass`.
pub(super) fn class(class: &mut Value) {
    default(class, "reclaimPolicy", "Delete");
    default(class, "volumeBindingMode", "Immediate");
}

/// `SetDefaults_CSIDriver`.
pub(super) fn driver(driver: &mut Value) {
    if let Some(spec) = object(driver, "spec") {
        default(spec, "attachRequired", true);
        default(spec, "podInfoOnMount", false);
        default(spec, "storageCapacity", false);
        default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        default(spec, "requiresRepublish", false);
        default(spec, "seLinuxMount", false);
        if !set(spec, "volumeLifecycleModes") {
            put(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
    }
}
