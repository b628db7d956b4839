//! Images: pull policy, pulls and their back-off. Source: kubelet `pkg/kubelet/images/image_manager.go`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::{Done, Engine};
use super::pod::{Pod, since};
use super::runtime::{Image, PullError};

/// How long the error of a pull itself is shown before the back-off is. A real kubelet takes until its next look at the pod, some ten seconds;
/// what matters is that both are seen.
const SHOWN: Duration = Duration::from_secs(1);

/// A pull that is under way, and who waits for it since when.
pub(super) type Waiting = Vec<(u64, usize, Timestamp)>;

/// Whether a name is one that an image can have. Source: distribution's reference grammar, as far as mistakes go.
fn valid(image: &str) -> bool {
    let (path, digest) = image.split_once('@').map_or((image, None), |(p, d)| (p, Some(d)));
    let last = path.rsplit('/').next().unwrap_or_default();
    let (path, tag) = match last.split_once(':') {
        Some((_, tag)) => (&path[..path.len() - tag.len() - 1], Some(tag)),
        None => (path, None),
    };
    let (host, rest) = path.split_once('/').filter(|(h, _)| h.contains(['.', ':']) || *h == "localhost").unwrap_or(("", path));
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part = |p: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(p.chars().next()) && edge(p.chars().last()) && p.chars().all(|c| word(c) && !c.is_ascii_uppercase())
    };
    host.chars().all(|c| word(c) || c == ':')
        && rest.split('/').all(part)
        && tag.is_none_or(|t| !t.is_empty() && t.len() <= 128 && t.chars().all(word))
        && digest.is_none_or(|d| d.split_once(':').is_some_and(|(_, hex)| hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())))
}

/// The policy of a container that does not say one. Source: `pkg/apis/core/v1/defaults.go`.
fn default_policy(image: &str) -> &'static str {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.ends_with(":latest") || !last.contains([':', '@']) { "Always" } else { "IfNotPresent" }
}

