//! `bundle`: everything that an environment needs, for machines without a network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Format, Global, print, print_json, run, select};
use crate::bundle::archive::{self, pack, unpack};
use crate::bundle::bake::{BakeError, Step, bake};
use crate::bundle::create::Event;
use crate::bundle::gather::{Supply, gather, opened};
use crate::bundle::list::list;
use crate::bundle::sign::{PrivateKey, PublicKey, keygen, sign};
use crate::bundle::verify::{Report, verify};
use crate::engine::{Engine, endpoint};
use crate::journal::Journal;
use crate::mirror::cache::Cache;
use crate::mirror::layout::Layout;
use crate::mirror::name::ImageName;
use crate::mirror::record::Recorder;
use crate::mirror::server::{Mirror, Settings};
use crate::report::progress::mebibytes;
use crate::text;
use crate::tools::Tools;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Put everything that an environment of the spec needs into a directory: images, tools, manifests. It can be repeated, and goes on.
    Create(Create),
    /// Check every byte of a bundle, packed or not.
    Verify {
        /// The bundle.
        bundle: PathBuf,
        /// The public key of whoever must have signed it.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Show what a bundle holds, and the size of each image.
    List {
        /// The bundle's directory.
        bundle: PathBuf,
    },
    /// Make a node image that has every image of a bundle in it, so that an environment of it pulls nothing. It is made once.
    Bake {
        /// The bundle, packed or not.
        bundle: PathBuf,
        /// Another name for the image, for example to push it somewhere.
        #[arg(long, value_name = "NAME")]
        tag: Option<String>,
    },
    /// Serve the images of a bundle as a registry until interrupted.
    Serve {
        /// The bundle's directory.
        bundle: PathBuf,
        /// Where to listen.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
        listen: SocketAddr,
    },
    /// Make a pair of keys: NAME, which is secret, and NAME.pub.
    Keygen {
        /// The file of the secret key.
        name: PathBuf,
    },
    /// Sign a bundle.
    Sign {
        /// The bundle's directory.
        bundle: PathBuf,
        /// The secret key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Pack a bundle into one file; the same bundle gives the same file.
    Pack {
        /// The bundle's directory.
        bundle: PathBuf,
        /// The file, NAME.tar.zst as a rule.
        file: PathBuf,
    },
    /// Unpack a bundle into a new directory, checking every byte.
    Unpack {
        /// The packed bundle.
        file: PathBuf,
        /// The directory.
        dir: PathBuf,
        /// The public key of whoever must have signed it.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The directory.
    dir: PathBuf,
    /// Another image, besides those of the spec; can be given several times.
    #[arg(long, value_name = "IMAGE")]
    image: Vec<String>,
    /// An OCI image layout, or another bundle, to take images from; can be given several times.
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Ask the container engine for every image, and not only for the node image.
    #[arg(long)]
    engine: bool,
    /// Sign it with this secret key.
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
}

fn failure(e: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(3, e, None)
}

pub(super) async fn bundle(global: &Global, command: &Command) -> Result<u8, Failure> {
    select::no_junit(global)?;
    let texts = text::current();
    let done = |key: &str, path: &Path| tell_done(global, &texts.with(key, &[("path", &path.display().to_string())]), path);
    match command {
        Command::Create(create) => make(global, create).await,
        Command::Verify { bundle, key } => {
            let key = public(key.as_deref())?;
            show(global, bundle, &verify(bundle, key.as_ref()).map_err(|e| failure(&e))?)
        }
        Command::List { bundle } => contents(global, bundle),
        Command::Bake { bundle, tag } => bake_node_image(global, bundle, tag.as_deref()).await,
        Command::Serve { bundle, listen } => serve(bundle, *listen).await,
        Command::Keygen { name } => {
            let public = PathBuf::from(format!("{}.pub", name.display()));
            let key = keygen(name, &public).map_err(|e| failure(&e))?;
            run::tell(&texts.with("cli-bundle-key", &[("id", &key.id())]));
            done("cli-bundle-made", &public)
        }
        Command::Sign { bundle, key } => {
            let key = PrivateKey::read(key).map_err(|e| failure(&e))?;
            sign(bundle, &key).map_err(|e| failure(&e))?;
            done("cli-bundle-signed", bundle)
        }
        Command::Pack { bundle, file } => {
            pack(bundle, file).map_err(|e| failure(&e))?;
            done("cli-bundle-made", file)
        }
        Command::Unpack { file, dir, key } => {
            let key = public(key.as_deref())?;
            unpack(file, dir, &archive::Limits::default(), key.as_ref()).map_err(|e| failure(&e))?;
            done("cli-bundle-made", dir)
        }
    }
}

fn tell_done(global: &Global, line: &str, path: &Path) -> Result<u8, Failure> {
    match global.format {
        Format::Human => print(line)?,
        _ => print_json(&json!({"path": path}))?,
    }
    Ok(0)
}

fn public(path: Option<&Path>) -> Result<Option<PublicKey>, Failure> {
    path.map(|path| PublicKey::read(path).map_err(|e| failure(&e))).transpose()
}

async fn make(global: &Global, create: &Create) -> Result<u8, Failure> {
    let spec = select::spec(global)?;
    let key = create.sign.as_deref().map(|path| PrivateKey::read(path).map_err(|e| failure(&e))).transpose()?;
    let engine = match Engine::connect(endpoint::find(|name| std::env::var(name).ok())).await {
        Ok(engine) => Some(engine),
        Err(e) if create.engine => return Err(failure(&e)),
        Err(_) => None,
    };
    let tools = Tools::new(&spec.tools, &spec.downloads, select::cache(), Journal::in_memory());
    let from = Supply { layouts: create.from.clone(), engine, engine_for_all: create.engine, more: create.image.clone() };
    let progress = |event: Event<'_>| run::tell(&line(&event));
    let made = gather(&spec, &tools, from, &create.dir, &progress).await.map_err(|e| failure(&e))?;
    if let Some(key) = key {
        sign(&made.dir, &key).map_err(|e| failure(&e))?;
    }
    contents(global, &made.dir)
}

/// What is being done, for standard error.
fn line(event: &Event<'_>) -> String {
    let texts = text::current();
    match event {
        Event::Image { name, origin } => texts.with("cli-bundle-image", &[("name", &name.to_string()), ("origin", &origin.to_string())]),
        Event::Failed { name, origin, why } => {
            let args = [("name", name.to_string()), ("origin", origin.to_string()), ("why", crate::error::one_line(*why))];
            texts.with("cli-bundle-image-not-there", &args.each_ref().map(|(k, v)| (*k, v.as_str())))
        }
        Event::Blob { digest, size, kept } => {
            let key = if *kept { "cli-bundle-blob-kept" } else { "cli-bundle-blob" };
            texts.with(key, &[("digest", digest.as_str()), ("size", &mib(*size))])
        }
        Event::Broken { digest, at, why } => {
            let args = [("digest", digest.to_string()), ("at", mib(*at)), ("why", crate::error::one_line(*why))];
            texts.with("cli-bundle-broken", &args.each_ref().map(|(k, v)| (*k, v.as_str())))
        }
        Event::File { path } => texts.with("cli-bundle-file", &[("path", path)]),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", mebibytes(bytes))
}

fn contents(global: &Global, dir: &Path) -> Result<u8, Failure> {
    let listed = list(dir).map_err(|e| failure(&e))?;
    if global.format != Format::Human {
        let images: Vec<_> = listed
            .images
            .iter()
            .map(|i| json!({"name": i.name.to_string(), "digest": i.digest, "role": i.role, "bytes": i.bytes, "unique": i.unique}))
            .collect();
        let totals = json!({"blobs": listed.blobs, "tools": listed.tools, "manifests": listed.manifests});
        print_json(
            &json!({"path": dir, "images": images, "tools": listed.record.tools, "manifests": listed.record.manifests, "bytes": totals}),
        )?;
        return Ok(0);
    }
    let texts = text::current();
    let mut rows = vec![
        ["cli-bundle-column-image", "cli-bundle-column-size", "cli-bundle-column-unique", "cli-bundle-column-digest"].map(|k| texts.get(k)),
    ];
    rows.extend(listed.images.iter().map(|i| [i.name.to_string(), mib(i.bytes), mib(i.unique), i.digest.to_string()]));
    rows.extend(listed.record.tools.iter().map(|t| [t.path(), mib(t.size), mib(t.size), t.sha256.to_string()]));
    rows.extend(listed.record.manifests.iter().map(|m| [m.path(), mib(m.size), mib(m.size), m.sha256.to_string()]));
    let total = mib(listed.blobs + listed.tools + listed.manifests);
    let table = super::catalogue::rows(rows.into_iter());
    print(&format!("{}\n{}", table.trim_end(), texts.with("cli-bundle-total", &[("size", &total), ("dir", &dir.display().to_string())])))?;
    Ok(0)
}

fn show(global: &Global, bundle: &Path, report: &Report) -> Result<u8, Failure> {
    let problems: Vec<String> = report.problems.iter().map(|p| crate::error::one_line(p)).collect();
    let signed = report.signed.as_ref().map(PublicKey::id);
    let code = u8::from(!report.is_good());
    if global.format != Format::Human {
        print_json(&json!({"path": bundle, "good": report.is_good(), "problems": problems, "signedBy": signed, "bytes": report.bytes}))?;
        return Ok(code);
    }
    let texts = text::current();
    let mut lines: Vec<String> = problems.iter().map(|p| texts.with("cli-bundle-problem", &[("problem", p)])).collect();
    let path = bundle.display().to_string();
    let verdict = if report.is_good() { "cli-bundle-good" } else { "cli-bundle-bad" };
    lines.push(texts.with(verdict, &[("path", &path), ("size", &mib(report.bytes)), ("count", &problems.len().to_string())]));
    lines.push(match signed {
        Some(id) => texts.with("cli-bundle-signed-by", &[("id", &id)]),
        None => texts.get("cli-bundle-unsigned"),
    });
    print(&lines.join("\n"))?;
    Ok(code)
}

async fn bake_node_image(global: &Global, bundle: &Path, tag: Option<&str>) -> Result<u8, Failure> {
    let texts = text::current();
    if let Some(name) = tag
        && !name.parse::<ImageName>().is_ok_and(|name| name.digest.is_none())
    {
        return Err(Failure::usage(texts.with("cli-bundle-bad-tag", &[("name", name)]), None));
    }
    let dir = opened(bundle, &select::cache()).map_err(|e| failure(&e))?;
    let engine = Engine::connect(endpoint::find(|name| std::env::var(name).ok())).await.map_err(|e| failure(&e))?;
    let progress = |step: Step| {
        run::tell(&match step {
            Step::NodeImage(image) => texts.with("cli-bundle-bake-node", &[("image", &image)]),
            Step::Images(count) => texts.with("cli-bundle-bake-images", &[("count", &count.to_string())]),
            Step::Commit => texts.get("cli-bundle-bake-commit"),
        });
    };
    let waiting = select::waiting(global)?;
    let baked = bake(&engine, &dir, &waiting, &progress, interrupted()?).await.map_err(|e| match e {
        BakeError::Interrupted => Failure::new(130, &e, None),
        other => failure(&other),
    })?;
    if let Some(tag) = tag {
        run::tell(&texts.with("cli-bundle-bake-tag", &[("image", &baked.image), ("name", tag)]));
        engine.tag(&baked.image, tag).await.map_err(|e| failure(&e))?;
    }
    if global.format != Format::Human {
        print_json(&json!({"image": baked.image, "images": baked.images, "made": baked.made}))?;
        return Ok(0);
    }
    let key = if baked.made { "cli-bundle-baked" } else { "cli-bundle-baked-before" };
    let args = [("image", baked.image.as_str()), ("bundle", &bundle.display().to_string())];
    print(&texts.with(key, &args))?;
    Ok(0)
}

/// Resolves when somebody wants the program to end.
fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn serve(bundle: &Path, listen: SocketAddr) -> Result<u8, Failure> {
    let layout = Layout::open(bundle).map_err(|e| failure(&e))?;
    let scratch = tempfile::tempdir()?;
    let cache = Cache::open(scratch.path(), None).map_err(|e| failure(&e))?;
    let naming = Arc::new(|_| Box::pin(std::future::ready(None)) as futures::future::BoxFuture<'static, _>);
    let mirror = Mirror::new(Settings { cache, upstream: None, layouts: vec![layout], recorder: Recorder::memory(), naming });
    let listener = TcpListener::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    print(&text::current().with("cli-bundle-serving", &[("url", &url)]))?;
    mirror.serve(listener, interrupted()?).await;
    Ok(0)
}
