//! The table of the rules. The `P` ids are the project's catalogue of known troubles of Kind, containerd and Istio.

use std::sync::LazyLock;

use regex::Regex;

use super::Confidence::{Certain, Likely, Possible};
use super::{Confidence, Kind, Line, changed, several};

/// A rule: the id is stable and names a message in `diagnoses.ftl` whose value is the cause and whose attribute is the remedy.
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) confidence: Confidence,
    /// Where the trouble is discussed: repository and number.
    pub(super) threads: &'static [(&'static str, u32)],
    /// Rules above this one that say more about a line that both know.
    pub(super) yields_to: &'static [&'static str],
    /// It names a symptom that many causes have, so it only speaks where nothing else does.
    pub(super) is_last_resort: bool,
    matcher: Matcher,
}

/// How a rule knows its cause.
enum Matcher {
    /// Any of these in one line. Named groups fill the message's variables, so all have the same ones.
    Line(Vec<Regex>),
    /// By all lines.
    All(fn(&[Line<'_>]) -> Vec<Match>),
}

/// Where a rule knew its cause.
pub(super) struct Match {
    /// The lines that it explains; the first one is shown.
    pub(super) lines: Vec<usize>,
    /// Where in the first line.
    pub(super) at: usize,
    /// The message's variables.
    pub(super) args: Vec<(String, String)>,
}

pub(super) fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

impl Rule {
    pub(super) fn new(id: &'static str, confidence: Confidence, patterns: &[&str]) -> Self {
        Self::of(id, confidence, Matcher::Line(patterns.iter().map(|p| regex(p)).collect()))
    }

    fn several(id: &'static str, confidence: Confidence, matcher: fn(&[Line<'_>]) -> Vec<Match>) -> Self {
        Self::of(id, confidence, Matcher::All(matcher))
    }

    fn of(id: &'static str, confidence: Confidence, matcher: Matcher) -> Self {
        Self { id, confidence, threads: &[], yields_to: &[], is_last_resort: false, matcher }
    }

    fn threads(self, threads: &'static [(&'static str, u32)]) -> Self {
        Self { threads, ..self }
    }

    fn yields_to(self, yields_to: &'static [&'static str]) -> Self {
        Self { yields_to, ..self }
    }

    fn last_resort(self) -> Self {
        Self { is_last_resort: true, ..self }
    }

    /// Everything that it knows in these lines.
    pub(super) fn matches(&self, lines: &[Line<'_>]) -> Vec<Match> {
        let patterns = match &self.matcher {
            Matcher::All(matcher) => return matcher(lines),
            Matcher::Line(patterns) => patterns,
        };
        let mut found = Vec::new();
        for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.kind != Kind::Seen) {
            for pattern in patterns {
                for captures in pattern.captures_iter(line.text) {
                    let named = pattern.capture_names().flatten();
                    let args = named.filter_map(|n| Some((n.to_owned(), captures.name(n)?.as_str().to_owned()))).collect();
                    found.push(Match { lines: vec![at], at: captures.get(0).map_or(0, |m| m.start()), args });
                }
            }
        }
        found
    }
}

const KIND: &str = "kubernetes-sigs/kind";
const CONTAINERD: &str = "containerd/containerd";
const ISTIO: &str = "istio/istio";
const ZTUNNEL: &str = "istio/ztunnel";
const DASHBOARD: &str = "kubernetes-retired/dashboard";

/// In order of how specific they are.
pub(super) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut rules = pulls();
    rules.extend(hosts());
    rules.extend(mesh());
    rules.extend(access());
    rules.extend(changed::rules());
    rules.extend(own());
    rules
});

