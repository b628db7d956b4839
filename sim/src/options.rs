//! The parameters of a request: `ListOptions`, and what writes take (Kubernetes `apimachinery/pkg/apis/meta/internalversion` and its validation).

use crate::failure::{Cause, Failure};
use crate::path::Query;
use crate::selector::{FieldSelector, LabelSelector, quoted};

/// Parameters of `list`, `watch` and `deletecollection`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `labelSelector`.
    pub label_selector: LabelSelector,
    /// `fieldSelector`; [`FieldSelector::check`] tells whether the kind offers its fields.
    pub field_selector: FieldSelector,
    /// `watch`.
    pub watch: bool,
    /// `limit`; 0 for none.
    pub limit: i64,
    /// `continue`.
    pub continue_token: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
    /// `allowWatchBookmarks`.
    pub allow_watch_bookmarks: bool,
    /// `sendInitialEvents`.
    pub send_initial_events: Option<bool>,
    /// `timeoutSeconds`.
    pub timeout_seconds: Option<i64>,
}

const EXACT: &str = "Exact";
const NOT_OLDER: &str = "NotOlderThan";

impl ListOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// 400 with upstream's message for a value that cannot be read.
    pub fn parse(query: &Query) -> Result<Self, Failure> {
        let text = |key: &str| query.get(key).unwrap_or_default().to_owned();
        Ok(Self {
            label_selector: LabelSelector::parse(&text("labelSelector")).map_err(Failure::bad_request)?,
            field_selector: FieldSelector::parse(&text("fieldSelector")).map_err(Failure::bad_request)?,
            watch: query.flag("watch").unwrap_or_default(),
            limit: integer(query, "limit")?.unwrap_or_default(),
            continue_token: text("continue"),
            resource_version: text("resourceVersion"),
            resource_version_match: text("resourceVersionMatch"),
            allow_watch_bookmarks: query.flag("allowWatchBookmarks").unwrap_or_default(),
            send_initial_events: query.flag("sendInitialEvents"),
            timeout_seconds: integer(query, "timeoutSeconds")?,
        })
    }

    /// Whether the parameters go together. `watch_list` is the feature gate `WatchList`: off in 1.33, on in 1.32 and since 1.34.
    ///
    /// # Errors
    ///
    /// 422 with upstream's causes.
    pub fn validate(&self, watch_list: bool) -> Result<(), Failure> {
        let matching = self.resource_version_match.as_str();
        let mut causes = Vec::new();
        let match_field = "resourceVersionMatch";
        if self.watch {
            if self.send_initial_events.is_some() {
                if matching != NOT_OLDER {
                    causes.push(forbidden(match_field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
                }
                if !watch_list {
                    let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
                    causes.push(forbidden("sendInitialEvents", why));
                }
            }
            if !matching.is_empty() {
                if self.send_initial_events.is_none() {
                    let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                    causes.push(forbidden(match_field, why));
                }
                if matching != NOT_OLDER {
                    causes.push(not_supported(match_field, &quoted(matching), &[NOT_OLDER]));
                }
                if !self.continue_token.is_empty() {
                    causes.push(forbidden(match_field, "resourceVersionMatch is forbidden when continue is provided"));
                }
            }
        } else {
            if !matching.is_empty() {
                if self.resource_version.is_empty() {
                    causes.push(forbidden(match_field, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
                }
                if !self.continue_token.is_empty() {
                    causes.push(forbidden(match_field, "resourceVersionMatch is forbidden when continue is provided"));
                }
                if matching != EXACT && matching != NOT_OLDER {
                    causes.push(not_supported(match_field, &quoted(matching), &[EXACT, NOT_OLDER, ""]));
                }
                if matching == EXACT && self.resource_version == "0" {
                    causes.push(forbidden(match_field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
                }
            }
            if self.send_initial_events.is_some() {
                causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
            }
        }
        invalid("ListOptions", causes)
    }
}

/// Which options a write is checked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// `CreateOptions`.
    Create,
    /// `UpdateOptions`.
    Update,
    /// `PatchOptions` of a patch that is not server-side apply.
    Patch,
    /// `PatchOptions` of server-side apply.
    Apply,
    /// `DeleteOptions`.
    Delete,
}

/// Parameters of writes. `DeleteOptions` can also come in the body, which takes precedence as a whole; the caller fills them in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// `dryRun`; the only value is `All`.
    pub dry_run: Vec<String>,
    /// `fieldManager`.
    pub field_manager: String,
    /// `fieldValidation`: `Ignore`, `Warn` or `Strict`; empty stands for `Warn`.
    pub field_validation: String,
    /// `force`.
    pub force: Option<bool>,
    /// `pretty`.
    pub pretty: bool,
    /// `propagationPolicy`.
    pub propagation_policy: Option<String>,
    /// `gracePeriodSeconds`.
    pub grace_period_seconds: Option<i64>,
    /// `orphanDependents`.
    pub orphan_dependents: Option<bool>,
}

impl WriteOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// 400 with upstream's message for a value that cannot be read.
    pub fn parse(query: &Query) -> Result<Self, Failure> {
        let text = |key: &str| query.get(key).unwrap_or_default().to_owned();
        Ok(Self {
            dry_run: query.all("dryRun").into_iter().map(str::to_owned).collect(),
            field_manager: text("fieldManager"),
            field_validation: text("fieldValidation"),
            force: query.flag("force"),
            pretty: query.flag("pretty").unwrap_or_default(),
            propagation_policy: query.get("propagationPolicy").map(str::to_owned),
            grace_period_seconds: integer(query, "gracePeriodSeconds")?,
            orphan_dependents: query.flag("orphanDependents"),
        })
    }

    /// Whether nothing is to be stored.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.iter().any(|v| v == "All")
    }

    /// Whether the parameters are valid for a kind of write (`apimachinery/pkg/apis/meta/v1/validation`).
    ///
    /// # Errors
    ///
    /// 422 with upstream's causes.
    pub fn validate(&self, write: Write) -> Result<(), Failure> {
        let mut causes = Vec::new();
        let manager = self.field_manager.as_str();
        match write {
            Write::Apply if manager.is_empty() => {
                let message = "Required value: is required for apply patch".to_owned();
                causes.push(Cause { reason: "FieldValueRequired", message, field: "fieldManager".to_owned() });
            }
            Write::Patch if self.force.is_some() => causes.push(forbidden("force", "may not be specified for non-apply patch")),
            _ => {}
        }
        if write == Write::Delete {
            self.validate_deletion(&mut causes);
        } else {
            if manager.len() > 128 {
                let message = "Too long: may not be more than 128 bytes".to_owned();
                causes.push(Cause { reason: "FieldValueTooLong", message, field: "fieldManager".to_owned() });
            }
            for (i, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
                let message = format!("Invalid value: {}: invalid character U+{:04X} (at position {i})", quoted(manager), u32::from(c));
                causes.push(Cause { reason: "FieldValueInvalid", message, field: "fieldManager".to_owned() });
            }
        }
        if self.dry_run.iter().any(|v| v != "All") {
            let values: Vec<String> = self.dry_run.iter().map(|v| quoted(v)).collect();
            causes.push(not_supported("dryRun", &format!("[]string{{{}}}", values.join(", ")), &["All"]));
        }
        let known = ["", "Ignore", "Strict", "Warn"];
        if write != Write::Delete && !known.contains(&self.field_validation.as_str()) {
            causes.push(not_supported("fieldValidation", &quoted(&self.field_validation), &known));
        }
        let kind = match write {
            Write::Create => "CreateOptions",
            Write::Update => "UpdateOptions",
            Write::Patch | Write::Apply => "PatchOptions",
            Write::Delete => "DeleteOptions",
        };
        invalid(kind, causes)
    }

    fn validate_deletion(&self, causes: &mut Vec<Cause>) {
        let Some(policy) = &self.propagation_policy else { return };
        let field = "propagationPolicy";
        if self.orphan_dependents.is_some() {
            let message = format!("Invalid value: {}: orphanDependents and deletionPropagation cannot be both set", quoted(policy));
            causes.push(Cause { reason: "FieldValueInvalid", message, field: field.to_owned() });
        }
        if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
            causes.push(not_supported(field, &quoted(policy), &["Foreground", "Background", "Orphan", "nil"]));
        }
    }
}

