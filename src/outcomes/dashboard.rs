//! Guide 2.1.2: the Dashboard, its admin user, the token login and `kubectl proxy`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::{Method, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use regex::Regex;
use serde_json::json;

use super::login::{self, login};
use super::{Checked, DASHBOARD_NAMESPACE as NAMESPACE, Environment, Look, Outcome, Stop, shown, token};
use crate::cluster::Capability;
use crate::wait::{Limit, conditions};

const KUBECTL: &[Capability] = &[Capability::KUBECTL];
const TYPED: &[Capability] = &[Capability::KUBECTL, Capability::TYPED_REQUESTS];
const FORGE: &[Capability] = &[Capability::NODE_EXEC];
const DASHBOARD: &[&str] = &["dashboard"];
const USER: &[&str] = &["dashboard", "admin-user"];
/// The account that every namespace has, and that nobody gave anything.
const OTHER_ACCOUNT: &str = "default";
const DEPLOYMENTS: [&str; 2] = ["dashboard-metrics-scraper", "kubernetes-dashboard"];

pub(super) fn outcomes() -> Vec<Outcome> {
    let section = "2.1.2";
    let login_sentence = "需要用 Bearer Token 来登录到操作界面";
    vec![
        Outcome::documented(
            "dashboard.deployments.available",
            section,
            "kubectl apply -f https://raw.githubusercontent.com/kubernetes/dashboard/v2.7.0/aio/deploy/recommended.yaml",
            deployments,
        )
        .needs(DASHBOARD),
        Outcome::documented(
            "dashboard.pods.running",
            section,
            "kubernetes-dashboard-b7ffbc8cb-zl8zg         1/1     Running   0          39s",
            pods,
        )
        .needs(DASHBOARD),
        Outcome::documented("dashboard.pods.listed", section, "kubectl get pod -n kubernetes-dashboard", listed).needs(DASHBOARD).with(KUBECTL),
        Outcome::documented("dashboard.service.answers", section, "验证操作界面已经部署并且正在运行", answers).needs(DASHBOARD),
        Outcome::documented(
            "dashboard.admin-user.exists",
            section,
            "kubectl create serviceaccount -n kubernetes-dashboard admin-user",
            exists,
        )
        .needs(USER),
        Outcome::documented(
            "dashboard.admin-user.bound",
            section,
            "kubectl create clusterrolebinding -n kubernetes-dashboard admin-user --clusterrole cluster-admin --serviceaccount=kubernetes-dashboard:admin-user",
            bound,
        )
        .needs(USER),
        Outcome::documented(
            "dashboard.token.valid",
            section,
            "token=$(kubectl -n kubernetes-dashboard create token admin-user)",
            token_valid,
        )
        .needs(USER)
        .with(TYPED),
        Outcome::documented("dashboard.login.accepted", section, login_sentence, login_accepted).needs(USER),
        Outcome::documented("dashboard.login.cluster-admin", section, "提供对新创建的集群的管理权限访问", cluster_admin).needs(USER),
        Outcome::hardening("dashboard.login.wrong-token-refused", wrong_token).needs(USER),
        Outcome::hardening("dashboard.login.expired-token-refused", expired_token).needs(USER).with(FORGE),
        Outcome::hardening("dashboard.login.without-session-refused", without_session).needs(USER),
        Outcome::hardening("dashboard.token.short-lived", short_lived).needs(USER),
        Outcome::hardening("dashboard.login.foreign-audience-refused", foreign_audience).needs(USER),
        Outcome::hardening("dashboard.login.other-account-limited", other_account).needs(USER),
    ]
}

fn deployments<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let api: Api<Deployment> = Api::namespaced(env.cluster.client.clone(), NAMESPACE);
        let found = api.list(&ListParams::default()).await.map_err(Stop::kube(format!("list the Deployments of {NAMESPACE}")))?;
        for wanted in DEPLOYMENTS {
            match found.iter().find(|d| d.name_any() == wanted) {
                None => look.problem(format!("Deployment {wanted} does not exist")),
                Some(deployment) => {
                    let lack = conditions::deployment_lacks(deployment);
                    look.see(wanted, lack.as_deref().unwrap_or("available"));
                    if let Some(lack) = lack {
                        look.problem(lack);
                    }
                }
            }
        }
        if let Err(e) = env.require_alive(NAMESPACE, "k8s-app").await {
            look.problem(format!("the status of the Deployments is out of date: {e}"));
        }
        look.require(found.items.len() == DEPLOYMENTS.len(), || format!("{NAMESPACE} has {} Deployments, not 2", found.items.len()));
        Ok(())
    })
}

