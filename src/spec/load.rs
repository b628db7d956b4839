//! From files and options to a resolved [`Spec`].

use std::path::PathBuf;

use super::error::{Origin, SpecError};
use super::layers::{KeyPath, Layer, Merged, Source};
use super::profiles::{DEFAULT_PROFILE, PROFILES, Profile, profile};
use super::resolve::{Platform, resolve};
use super::schema::nearest;
use super::set::Assignment;
use super::{Spec, tree};

/// What a person asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Spec files, later ones over earlier ones. Each may be partial.
    pub files: Vec<PathBuf>,
    /// The profile to start from, whatever the files say.
    pub profile: Option<String>,
    /// `path=value` arguments, over the files.
    pub sets: Vec<String>,
}

/// Reads, merges, checks and resolves a spec: profile, then files, then `--set` arguments.
///
/// # Errors
/// When a file cannot be read or anything in it or in an argument is wrong; the error names the place.
pub fn load(request: &Request) -> Result<Spec, SpecError> {
    let mut files = Vec::with_capacity(request.files.len());
    for path in &request.files {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Read { path: path.clone(), source })?;
        let source = Source::File(path);
        let document = tree::parse(&text).map_err(|fault| source.fault(fault))?;
        files.push(Layer::check(&document, &source)?);
    }
    let sets = request.sets.iter().map(|argument| Assignment::parse(argument)).collect::<Result<Vec<_>, _>>()?;

    let start = starting_profile(request, &files, &sets)?;
    let mut merged = profile_layer(start).map(Merged::new)?;
    for layer in files {
        merged.add(layer);
    }
    for set in &sets {
        set.apply(&mut merged)?;
    }
    merged.value["profile"] = start.name.into();
    resolve(merged, &Platform::current())
}

/// `--profile`, else `--set profile=…`, else the last file that names one, else the default.
fn starting_profile(request: &Request, files: &[Layer], sets: &[Assignment<'_>]) -> Result<&'static Profile, SpecError> {
    let from_files = || {
        let path = KeyPath::of(&["profile"]);
        files.iter().rev().find_map(|layer| Some((layer.value.get("profile")?.as_str()?.to_owned(), layer.origin(&path)?.clone())))
    };
    let from_sets = || sets.iter().rev().find_map(|set| Some((set.profile()?.to_owned(), set.origin())));
    let wanted = request.profile.clone().map(|name| (name, Origin::ProfileOption)).or_else(from_sets).or_else(from_files);
    let (name, at) = wanted.unwrap_or_else(|| (DEFAULT_PROFILE.to_owned(), Origin::Profile(DEFAULT_PROFILE.to_owned())));
    profile(&name).ok_or_else(|| {
        let valid: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
        SpecError::UnknownProfile {
            at,
            nearest: nearest(&name, &valid).map(str::to_owned),
            valid: valid.into_iter().map(str::to_owned).collect(),
            name,
        }
    })
}

/// The profile itself as the lowest layer.
pub(super) fn profile_layer(profile: &Profile) -> Result<Layer, SpecError> {
    let source = Source::Profile(profile.name);
    let document = tree::parse(profile.yaml).map_err(|fault| source.fault(fault))?;
    Layer::check(&document, &source)
}
