//! `example crm`: the example module's back-end, and its folder to copy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use crm_example::{ModuleKeys, Options};
use tokio::sync::oneshot;

use super::Call;
use crate::failure::Failure;
use crate::running::Running;
use crate::signals::Signals;
use crate::{logs, output, settings};

/// The example module: run its back-end, or copy it.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Companies, contacts and deals: a complete module to read, run and copy.
    #[command(after_help = "\
With demo data the kernel runs this back-end itself. Keys for work in the module's own name: CRM_MODULE_KEYS.

Examples:
  platform-kernel example crm --export ./my-crm     manifest, migrations, README
  platform-kernel example crm                       the back-end on 127.0.0.1:8095")]
    Crm(Crm),
}

/// What to do with it.
#[derive(Debug, clap::Args)]
pub struct Crm {
    /// Write the module's files into this folder, which is made.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["listen", "kernel_url"])]
    export: Option<PathBuf>,
    /// Where the back-end listens.
    #[arg(long, default_value = "127.0.0.1:8095", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the kernel answers; the running one unless said.
    #[arg(long, value_name = "URL")]
    kernel_url: Option<String>,
    /// Run as the kernel's child: end with stdin, log warnings only.
    #[arg(long, hide = true)]
    child: Option<LogForm>,
}

/// How a child logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

/// Runs or exports the example.
///
/// # Errors
/// A sentence.
pub fn run(verb: Verb, call: Call) -> Result<(), Failure> {
    let Verb::Crm(args) = verb;
    if let Some(folder) = &args.export {
        return export(folder);
    }
    super::alone(serve(args, call))
}

fn export(folder: &Path) -> Result<(), Failure> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| {
            Failure::new(format!("cannot write {}: {error}; name another folder", path.display()))
        }
    };
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::new(format!(
            "{} is not empty; name a folder that is not there yet",
            folder.display()
        )));
    }
    let migrations = folder.join("migrations");
    fs::create_dir_all(&migrations).map_err(refused(&migrations))?;
    let write = |path: PathBuf, text: &str| fs::write(&path, text).map_err(refused(&path));
    write(folder.join("module.manifest.json"), crm_example::MANIFEST)?;
    write(folder.join("README.md"), crm_example::README)?;
    for (name, sql) in crm_example::MIGRATIONS {
        write(migrations.join(name), sql)?;
    }
    let shown = folder.display();
    output::line(format!("{shown} holds the module; next:\n  platform-kernel module validate {shown}"))
}

async fn serve(args: Crm, call: Call) -> Result<(), Failure> {
    let (json, level) = match args.child {
        Some(form) => (form == LogForm::Json, "warn"),
        None => (false, if call.verbose { "debug" } else { "info" }),
    };
    logs::to_stderr(json, level)?;
    let kernel_url = match args.kernel_url {
        Some(url) => url,
        None => running_url(call)?,
    };
    let mut signals = Signals::listen()?;
    let lifeline = args.child.map(|_| lifeline());
    let keys = ModuleKeys::from_env().map_err(Failure::new)?;
    let stop = async move {
        tokio::select! {
            _ = signals.stop() => {}
            () = cut(lifeline) => {}
        }
    };
    crm_example::serve(Options::new(args.listen, kernel_url).with_module_keys(keys).until(stop))
        .await
        .map_err(Failure::new)
}

/// Tells when stdin ends: a parent that is killed closes it too. A thread of its own waits for it, for the runtime could
/// not end while one of its threads reads.
fn lifeline() -> oneshot::Receiver<()> {
    let (closed, end) = oneshot::channel();
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        closed.send(()).ok();
    });
    end
}

/// Ends with the lifeline; never without one.
async fn cut(lifeline: Option<oneshot::Receiver<()>>) {
    match lifeline {
        Some(end) => {
            end.await.ok();
        }
        None => std::future::pending().await,
    }
}

fn running_url(call: Call) -> Result<String, Failure> {
    let config = settings::resolve(call.settings)?.config;
    Ok(Running::read(&config.data_dir)
        .map_or_else(|| "http://127.0.0.1:8080".to_owned(), |running| running.url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_is_a_whole_module_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("my-crm");
        export(&module).unwrap();
        assert_eq!(fs::read_to_string(module.join("module.manifest.json")).unwrap(), crm_example::MANIFEST);
        assert_eq!(fs::read_dir(module.join("migrations")).unwrap().count(), crm_example::MIGRATIONS.len());
        assert!(export(&module).unwrap_err().sentence().contains("is not empty"));
    }
}
