//! `metadata.managedFields`: who owns which fields (`apimachinery/pkg/util/managedfields/internal`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{Node, Set, field};

/// `DefaultMaxUpdateManagers`.
const MAX_UPDATE_MANAGERS: usize = 10;

/// Who wrote, and how. The `apiVersion` counts for updates only: a manager applies one configuration, in whatever version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) applies: bool,
    pub(super) version: String,
    pub(super) subresource: String,
}

impl Manager {
    pub(super) fn new(name: &str, applies: bool, version: &str, subresource: &str) -> Self {
        let name = if name.is_empty() { "unknown" } else { name };
        let version = if applies { "" } else { version };
        Self { name: name.to_owned(), applies, version: version.to_owned(), subresource: subresource.to_owned() }
    }

    /// As conflicts name it (`printManager`).
    pub(super) fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            shown = format!("{shown} with subresource {:?}", self.subresource);
        }
        if self.applies { shown } else { format!("{shown} using {}", self.version) }
    }
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) set: Set,
    /// The `apiVersion` that the fields are of.
    pub(super) version: String,
    pub(super) time: Option<Value>,
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Managed(pub(super) BTreeMap<Manager, Owned>);

impl Managed {
    /// From `metadata.managedFields`; in words what is wrong with them.
    pub(super) fn decode(entries: Option<&Value>) -> Result<Self, String> {
        let mut managed = Self::default();
        for (index, entry) in entries.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            let applies = match text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let version = text("apiVersion");
            if version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let set = match entry.get("fieldsV1") {
                None | Some(Value::Null) => Set::default(),
                Some(fields) => Set::decode(fields).ok_or_else(|| format!("error decoding set of managed fields entry {index}"))?,
            };
            let mut manager = Manager::new(text("manager"), applies, version, text("subresource"));
            text("manager").clone_into(&mut manager.name);
            let time = entry.get("time").filter(|time| !time.is_null()).cloned();
            managed.0.insert(manager, Owned { set, version: version.to_owned(), time });
        }
        Ok(managed)
    }

    /// As `metadata.managedFields`; `None` if nobody owns anything.
    pub(super) fn encode(&self) -> Option<Value> {
        let mut entries: Vec<(&Manager, &Owned)> = self.0.iter().collect();
        entries.sort_by(|a, b| order(*a, *b));
        let entry = |(manager, owned): (&Manager, &Owned)| {
            let mut entry = Map::new();
            entry.insert("manager".to_owned(), json!(manager.name));
            entry.insert("operation".to_owned(), json!(if manager.applies { "Apply" } else { "Update" }));
            entry.insert("apiVersion".to_owned(), json!(owned.version));
            if let Some(time) = &owned.time {
                entry.insert("time".to_owned(), time.clone());
            }
            entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
            entry.insert("fieldsV1".to_owned(), owned.set.encode());
            if !manager.subresource.is_empty() {
                entry.insert("subresource".to_owned(), json!(manager.subresource));
            }
            Value::Object(entry)
        };
        (!entries.is_empty()).then(|| entries.into_iter().map(entry).collect())
    }

    /// Takes fields away from all but one manager, and forgets who is left with none.
    pub(super) fn take(&mut self, gone: [&Set; 2], but: Option<&Manager>) {
        self.0.retain(|manager, owned| {
            if Some(manager) != but {
                for set in gone {
                    owned.set.remove(set);
                }
            }
            !owned.set.is_empty()
        });
    }

    /// Puts the oldest updates together where there are too many (`capManagersManager`).
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<Manager> = self.0.keys().filter(|manager| !manager.applies).cloned().collect();
        let mut count = updates.len();
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let time = |manager: &Manager| self.0.get(manager).map(|owned| seconds(owned).to_owned());
        updates.sort_by(|a, b| time(a).cmp(&time(b)).then_with(|| a.cmp(b)));
        let mut first: BTreeMap<String, Manager> = BTreeMap::new();
        for manager in updates {
            if count <= MAX_UPDATE_MANAGERS {
                break;
            }
            let Some(known) = first.get(&manager.version) else {
                first.insert(manager.version.clone(), manager);
                continue;
            };
            let bucket = Manager::new("ancient-changes", false, &manager.version, "");
            if !self.0.contains_key(&bucket)
                && let Some(oldest) = self.0.remove(known)
            {
                self.0.insert(bucket.clone(), oldest);
            }
            if manager != bucket
                && let Some(owned) = self.0.remove(&manager)
                && let Some(all) = self.0.get_mut(&bucket)
            {
                all.set.add(owned.set);
                all.time = owned.time;
                count -= 1;
            }
        }
    }
}

fn seconds(owned: &Owned) -> &str {
    owned.time.as_ref().and_then(Value::as_str).unwrap_or_default()
}

/// `sortEncodedManagedFields`. All times are of the form that the API server writes, which sorts as text.
fn order(a: (&Manager, &Owned), b: (&Manager, &Owned)) -> Ordering {
    let key = |(manager, owned): (&Manager, &Owned)| {
        (!manager.applies, seconds(owned).to_owned(), manager.name.clone(), owned.version.clone(), manager.subresource.clone())
    };
    key(a).cmp(&key(b))
}

/// Whether a client asks for the ownership to be forgotten: an empty list, or one empty entry (`isResetManagedFields`).
pub(super) fn is_reset(entries: &Value) -> bool {
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([entry]) => entry.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// Removes what nobody owns, since the API server maintains it or it says which object this is (`stripMetaManager`).
pub(super) fn strip(set: &mut Set) {
    let leaf = || Node { member: true, below: Set::default() };
    let mut metadata = leaf();
    for name in
        ["name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"]
    {
        metadata.below.put(field(name), leaf());
    }
    let mut stripped = Set::default();
    stripped.put(field("metadata"), metadata);
    for name in ["apiVersion", "kind"] {
        stripped.put(field(name), leaf());
    }
    set.remove(&stripped);
}
