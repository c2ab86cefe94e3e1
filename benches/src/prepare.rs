//! Gets servers ready: Debian packages, Python environments, builds. A server that cannot be had
//! is left out of the run, and the report says why.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::servers::{Places, Server};

/// A server that is left out, and why.
pub type Skipped = (Server, String);

/// The servers that are ready, and those that are not.
pub fn all(servers: Vec<Server>, places: &Places) -> Result<(Vec<Server>, Vec<Skipped>)> {
    fs::create_dir_all(places.cache().join("logs"))?;
    let (mut ready, mut skipped) = (Vec::new(), Vec::new());
    for server in servers {
        eprint!("prepare {:20}\r", server.name);
        match one(&server, places) {
            Ok(()) => ready.push(server),
            Err(error) => {
                eprintln!("prepare {}: left out: {error:#}", server.name);
                skipped.push((server, format!("{error:#}")));
            }
        }
    }
    Ok((ready, skipped))
}

fn one(server: &Server, places: &Places) -> Result<()> {
    let log = places.cache().join("logs").join(format!("{}.log", server.name));
    File::create(&log)?;
    install_packages(&server.apt, &log)?;
    make_environment(server, places, &log)?;
    for command in &server.build {
        let words: Vec<_> = command.iter().map(|word| places.fill(word, &server.name, 0)).collect();
        run(&words, places, &log)?;
    }
    Ok(())
}

/// Debian packages, if they are not there.
pub fn install_packages(packages: &[String], log: &Path) -> Result<()> {
    let missing: Vec<_> = packages.iter().filter(|package| !is_installed(package)).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    ensure!(rustix::process::geteuid().is_root(), "needs the packages {}", missing.join(" "));
    let install = |log: &Path| {
        let words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"].map(str::to_owned);
        logged(
            Command::new(&words[0]).args(&words[1..]).args(&missing).env("DEBIAN_FRONTEND", "noninteractive"),
            log,
        )
    };
    // The lists may be absent or old.
    install(log).or_else(|_| {
        logged(Command::new("apt-get").args(["update", "-qq"]), log)?;
        install(log)
    })
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).output();
    query.is_ok_and(|output| output.stdout.ends_with(b" installed"))
}

/// The version of an installed Debian package.
pub fn package_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned()).filter(|version| !version.is_empty())
}

/// A virtual environment with the packages of a server, made anew when they change.
fn make_environment(server: &Server, places: &Places, log: &Path) -> Result<()> {
    if server.pip.is_empty() {
        return Ok(());
    }
    let folder = places.venv(&server.name);
    let stamp = folder.join("packages");
    let wanted = server.pip.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(&folder);
    logged(Command::new("python3").args(["-m", "venv"]).arg(&folder), log)?;
    let mut pip = Command::new(folder.join("bin/pip"));
    logged(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(&server.pip), log)?;
    fs::write(stamp, wanted)?;
    Ok(())
}

fn run(words: &[String], places: &Places, log: &Path) -> Result<()> {
    let (program, arguments) = words.split_first().context("an empty build command")?;
    let mut command = Command::new(program);
    command.args(arguments).env("CARGO_TARGET_DIR", &places.builds);
    logged(command.current_dir(&places.benches), log)
}

/// Runs a command with its output in a file; the last lines of it when it fails.
pub fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let output = File::options().append(true).create(true).open(log)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).status();
    if status.with_context(|| format!("run {name}"))?.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    bail!("{name} failed: {}", lines[lines.len().saturating_sub(3)..].join(" / "))
}