fn pods<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let api: Api<Pod> = Api::namespaced(env.cluster.client.clone(), NAMESPACE);
        let all = api.list(&ListParams::default()).await.map_err(Stop::kube(format!("list the pods of {NAMESPACE}")))?;
        for app in DEPLOYMENTS {
            let of_app = |p: &&Pod| p.labels().get("k8s-app").is_some_and(|l| l == app) && !conditions::pod_ended(p);
            let own: Vec<&Pod> = all.iter().filter(of_app).collect();
            look.see(app, own.iter().map(|p| conditions::pod_line(p)).collect::<Vec<_>>());
            look.require(!own.is_empty(), || format!("there is no pod of {app}"));
            for pod in own {
                let line = conditions::pod_line(pod);
                look.require(line.contains(" 1/1 Running "), || {
                    let trouble = crate::wait::terminal::pod_trouble(pod).map(|t| t.status);
                    trouble.unwrap_or_else(|| format!("pod is not 1/1 Running: {line}"))
                });
                if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_deref())
                    && let Some(silent) = env.node_silent(node).await
                {
                    look.problem(format!("{} says Running, but {silent}", pod.name_any()));
                }
                if app == "kubernetes-dashboard" {
                    let image = pod.spec.as_ref().and_then(|s| s.containers.first()?.image.clone()).unwrap_or_default();
                    let tag = format!(":{}", env.spec.dashboard.version);
                    look.require(image.ends_with(&tag), || format!("the Dashboard runs {image}, the spec wants {tag}"));
                    look.see("image", image);
                }
            }
        }
        Ok(())
    })
}

/// The guide's table (2.1.2), with words for what differs.
const LISTED: &str = "\
    NAME                                         READY   STATUS    RESTARTS   AGE
    dashboard-metrics-scraper-{hash}-{hash}      1/1     Running   0          {age}
    kubernetes-dashboard-{hash}-{hash}           1/1     Running   0          {age}";

/// How often a container was started again, and when last.
static RESTARTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"Running +\d+( +\([^)]*\))?").expect("a valid pattern"));

fn listed<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let command = env.context.kubectl().await?.args(["get", "pod", "-n", NAMESPACE]);
        let output = command.timeout(env.waiting.limit(Limit::ShortCommand)).ok(&env.context.journal).await?;
        look.see("printed", output.stdout.lines().collect::<Vec<_>>());
        // A container that was started again is no lie of the guide's: its table is of a fresh installation.
        let printed = RESTARTED.replace_all(&output.stdout, "Running 0");
        for line in shown::missing(LISTED, &printed) {
            let line = shown::plain(line);
            look.problem(format!("`kubectl get pod -n {NAMESPACE}` prints no line like `{line}`"));
        }
        Ok(())
    })
}

fn answers<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let pages = login::answers(env, "/").await?;
        look.see("path", format!("{}/", login::base()));
        look.see("answer", pages[0].brief());
        look.see("inARow", pages.len());
        for (nth, page) in (1..).zip(&pages) {
            let of = if nth == 1 { String::new() } else { format!(", answer {nth} of {} in a row", pages.len()) };
            let good = look.require(page.status.is_success(), || format!("the Dashboard answers {}{of}", page.brief()))
                && look.require(page.body.to_lowercase().contains("<html"), || format!("the Dashboard's first page is no HTML{of}"));
            if !good {
                break;
            }
        }
        Ok(())
    })
}

fn exists<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let user = &env.spec.dashboard.admin_user;
        let api: Api<ServiceAccount> = Api::namespaced(env.cluster.client.clone(), NAMESPACE);
        let found = api.get_opt(user).await.map_err(Stop::kube(format!("read ServiceAccount {user}")))?;
        look.see("serviceAccount", found.as_ref().map(|a| format!("{NAMESPACE}/{}", a.name_any())));
        look.require(found.is_some(), || format!("ServiceAccount {NAMESPACE}/{user} does not exist"));
        Ok(())
    })
}

fn bound<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let user = &env.spec.dashboard.admin_user;
        let api: Api<ClusterRoleBinding> = Api::all(env.cluster.client.clone());
        match api.get_opt(user).await.map_err(Stop::kube(format!("read ClusterRoleBinding {user}")))? {
            None => look.problem(format!("ClusterRoleBinding {user} does not exist")),
            Some(binding) => {
                look.see("roleRef", &binding.role_ref.name);
                look.see("subjects", &binding.subjects);
                look.require(crate::stages::binds(&binding, user), || {
                    format!("ClusterRoleBinding {user} does not give cluster-admin to ServiceAccount {NAMESPACE}/{user}")
                });
            }
        }
        // What the API server itself says the account may do, however the binding came about.
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{NAMESPACE}:{user}")),
                groups: Some(vec![
                    "system:serviceaccounts".into(),
                    format!("system:serviceaccounts:{NAMESPACE}"),
                    "system:authenticated".into(),
                ]),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some("*".into()),
                    group: Some("*".into()),
                    resource: Some("*".into()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(env.cluster.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(Stop::kube("review the account's access"))?;
        let allowed = answer.status.as_ref().is_some_and(|s| s.allowed);
        look.see("mayDoEverything", allowed);
        look.require(allowed, || format!("ServiceAccount {NAMESPACE}/{user} may not do everything"));
        Ok(())
    })
}

