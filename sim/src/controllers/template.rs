//! Pods from templates, and the hashes that tell templates apart.

use serde_json::{Value, json};

/// The characters of `SafeEncodeString`. Source: apimachinery `pkg/util/rand`.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A hash of a template, in the form of upstream's `ComputeHash`: a 32-bit number whose decimal digits are written in safe characters.
/// Upstream hashes Go's dump of the structure; here it is the canonical JSON.
pub(super) fn hash(template: &Value, collisions: Option<i64>) -> String {
    let mut state: u32 = 0x811c_9dc5;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    // Maps are sorted, so the same template has the same bytes.
    feed(&serde_json::to_vec(template).unwrap_or_default());
    if let Some(count) = collisions {
        feed(&count.to_le_bytes());
    }
    safe(&state.to_string())
}

fn safe(text: &str) -> String {
    text.bytes().map(|b| char::from(SAFE[usize::from(b) % SAFE.len()])).collect()
}

/// A pod of a template, to be named by the caller. Source: `pkg/controller/controller_utils.go` `GetPodFromTemplate`.
pub(super) fn pod(template: &Value, owner: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"ownerReferences": [owner]}, "spec": template["spec"]});
    for field in ["labels", "annotations", "finalizers"] {
        let given = &template["metadata"][field];
        if !given.is_null() {
            pod["metadata"][field] = given.clone();
        }
    }
    pod
}

/// A `generateName` that stays a valid prefix.
pub(super) fn prefix(owner: &str) -> String {
    format!("{owner}-")
}

/// Sets a label; the map may be missing.
pub(super) fn label(object: &mut Value, name: &str, value: &str) {
    object["metadata"]["labels"][name] = json!(value);
}

/// A template without one of its labels, for comparison.
pub(super) fn without_label(template: &Value, name: &str) -> Value {
    let mut bare = template.clone();
    if let Some(labels) = bare["metadata"]["labels"].as_object_mut() {
        labels.remove(name);
        if labels.is_empty() {
            bare["metadata"].as_object_mut().map(|m| m.remove("labels"));
        }
    }
    if let Some(meta) = bare["metadata"].as_object_mut() {
        // Nobody sets it, but some clients send it.
        meta.retain(|_, v| !v.is_null());
    }
    if bare["metadata"].as_object().is_none_or(serde_json::Map::is_empty) {
        bare.as_object_mut().map(|b| b.remove("metadata"));
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_look_like_upstream_ones_and_depend_on_collisions() {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        let first = hash(&template, None);
        assert!(!first.is_empty() && first.len() <= 10 && first.bytes().all(|b| SAFE.contains(&b)), "{first}");
        assert_eq!(first, hash(&template.clone(), None));
        assert_ne!(first, hash(&template, Some(1)));
        // The digits of upstream's 2875542 are `66b6c48dd5` and the like: `0` to `9` come out as these.
        assert_eq!(safe("0123456789"), "456789bcdf");
    }

    #[test]
    fn the_hash_label_does_not_count_in_a_comparison() {
        let bare = json!({"spec": {}});
        let labelled = json!({"metadata": {"labels": {"pod-template-hash": "x"}, "creationTimestamp": null}, "spec": {}});
        assert_eq!(without_label(&bare, "pod-template-hash"), without_label(&labelled, "pod-template-hash"));
    }
}
