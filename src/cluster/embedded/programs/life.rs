//! The life of a process: what it says of itself, and the tasks that end with it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use sim::workload::Process;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A running process. Dropping it ends its tasks.
pub(super) struct Life {
    process: Arc<watch::Sender<Process>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Default for Life {
    fn default() -> Self {
        Self { process: Arc::new(watch::Sender::new(Process::Running)), tasks: Mutex::default() }
    }
}

impl Life {
    /// Its state, now and from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Process> {
        self.process.subscribe()
    }

    /// Whether it runs.
    pub(super) fn runs(&self) -> bool {
        *self.process.borrow() == Process::Running
    }

    /// Runs a task until the process ends. What the task gives is the process's own end, if it has one.
    pub(super) fn spawn(&self, task: impl Future<Output = Option<Process>> + Send + 'static) {
        let process = Arc::clone(&self.process);
        let task = tokio::spawn(async move {
            if let Some(end) = task.await {
                process.send_replace(end);
            }
        });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
    }

    /// It was told to terminate, and does.
    pub(super) fn stop(&self) {
        self.end_tasks();
        self.process.send_replace(Process::Exited { code: 0, reason: "Completed".to_owned() });
    }

    fn end_tasks(&self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_end_with_the_process() {
        let held = Arc::new(());
        let life = Life::default();
        let inside = Arc::clone(&held);
        life.spawn(async move {
            std::future::pending::<()>().await;
            drop(inside);
            None
        });
        tokio::task::yield_now().await;
        assert!(life.runs());
        drop(life);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_may_end_the_process() {
        let life = Life::default();
        let mut seen = life.watch();
        life.spawn(async { Some(Process::Exited { code: 1, reason: "Error".into() }) });
        seen.changed().await.unwrap();
        assert!(!life.runs());
    }
}
