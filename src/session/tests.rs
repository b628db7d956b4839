//! State directories: where they are, what survives, what is refused.

use super::*;

#[test]
fn the_state_directory_follows_flag_variable_and_project() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("shop/src/deep");
    std::fs::create_dir_all(&deep).unwrap();
    let vars = |n: &str| match n {
        "HOME" => Some("/home/u".to_owned()),
        _ => None,
    };
    let locate = |given: Option<&Path>, dir: &Path| Session::locate(given, dir, vars).unwrap().dir().to_path_buf();
    assert_eq!(locate(Some(Path::new("/x")), &deep), Path::new("/x"));
    assert_eq!(locate(Some(Path::new("rel")), &deep), deep.join("rel"));
    assert_ne!(locate(None, &deep), locate(None, deep.parent().unwrap()));
    std::fs::write(root.path().join("shop/meshproof.yaml"), "").unwrap();
    assert_eq!(locate(None, &deep), locate(None, deep.parent().unwrap()), "the same project, the same session");
    assert!(locate(None, &deep).starts_with("/home/u/.local/state/meshproof/"));
    assert!(matches!(Session::locate(None, &deep, |_| None), Err(SessionError::NoHome)));
    let by_variable = Session::locate(None, &deep, |n| (n == "MESHPROOF_STATE").then(|| "/s".to_owned())).unwrap();
    assert_eq!(by_variable.dir(), Path::new("/s"));
}

#[test]
fn a_state_survives_the_disk_and_damage_is_told_from_absence() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::at(dir.path().join("s"));
    assert_eq!(session.load().unwrap(), None);
    let mut state = session.begin("kind", serde_json::json!({"a": 1}));
    state.cluster = Some(ClusterState { name: "c".into(), phase: ClusterPhase::Creating, config: "x".into() });
    session.save(&state).unwrap();
    assert_eq!(session.load().unwrap(), Some(state));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(session.dir()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(session.dir().join("state.json")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(session.dir().join(".unfinished-1"), "of a run that was killed").unwrap();
    session.check_ours().unwrap();
    std::fs::write(session.dir().join("state.json"), "{").unwrap();
    assert!(matches!(session.load(), Err(SessionError::Damaged { .. })));
    assert!(session.remove().unwrap());
    assert!(session.remove().unwrap());
    assert!(!session.dir().exists());
}

#[test]
fn what_is_not_ours_is_neither_taken_over_nor_removed() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::at(dir.path());
    session.check_ours().unwrap();
    std::fs::write(dir.path().join("main.rs"), "fn main() {}").unwrap();
    assert!(matches!(session.check_ours(), Err(SessionError::NotOurs { entry, .. }) if entry == "main.rs"));
    session.save(&session.begin("kind", serde_json::json!({}))).unwrap();
    session.check_ours().unwrap();
    assert!(!session.remove().unwrap(), "the directory stays");
    assert!(dir.path().join("main.rs").exists());
    assert!(!dir.path().join("state.json").exists());
}

#[test]
fn paths_are_cleaned_as_the_engine_cleans_them() {
    for (path, cleaned) in [("/w/./st", "/w/st"), ("/w/x/../st", "/w/st"), ("/w//st/", "/w/st"), ("/../st", "/st")] {
        assert_eq!(clean(Path::new(path)), Path::new(cleaned), "{path}");
    }
}

#[test]
fn a_state_of_another_version_is_told_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::at(dir.path());
    let state = State { version: 99, ..session.begin("kind", serde_json::json!({})) };
    session.save(&state).unwrap();
    assert!(matches!(session.load(), Err(SessionError::Version { version: 99, .. })));
}