/// Milliseconds up to a second, then seconds with them, as Go prints a duration that was truncated to milliseconds.
fn took(time: Duration) -> String {
    let (minutes, millis) = (time.as_secs() / 60, time.as_millis() % 60_000);
    if time < Duration::from_secs(1) {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let fraction = format!("{}.{:03}", millis / 1000, millis % 1000);
    let seconds = fraction.trim_end_matches('0').trim_end_matches('.');
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

impl Engine {
    /// Whether a container's image is there; if not, what can be done about it was begun.
    pub(super) fn image_ready(&mut self, id: u64, pod: &mut Pod, at: usize, now: Timestamp) -> bool {
        // One pull for each start: `Always` is asked again when a container starts again.
        let image = pod.spec(at)["image"].as_str().unwrap_or_default().to_owned();
        if pod.containers[at].image.is_some() && pod.containers[at].fresh {
            return true;
        }
        if !pod.may_pull {
            return pod.containers[at].image.is_some();
        }
        let fail = |engine: &mut Self, pod: &mut Pod, event: &str, reason: &str, text: String| {
            engine.recorder.record(now, pod.about(Some(at)), true, event, text.clone());
            engine.recorder.record(now, pod.about(Some(at)), true, "Failed", format!("Error: {reason}"));
            pod.containers[at].wait(reason, Some(text));
            pod.containers[at].hold = Some(now + Duration::from_secs(10));
        };
        if !valid(&image) {
            let why = format!("couldn't parse image name {image:?}: invalid reference format");
            fail(self, pod, "InspectFailed", "InvalidImageName", format!("Failed to apply default image tag {image:?}: {why}"));
            return false;
        }
        let policy = pod.spec(at)["imagePullPolicy"].as_str().unwrap_or_else(|| default_policy(&image)).to_owned();
        let Some(node) = self.nodes.get_mut(&pod.node) else { return false };
        let present = node.runtime.present(&image);
        match (policy.as_str(), present) {
            ("IfNotPresent" | "Never", Some(found)) => {
                let text = format!("Container image {image:?} already present on machine");
                self.recorder.record(now, pod.about(Some(at)), false, "Pulled", text);
                pod.containers[at].image = Some(found);
                pod.containers[at].fresh = true;
                true
            }
            ("Never", None) => {
                let text = format!("Container image {image:?} is not present with pull policy of Never");
                fail(self, pod, "ErrImageNeverPull", "ErrImageNeverPull", text);
                false
            }
            _ => {
                pod.containers[at].pulling = true;
                let text = format!("Pulling image {image:?}");
                let waiting = node.pulls.entry(image.clone()).or_default();
                waiting.push((id, at, now));
                let first = waiting.len() == 1;
                let (name, runtime) = (Arc::clone(&node.name), Arc::clone(&node.runtime));
                self.recorder.record(now, pod.about(Some(at)), false, "Pulling", text);
                if first {
                    let fault = self.shared.faults.pull(&image, &name);
                    self.effects.push(Box::pin(async move {
                        let result = match fault {
                            Some(message) => Err(PullError { message }),
                            None => runtime.pull(&image).await,
                        };
                        Done::Pulled { node: name, image, result }
                    }));
                }
                false
            }
        }
    }

    /// A pull ended.
    pub(super) fn pulled(&mut self, node: &str, image: &str, result: &Result<Image, PullError>) {
        let now = self.api.clock().now();
        let waiting = self.nodes.get_mut(node).and_then(|n| n.pulls.remove(image)).unwrap_or_default();
        for (id, at, since_when) in waiting {
            let Some(mut pod) = self.take_pod(id) else { continue };
            pod.containers[at].pulling = false;
            let about = pod.about(Some(at));
            match result {
                Ok(found) => {
                    let time = took(since(since_when, now));
                    let text = format!(
                        "Successfully pulled image {image:?} in {time} ({time} including waiting). Image size: {} bytes.",
                        found.size
                    );
                    self.recorder.record(now, about, false, "Pulled", text);
                    let container = &mut pod.containers[at];
                    container.image = Some(found.clone());
                    container.fresh = true;
                    container.pull_back_off = super::pod::BackOff::default();
                }
                Err(error) => {
                    self.recorder.record(now, about.clone(), true, "Failed", format!("Failed to pull image {image:?}: {error}"));
                    self.recorder.record(now, about, true, "Failed", "Error: ErrImagePull".to_owned());
                    let container = &mut pod.containers[at];
                    container.pull_back_off.next(now);
                    container.hold = container.pull_back_off.until(now);
                    container.wait("ErrImagePull", Some(error.message.clone()));
                    container.then = Some((now + SHOWN, error.message.clone()));
                }
            }
            self.pods.insert(id, pod);
            self.touch(id);
        }
    }

    /// From the error of the pull itself to the back-off.
    pub(super) fn image_back_off(&mut self, pod: &mut Pod, at: usize, message: &str, now: Timestamp) {
        let image = pod.spec(at)["image"].as_str().unwrap_or_default().to_owned();
        let text = format!("Back-off pulling image {image:?}");
        self.recorder.record(now, pod.about(Some(at)), false, "BackOff", text.clone());
        self.recorder.record(now, pod.about(Some(at)), true, "Failed", "Error: ImagePullBackOff".to_owned());
        pod.containers[at].wait("ImagePullBackOff", Some(format!("{text}: ErrImagePull: {message}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_as_the_reference_grammar_has_it() {
        for good in
            ["nginx", "nginx:1.27", "localhost:5000/a/b:x", "registry.k8s.io/pause:3.10", "a.b/c@sha256:0123456789abcdef0123456789abcdef"]
        {
            assert!(valid(good), "{good}");
        }
        for bad in ["", "nginx:", "Nginx", "a b", "docker.io//x", "nginx:1 ", "-x", "a/B:c"] {
            assert!(!valid(bad), "{bad}");
        }
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        assert_eq!(took(Duration::from_millis(12)), "12ms");
        assert_eq!(took(Duration::from_millis(1500)), "1.5s");
        assert_eq!(took(Duration::from_secs(62)), "1m2s");
    }
}