// `strconv.ParseInt` and its two errors.
fn integer(query: &Query, key: &str) -> Result<Option<i64>, Failure> {
    let Some(text) = query.get(key) else { return Ok(None) };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let why = if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) { "invalid syntax" } else { "value out of range" };
    text.parse().map(Some).map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {}: {why}", quoted(text))))
}

fn forbidden(field: &str, why: &str) -> Cause {
    Cause { reason: "FieldValueForbidden", message: format!("Forbidden: {why}"), field: field.to_owned() }
}

fn not_supported(field: &str, value: &str, supported: &[&str]) -> Cause {
    let supported: Vec<String> = supported.iter().map(|s| quoted(s)).collect();
    let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
    Cause { reason: "FieldValueNotSupported", message, field: field.to_owned() }
}

fn invalid(kind: &str, causes: Vec<Cause>) -> Result<(), Failure> {
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&format!("{kind}.meta.k8s.io"), "", causes)) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax")]
    #[case("timeoutSeconds=", "strconv.ParseInt: parsing \"\": invalid syntax")]
    #[case("limit=99999999999999999999", "strconv.ParseInt: parsing \"99999999999999999999\": value out of range")]
    #[case("labelSelector=a%20b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")]
    #[case("fieldSelector=a", "invalid selector: 'a'; can't understand 'a'")]
    fn unreadable(#[case] query: &str, #[case] message: &str) {
        let failure = ListOptions::parse(&Query::parse(query)).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (400, message));
    }

    #[rstest]
    #[case("", "")]
    #[case("resourceVersion=5&resourceVersionMatch=Exact&limit=3", "")]
    #[case(
        "resourceVersionMatch=Exact",
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    )]
    #[case(
        "resourceVersion=1&resourceVersionMatch=x",
        "resourceVersionMatch: Unsupported value: \"x\": supported values: \"Exact\", \"NotOlderThan\", \"\""
    )]
    #[case("sendInitialEvents=false", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")]
    #[case(
        "watch=1&resourceVersionMatch=NotOlderThan",
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    )]
    #[case(
        "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan",
        "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    )]
    fn list_options(#[case] query: &str, #[case] message: &str) {
        let checked = ListOptions::parse(&Query::parse(query)).unwrap().validate(false);
        if message.is_empty() {
            assert_eq!(checked, Ok(()));
        } else {
            let failure = checked.unwrap_err();
            assert_eq!(failure.message, format!("ListOptions.meta.k8s.io \"\" is invalid: {message}"));
            assert_eq!(failure.status()["details"]["kind"], "ListOptions");
        }
    }

    #[rstest]
    #[case(
        Write::Create,
        "dryRun=x",
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: []string{\"x\"}: supported values: \"All\""
    )]
    #[case(Write::Apply, "", "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")]
    #[case(Write::Patch, "force=1", "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch")]
    #[case(
        Write::Delete,
        "propagationPolicy=x",
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"x\": \
         supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
    )]
    fn write_options(#[case] write: Write, #[case] query: &str, #[case] message: &str) {
        let options = WriteOptions::parse(&Query::parse(query)).unwrap();
        assert_eq!(options.validate(write).unwrap_err().message, message);
    }
}
