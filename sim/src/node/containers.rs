//! What runs on a node. A kubelet fills it in; `crictl` shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its pod's UID.
    pub pod_uid: String,
    /// Its pod's name.
    pub pod_name: String,
    /// Its pod's namespace.
    pub namespace: String,
    /// Its name in the pod.
    pub name: String,
    /// The image as the pod names it.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// `CONTAINER_RUNNING`, `CONTAINER_EXITED`, `CONTAINER_CREATED`.
    pub state: String,
    /// When it was made.
    pub created: Timestamp,
    /// How often it was restarted.
    pub attempt: u32,
    /// Its output, line by line.
    pub log: Vec<String>,
}

/// The containers of a node, by id.
#[derive(Debug, Default)]
pub struct Containers {
    records: Mutex<BTreeMap<String, ContainerRecord>>,
}

impl Containers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ContainerRecord>> {
        self.records.lock().expect("nothing panics with this lock held")
    }

    /// Adds a container, or replaces the one with its id.
    pub fn put(&self, record: ContainerRecord) {
        self.lock().insert(record.id.clone(), record);
    }

    /// Changes a container. Says whether it was there.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut ContainerRecord)) -> bool {
        self.lock().get_mut(id).map(change).is_some()
    }

    /// Adds a line to a container's log.
    pub fn log(&self, id: &str, line: impl Into<String>) -> bool {
        self.change(id, |record| record.log.push(line.into()))
    }

    /// Takes a container away.
    pub fn remove(&self, id: &str) -> Option<ContainerRecord> {
        self.lock().remove(id)
    }

    /// A container by its id or the beginning of it.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<ContainerRecord> {
        self.lock().iter().find(|(key, _)| key.starts_with(id)).map(|(_, record)| record.clone())
    }

    /// All of them, newest first.
    #[must_use]
    pub fn all(&self) -> Vec<ContainerRecord> {
        let mut all: Vec<ContainerRecord> = self.lock().values().cloned().collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.created));
        all
    }
}