fn token_valid<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let token = env.admin_token().await?;
        let user = format!("system:serviceaccount:{NAMESPACE}:{}", env.spec.dashboard.admin_user);
        let claims = &token.claims;
        let (issued, expires) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
        look.see("claims", json!({"sub": claims["sub"], "iss": claims["iss"], "aud": claims["aud"], "lifetimeSeconds": expires - issued}));
        look.see("algorithm", &token.header["alg"]);
        look.require(!token.noise, || "`kubectl create token` printed more than one line".to_owned());
        look.require(claims["sub"] == user.as_str(), || format!("the token is for {}, not {user}", claims["sub"]));
        look.require(expires > Timestamp::now().as_second(), || "the token has expired already".to_owned());
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.raw.expose().to_owned()), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(env.cluster.client.clone());
        let status = api.create(&PostParams::default(), &review).await.map_err(Stop::kube("review the token"))?.status.unwrap_or_default();
        let name = status.user.and_then(|u| u.username).unwrap_or_default();
        look.see("authenticatedAs", &name);
        look.require(status.authenticated == Some(true), || {
            format!("the API server does not accept the token: {}", status.error.unwrap_or_default())
        });
        look.require(name == user, || format!("the API server takes the token for {name}"));
        Ok(())
    })
}

fn login_accepted<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let login = login(env, &env.admin_token().await?.raw).await?;
        look.see("login", login.brief());
        look.require(login.status == StatusCode::OK, || format!("the Dashboard answers the login with HTTP {}", login.status.as_u16()));
        look.require(login.errors.is_empty(), || format!("the Dashboard refuses the token: {}", login.errors.join(", ")));
        if look.require(login.session.is_some(), || "the Dashboard gives no session".to_owned()) {
            let status = login::get(env, "/api/v1/login/status", login.session.as_ref()).await?;
            let said = status.json();
            look.see("status", &said);
            look.require(said["tokenPresent"] == true, || format!("the session is not recognised: {}", status.brief()));
        }
        Ok(())
    })
}

fn cluster_admin<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let login = login(env, &env.admin_token().await?.raw).await?;
        let Some(session) = &login.session else {
            return Err(Stop::Failed(format!("the Dashboard refuses the token: {}", login.errors.join(", "))));
        };
        let known = async || {
            let namespaces: Api<Namespace> = Api::all(env.cluster.client.clone());
            let namespaces = namespaces.list(&ListParams::default()).await.map_err(Stop::kube("list the namespaces"))?;
            Ok::<[BTreeSet<String>; 2], Stop>([
                env.node_names().await?.into_iter().collect(),
                namespaces.iter().map(kube::ResourceExt::name_any).collect(),
            ])
        };
        let before = known().await?;
        let mut seen = Vec::new();
        for (path, field) in [("node", "nodes"), ("namespace", "namespaces")] {
            let answer = login::get(env, &format!("/api/v1/{path}"), Some(session)).await?;
            let list = answer.json();
            let (names, errors) = (login::names(&list, field), login::messages(&list["errors"]));
            look.see(field, &names);
            look.require(answer.status.is_success(), || format!("listing {field}: {}", answer.brief()));
            look.require(errors.is_empty(), || format!("listing {field}: {}", errors.join(", ")));
            seen.push((field, names));
        }
        // Namespaces come and go, as those of tests do: what was there all the time must be listed, and nothing that never was.
        let after = known().await?;
        for ((field, names), (before, after)) in seen.into_iter().zip(before.iter().zip(&after)) {
            let listed: BTreeSet<String> = names.iter().cloned().collect();
            let right =
                before.intersection(after).all(|n| listed.contains(n)) && listed.iter().all(|n| before.contains(n) || after.contains(n));
            let expected: Vec<&String> = after.iter().collect();
            look.require(right, || format!("the Dashboard lists the {field} {names:?}, the API server {expected:?}"));
        }
        Ok(())
    })
}

fn wrong_token<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let good = env.admin_token().await?;
        // A Dashboard that refuses everything would pass a test of refusals alone.
        let control = login(env, &good.raw).await?;
        look.require(control.session.is_some(), || "even the right token is refused".to_owned());
        for (name, token) in [("garbage", crate::journal::Secret::new("not-a-token")), ("damagedSignature", good.tampered())] {
            let attempt = login(env, &token).await?;
            look.see(name, attempt.brief());
            look.require(attempt.refused(), || format!("a token with {name} is not refused: {}", attempt.brief()));
        }
        Ok(())
    })
}

