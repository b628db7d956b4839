use proptest::prelude::*;

use super::*;

fn image(text: &str) -> String {
    text.parse::<ImageName>().map_or_else(|e| format!("error: {e}"), |i| i.to_string())
}

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn names_are_completed_as_engines_complete_them() {
    for (given, full) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.38.0", "docker.io/library/busybox:1.38.0"),
        ("istio/pilot:1.27.1", "docker.io/istio/pilot:1.27.1"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("Upper/a", "Upper/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("[2001:db8::1]/a", "[2001:db8::1]/a:latest"),
        ("127.0.0.1:5001/library/busybox", "127.0.0.1:5001/library/busybox:latest"),
        ("a__b/c---d/e.f_g", "docker.io/a__b/c---d/e.f_g:latest"),
    ] {
        assert_eq!(image(given), full, "{given}");
        assert_eq!(image(full), full, "a full name is its own full name");
    }
    let both = format!("docker.io/kindest/node:v1.33.4@sha256:{HEX}");
    let node: ImageName = format!("kindest/node:v1.33.4@sha256:{HEX}").parse().unwrap();
    assert_eq!(node.to_string(), both);
    assert_eq!(node.reference().to_string(), format!("sha256:{HEX}"));
    assert_eq!(image(&format!("busybox@sha256:{HEX}")), format!("docker.io/library/busybox@sha256:{HEX}"));
}

#[test]
fn what_is_no_name_is_refused() {
    let long = "a".repeat(256);
    let tag = format!("a:{}", "t".repeat(129));
    for text in [
        "",
        ":",
        "a:",
        "a@",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a/.b",
        "a/b.",
        "a..b",
        "a___b",
        "a_.b",
        "-a",
        "a-",
        "Busybox",
        "a b",
        "a/B",
        "docker.io/",
        "docker.io/A",
        "a.b:x/c",
        "a.b:/c",
        "-a.b/c",
        "a.-b/c",
        "[::g]/a",
        "[::1/a",
        "[::1]x/a",
        "a:-t",
        "a:.t",
        "a:t t",
        "é",
        HEX,
        "a:b:c",
        "a@sha256:abc",
        "a:1@b:2@c",
        &long,
        &tag,
        "a.b:123456/c",
    ] {
        assert!(text.parse::<ImageName>().is_err(), "{text:?} became {}", image(text));
    }
    assert!(image(&format!("a@sha512:{HEX}{HEX}")).contains("only sha256 is understood"));
    assert!(image(&"a".repeat(255)).starts_with("error"), "library/ counts");
    assert!(image(&format!("x.y/{}", "a".repeat(255))).starts_with("x.y/a"));
}

#[test]
fn a_digest_is_sha256_in_lower_case() {
    assert_eq!(Digest::of(b"").hex(), HEX);
    assert_eq!(format!("sha256:{HEX}").parse(), Ok(Digest::of(b"")));
    let upper = format!("sha256:{}", HEX.to_uppercase());
    for text in [HEX, upper.as_str(), "sha256:", "sha256:../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        assert!(matches!(text.parse::<Digest>(), Err(NameError::Digest { .. })), "{text}");
    }
}

#[test]
fn names_are_text_in_json() {
    let name: ImageName = "busybox".parse().unwrap();
    let json = serde_json::to_string(&(&name, &name.repository, name.reference())).unwrap();
    assert_eq!(json, r#"["docker.io/library/busybox:latest","docker.io/library/busybox","latest"]"#);
    assert_eq!(serde_json::from_str::<(ImageName, Repository, Reference)>(&json).unwrap().0, name);
    assert!(serde_json::from_str::<ImageName>("\"a b\"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_parses_is_stable_and_safe(text in "[a-zA-Z0-9./:@_\\[\\]\\-]{1,40}") {
        if let Ok(name) = text.parse::<ImageName>() {
            let full = name.to_string();
            prop_assert_eq!(full.parse::<ImageName>().unwrap(), name.clone());
            prop_assert!(name.repository.path.split('/').all(|p| !p.is_empty() && !p.starts_with('.')));
        }
    }

    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        let _ = (text.parse::<ImageName>(), text.parse::<Digest>(), text.parse::<Reference>(), Repository::new(&text, &text));
    }
}