/// The way of an image onto a node.
fn pulls() -> Vec<Rule> {
    vec![
        Rule::new(
            "P1",
            Certain,
            &[r"proxyconnect tcp: dial tcp (?P<address>(?:127\.\d+\.\d+\.\d+|\[::1\]):\d+): connect: connection refused"],
        )
        .threads(&[(KIND, 1459), (KIND, 2009), (KIND, 4084), (KIND, 4140)]),
        Rule::several("P2", Likely, several::drop_in_missing).threads(&[(KIND, 275), (KIND, 746)]),
        Rule::new("P3", Certain, &[r"(?i)proxy authentication required|\b407\b\s+access denied|proxy.* 407\b"])
            .threads(&[(KIND, 3467), (KIND, 2009)]),
        Rule::several("P4", Likely, several::range_covers_no_name).threads(&[(KIND, 1304)]),
        Rule::several("P6", Certain, several::proxy_table).threads(&[(CONTAINERD, 8377), (CONTAINERD, 13359)]),
        Rule::new(
            "P7",
            Likely,
            &[
                r"image \S+ on (?P<node>\S+) \(registry \S+\) did not come through the mirror",
                r#"containerd on (?P<node>\S+) has config_path "[^"]*", not "#,
                r"containerd on (?P<node>\S+) did not read \S+/hosts\.toml",
            ],
        )
        .threads(&[(KIND, 3918), (CONTAINERD, 6438), (CONTAINERD, 12550), (CONTAINERD, 12636)])
        .yields_to(&["P2"]),
        Rule::new("P8", Certain, &[r"`?mirrors`? cannot be set when `?config_path`? is provided"]).threads(&[
            (CONTAINERD, 11041),
            ("openperouter/openperouter", 314),
            ("ovn-kubernetes/ovn-kubernetes", 6149),
            ("hyperledger/fabric-samples", 1375),
        ]),
        Rule::new("P9", Certain, &[r"(?i)toomanyrequests|429 too many requests|unexpected status.*: 429\b"]).threads(&[(ISTIO, 55120)]),
        Rule::new("P11", Likely, &[r"content digest (?P<digest>sha256:[0-9a-f]{64}): not found"]).threads(&[
            (KIND, 3795),
            (KIND, 4224),
            (CONTAINERD, 11344),
        ]),
        Rule::new("P23", Likely, &[r"(?i)net/http: TLS handshake timeout"]),
        Rule::new("P24", Certain, &[r"exec format error|no match for platform in manifest"]).threads(&[(KIND, 2718)]),
        Rule::new(
            "P35",
            Likely,
            &[r#"(?i)pull.*?image \\?"?(?P<image>registry\.istio\.io/[^\s"\\]+?)\\?"?: .*(?:: not found|dial tcp|unexpected status|eof|denied)"#],
        )
        .threads(&[(ISTIO, 59364)])
        .yields_to(&["P1", "P2", "P3", "P4", "P6", "P7", "P9", "P24"]),
    ]
}

/// What a host must give.
fn hosts() -> Vec<Rule> {
    vec![
        Rule::new("P10", Likely, &[r"failed to detect containerd snapshotter|unknown containerd config version: \d+"]).threads(&[
            (KIND, 3853),
            (KIND, 3871),
            (KIND, 3768),
            ("kubernetes-sigs/dra-example-driver", 245),
        ]),
        Rule::new("P12", Certain, &[r"(?i)configured to not run on a host using cgroup v1|cannot run on a host with cgroup v1"])
            .threads(&[("kubernetes/kubernetes", 134_298), (KIND, 4077), ("kubernetes/minikube", 22315)]),
        Rule::new("P14", Certain, &[r"Failed TCP handshake Too many open files \(os error 24\)"]).threads(&[
            (ZTUNNEL, 1631),
            (ISTIO, 55668),
            (ISTIO, 56888),
        ]),
        Rule::new("P13", Likely, &[r"(?i)too many open files|failed to create fsnotify watcher|inotify.*no space left on device"])
            .threads(&[("istio/common-files", 1278), (ISTIO, 36821), (ISTIO, 55915), ("cilium/cilium", 30125)])
            .yields_to(&["P14"]),
        Rule::new(
            "P16",
            Certain,
            &[
                r"Extension (?P<module>\w+) revision \d+ not supported, missing kernel module",
                r"modprobe: FATAL: Module (?P<module>xt_\w+|nf_conntrack\w*) not found",
            ],
        )
        .threads(&[("defenseunicorns/uds-core", 1547), (ISTIO, 37885), ("microsoft/WSL", 8153), (KIND, 707), (KIND, 720)]),
        Rule::new("P19", Certain, &[r"Insufficient (?P<resource>memory|cpu)"]),
        Rule::new("P25", Possible, &[r"<jemalloc>: Unsupported system page size"]),
        Rule::new("P32", Certain, &[r"node\(s\) already exist for a cluster"]),
        Rule::new(
            "P33",
            Likely,
            &[
                r"error adding pid \d+ to cgroups",
                r"Couldn't find an alternative telinit implementation to spawn",
                r"stat failed on /dev/\S+ with error",
                r"failed to get rootfs info",
            ],
        )
        .threads(&[(KIND, 2411)]),
        Rule::new("P34", Certain, &[r"Unable to get latest Istio version"]),
    ]
}

/// Istio, the Gateway API and the network of pods.
fn mesh() -> Vec<Rule> {
    vec![
        Rule::new("P15", Likely, &[r"istio-cni cmdAdd failed to contact node Istio CNI agent"])
            .threads(&[(ISTIO, 56888), (ISTIO, 36821)])
            .yields_to(&["P16"]),
        Rule::new("P22", Possible, &[r"lookup _[^\s:]+ on \S+: no such host", r"\bNOTIMP\b"]).threads(&[
            (ISTIO, 55962),
            (ISTIO, 55979),
            (ISTIO, 54278),
            (ZTUNNEL, 1360),
        ]),
        Rule::new(
            "P18",
            Likely,
            &[
                r"XDS client connection error.*connecting to (?P<address>https://\S+?:\d+): .*(?P<error>failed to lookup address information|No route to host|Connection refused|deadline has elapsed)",
                // A name that only the cluster's DNS knows, or a question that was put to it: its address is the tenth of the services.
                r"lookup (?P<address>[^\s:]+\.svc(?:\.cluster\.local)?\.?)(?: on \S+)?: (?P<error>no such host|i/o timeout|server misbehaving)",
                r"lookup (?P<address>[^\s:]+) on 10\.96\.0\.10:53: (?P<error>no such host|server misbehaving|read udp \S+: i/o timeout)",
            ],
        )
        .threads(&[(ISTIO, 54912), (ISTIO, 54434), (ZTUNNEL, 735)])
        .yields_to(&["P22"]),
        Rule::new("P21", Likely, &[r"maybe a NetworkPolicy is blocking HBONE port 15008"]).threads(&[(ISTIO, 52742)]),
        Rule::new(
            "P20",
            Possible,
            &[r"(?P<probe>Liveness|Readiness|Startup) probe failed: .*(?:i/o timeout|context deadline exceeded|connection timed out)"],
        )
        .threads(&[(ISTIO, 52765), (ISTIO, 53105), (ISTIO, 52208)]),
        Rule::new("P29", Certain, &[r"metadata\.annotations: Too long"])
            .threads(&[("kubernetes-sigs/gateway-api", 4156), ("kubernetes-sigs/kubespray", 13086)]),
        Rule::new(
            "P30",
            Certain,
            &[r"(?P<what>Installing (?:CRDs with version before v[0-9.]+[0-9]|experimental CRDs on top of standard channel CRDs)) is prohibited"],
        ),
        Rule::new(
            "P17",
            Possible,
            &[r"(?P<component>\w[\w ]*) encountered an error: failed to wait for resource: resources not ready after (?P<time>\w+)"],
        )
        .threads(&[(ISTIO, 44950), (ISTIO, 54045), (ISTIO, 52487)])
        .last_resort(),
        Rule::new("P31", Likely, &[r"GatewayClass (?P<class>\S+) (?:does not exist|is not Accepted)"]).last_resort(),
    ]
}

/// The way to the Dashboard.
fn access() -> Vec<Rule> {
    vec![
        Rule::new(
            "P26",
            Likely,
            &[
                r#"no endpoints available for service \\?"(?P<service>[^"\\]+)"#,
                r#"no service port \\?"[^"\\]*\\?" found for service \\?"(?P<service>[^"\\]+)"#,
            ],
        )
        .threads(&[(DASHBOARD, 4943), (DASHBOARD, 6352), ("kubernetes/kubectl", 1479)]),
        Rule::new(
            "P27",
            Certain,
            &[r"(?:through the proxy gives|the host localhost is refused:) HTTP 403 Forbidden", r"Filter rejecting [A-Z]+ /"],
        ),
        Rule::new(
            "P28",
            Certain,
            &[
                r"the Dashboard refuses the token|the Dashboard gives no session|even the right token is refused|MSG_LOGIN_UNAUTHORIZED_ERROR",
            ],
        ),
    ]
}

/// What has no number in the catalogue, and the lookup of a name, which nearly everything else explains better.
fn own() -> Vec<Rule> {
    vec![
        Rule::new("image-not-found", Likely, &[r"(?i)pull.*?image (?P<image>[^\s:]+[^\s]*): .*(?:: not found|manifest unknown|NotFound)"])
            .yields_to(&["P24", "P35", "P11"]),
        Rule::new(
            "image-denied",
            Likely,
            &[r"(?i)pull.*?image (?P<image>[^\s:]+[^\s]*): .*(?:access denied|unauthorized|authorization failed|403 forbidden)"],
        )
        .yields_to(&["P3", "P35"]),
        Rule::new("P5", Likely, &[r"lookup (?P<host>[^\s:]+)(?: on [^\s]+)?: no such host"]).threads(&[(KIND, 1974)]).yields_to(&[
            "P2", "P6", "P18", "P22", "P35",
            // Its sentence ends with what the pull said, for which there is no mirror to blame.
            "P7",
        ]),
        Rule::new("registry-unavailable", Likely, &[
            r"unexpected status from \w+ request to (?P<url>[^\s?]+)[^\s]*: (?P<status>5\d\d[^\x22;]*)",
        ])
        .yields_to(&["P4", "P35"]),
        Rule::new("registry-unreachable", Likely, &[
            r"(?:Head|Get) \\?\x22(?P<url>https?://[^\x22?\\]+)[^\x22]*\\?\x22: (?P<error>dial tcp [^\s]+ (?:connect: connection refused|i/o timeout|connect: no route to host))",
        ])
        .yields_to(&["P2", "P6", "P20", "P35"]),
        Rule::new("node-missing", Certain, &[r"node (?P<node>[a-z0-9.-]+) has no container"]),
        Rule::new("node-stopped", Certain, &[r"node (?P<node>[a-z0-9.-]+): its container is (?P<state>exited|dead|paused|created)"]),
        Rule::new("node-silent", Likely, &[r"kubelet of node (?P<node>[a-z0-9.-]+) does not answer"]),
        Rule::new("crash-loop", Likely, &[
            r"pod (?P<pod>[^\s]+) on (?P<node>[^\s:]+): container (?P<container>[^\s:]+): CrashLoopBackOff",
        ]),
        Rule::new("container-runtime", Likely, &[r"cni plugin not initialized"]),
    ]
}