fn expired_token<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let good = env.admin_token().await?;
        // The same forgery with time left must be let in, so that it is the expiry which is refused and not the forgery.
        let valid = login(env, &good.forged(env, 600).await?).await?;
        look.see("notYetExpired", valid.brief());
        look.require(valid.session.is_some(), || format!("a token signed with the cluster's own key is refused: {}", valid.brief()));
        // The API server allows for clocks that differ by a minute.
        let expired = login(env, &good.forged(env, -1800).await?).await?;
        look.see("expired", expired.brief());
        look.require(expired.refused(), || format!("an expired token is not refused: {}", expired.brief()));
        Ok(())
    })
}

fn without_session<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let control = login(env, &env.admin_token().await?.raw).await?;
        let with = login::get(env, "/api/v1/node", control.session.as_ref()).await?;
        look.require(with.status.is_success(), || format!("with a session the list is refused: {}", with.brief()));
        let without = login::get(env, "/api/v1/node", None).await?;
        look.see("list", without.brief());
        look.require(without.status == StatusCode::UNAUTHORIZED, || format!("without a session the list gives {}", without.brief()));
        let path = format!("{}/api/v1/login", login::base());
        let login = env.request(Method::POST, &path, &[], Some(&json!({"token": "x"}))).await?;
        look.see("loginWithoutCsrf", login.brief());
        look.require(login.status == StatusCode::UNAUTHORIZED, || format!("a login without a CSRF token gives {}", login.brief()));
        Ok(())
    })
}

/// What `kubectl create token` asks for by default, and the Dashboard's users should not exceed: an hour, in seconds.
const HOUR: i64 = 3600;

fn short_lived<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let claims = &env.admin_token().await?.claims;
        let (issued, expires) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64());
        look.see("lifetimeSeconds", expires.map(|e| e - issued));
        look.require(expires.is_some_and(|e| e > issued && e - issued <= HOUR), || {
            let lives = expires.map_or_else(|| "for ever".to_owned(), |e| format!("for {} s", e - issued));
            format!("the token lives {lives}, not for an hour at most")
        });
        // One that is kept in a Secret lives until somebody removes it.
        let secrets: Api<Secret> = Api::namespaced(env.cluster.client.clone(), NAMESPACE);
        let kept = secrets.list(&ListParams::default()).await.map_err(Stop::kube(format!("list the Secrets of {NAMESPACE}")))?;
        let user = env.spec.dashboard.admin_user.as_str();
        let of_user = |s: &&Secret| s.annotations().get("kubernetes.io/service-account.name").is_some_and(|name| name == user);
        let kept: Vec<String> = kept.iter().filter(of_user).map(ResourceExt::name_any).collect();
        look.see("secrets", &kept);
        look.require(kept.is_empty(), || format!("Secrets hold tokens of {user} that never expire: {}", kept.join(", ")));
        Ok(())
    })
}

fn foreign_audience<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        // A Dashboard that refuses everything would pass a test of refusals alone.
        let user = &env.spec.dashboard.admin_user;
        let control = login(env, &token::request_for(env, user, &[]).await?).await?;
        look.require(control.session.is_some(), || "even a token for the API server is refused".to_owned());
        let token = token::request_for(env, user, &["https://other.meshproof.invalid"]).await?;
        let attempt = login(env, &token).await?;
        look.see("foreignAudience", attempt.brief());
        look.require(attempt.refused(), || format!("a token for another audience is not refused: {}", attempt.brief()));
        Ok(())
    })
}

fn other_account<'a>(env: &'a Environment, look: &'a mut Look) -> Checked<'a> {
    Box::pin(async move {
        let login = login(env, &token::request_for(env, OTHER_ACCOUNT, &[]).await?).await?;
        look.see("login", login.brief());
        // To be let in is right: it is what the account sees that must not be more than it may.
        let Some(session) = &login.session else {
            look.require(login.refused(), || format!("the login of {OTHER_ACCOUNT} gives {}", login.brief()));
            return Ok(());
        };
        for (path, field) in [("node", "nodes"), ("namespace", "namespaces")] {
            let answer = login::get(env, &format!("/api/v1/{path}"), Some(session)).await?;
            let names = login::names(&answer.json(), field);
            look.see(field, json!({"status": answer.status.as_u16(), "names": names}));
            look.require(names.is_empty(), || format!("the account {OTHER_ACCOUNT}, which has no rights, sees the {field} {names:?}"));
        }
        Ok(())
    })
}
