//! What is to go into a bundle: worked out by the caller, who knows the spec.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mirror::layout::Platform;
use crate::mirror::name::{Digest, ImageName};

/// What an image is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The nodes are made of it.
    Node,
    /// Kubernetes itself needs it.
    System,
    /// The Dashboard needs it.
    Dashboard,
    /// Istio needs it.
    Istio,
    /// Probes run it.
    Probe,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::System => "system",
            Self::Dashboard => "dashboard",
            Self::Istio => "istio",
            Self::Probe => "probe",
        })
    }
}

/// The text does not name a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform such as linux/amd64")]
pub struct TargetError(String);

/// A platform that a bundle is for: `linux/amd64`, or with a variant `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The operating system, in Go's word.
    pub os: String,
    /// The processor, in Go's word.
    pub arch: String,
    /// The processor's variant.
    pub variant: Option<String>,
}

impl Target {
    /// Whether an image of this platform runs here. A 64-bit ARM without a variant is a v8.
    #[must_use]
    pub fn matches(&self, platform: &Platform) -> bool {
        fn plain<'a>(arch: &str, variant: Option<&'a str>) -> Option<&'a str> {
            variant.filter(|v| !v.is_empty() && (arch, *v) != ("arm64", "v8"))
        }
        self.os == platform.os
            && self.arch == platform.architecture
            && plain(&self.arch, self.variant.as_deref()) == plain(&self.arch, platform.variant.as_deref())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        self.variant.as_ref().map_or(Ok(()), |v| write!(f, "/{v}"))
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |p: &&str| !p.is_empty() && p.len() <= 32 && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !parts.iter().all(word) {
            return Err(TargetError(text.to_owned()));
        }
        match parts[..] {
            [os, arch] => Ok(Self { os: os.to_owned(), arch: arch.to_owned(), variant: None }),
            [os, arch, variant] => Ok(Self { os: os.to_owned(), arch: arch.to_owned(), variant: Some(variant.to_owned()) }),
            _ => Err(TargetError(text.to_owned())),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An image that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedImage {
    /// Its name as the cluster will ask for it.
    pub name: ImageName,
    /// What it is there for.
    pub role: Role,
}

/// Where a tool comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolSource {
    /// A file that is here already.
    File(PathBuf),
    /// To be fetched by the caller, who unpacks what upstream packs; see [`super::create::FetchTool`].
    Fetch {
        /// The URL.
        url: String,
        /// The digest of the executable, where it is known.
        sha256: Option<Digest>,
    },
}

/// A tool that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTool {
    /// `kind`, `kubectl` or `istioctl`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The machine that it runs on: not always that of the nodes.
    pub os: String,
    /// The machine's processor.
    pub arch: String,
    /// Where it comes from.
    pub source: ToolSource,
}

/// A manifest that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedManifest {
    /// Its file name without `.yaml`.
    pub name: String,
    /// Where the text comes from.
    pub source: String,
    /// The text.
    pub text: String,
}

/// All that is to go into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The profile that it is for.
    pub profile: String,
    /// The platforms that images are kept for.
    pub platforms: Vec<Target>,
    /// The images.
    pub images: Vec<WantedImage>,
    /// The tools.
    pub tools: Vec<WantedTool>,
    /// The manifests.
    pub manifests: Vec<WantedManifest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_two_words_or_three() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "linux/amd64/v1/x", "Linux/amd64", "linux/../x"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_64_bit_arm_is_a_v8_unless_it_says_otherwise() {
        let platform = |text: &str| serde_json::from_str::<Platform>(text).unwrap();
        let arm: Target = "linux/arm64".parse().unwrap();
        assert!(arm.matches(&platform(r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#)));
        assert!(arm.matches(&platform(r#"{"os":"linux","architecture":"arm64"}"#)));
        assert!(!arm.matches(&platform(r#"{"os":"linux","architecture":"arm","variant":"v8"}"#)));
        let v7: Target = "linux/arm/v7".parse().unwrap();
        assert!(!v7.matches(&platform(r#"{"os":"linux","architecture":"arm","variant":"v6"}"#)));
    }
}
