//! The servers under test, as `servers/servers.toml` describes them. All that the harness knows
//! of a server is data in that file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Vec<Server>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub name: String,
    pub family: String,
    #[serde(default)]
    pub build: Vec<Vec<String>>,
    pub run: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub apt: Vec<String>,
    #[serde(default)]
    pub pip: Vec<String>,
    #[serde(rename = "crate")]
    pub package: Option<String>,
    pub binary: Option<String>,
    pub scenarios: Vec<String>,
    pub configuration: String,
    #[serde(default)]
    pub quick: bool,
}

/// Where things are, for the placeholders of the descriptions.
#[derive(Clone, Debug)]
pub struct Places {
    pub benches: PathBuf,
    pub root: PathBuf,
    /// The folder of cargo's builds.
    pub builds: PathBuf,
    /// Scratch folder of the run.
    pub work: PathBuf,
}

impl Places {
    pub fn target(&self) -> PathBuf {
        self.builds.join("release")
    }

    pub fn cache(&self) -> PathBuf {
        self.benches.join(".cache")
    }

    pub fn venv(&self, server: &str) -> PathBuf {
        self.cache().join("venv").join(server)
    }

    /// The file that `/file` answers with.
    pub fn file(&self) -> PathBuf {
        self.work.join("file.bin")
    }

    /// Puts a place for each `{name}`.
    pub fn fill(&self, text: &str, server: &str, port: u16) -> String {
        let names: [(&str, &dyn Fn() -> String); 8] = [
            ("{benches}", &|| shown(&self.benches)),
            ("{root}", &|| shown(&self.root)),
            ("{target}", &|| shown(&self.target())),
            ("{cache}", &|| shown(&self.cache())),
            ("{venv}", &|| shown(&self.venv(server))),
            ("{file}", &|| shown(&self.file())),
            ("{work}", &|| shown(&self.work)),
            ("{port}", &|| port.to_string()),
        ];
        names.iter().fold(text.to_owned(), |text, (name, place)| text.replace(name, &place()))
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub fn read(path: &Path) -> Result<Vec<Server>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Server>> {
    let file: File = toml::from_str(text)?;
    for (at, server) in file.server.iter().enumerate() {
        ensure!(!server.run.is_empty(), "{}: nothing to run", server.name);
        let twice = file.server[..at].iter().any(|other| other.name == server.name);
        ensure!(!twice, "{}: named twice", server.name);
    }
    Ok(file.server)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        [[server]]
        name = "one"
        family = "rust"
        build = [["cargo", "build"]]
        run = ["{target}/one", "--port", "{port}"]
        crate = "serve-one"
        scenarios = ["small", "idle"]
        configuration = "as its manual says"
    "#;

    #[test]
    fn a_table_for_each_server() {
        let servers = parse(ONE).unwrap();
        assert_eq!(servers[0].name, "one");
        assert_eq!(servers[0].package.as_deref(), Some("serve-one"));
        assert!(!servers[0].quick && servers[0].pip.is_empty());
        assert!(parse(&ONE.repeat(2)).is_err(), "a name twice");
        assert!(parse(&ONE.replace("family", "familly")).is_err(), "a key that does not exist");
    }

    #[test]
    fn placeholders() {
        let places =
            Places { benches: "/b".into(), root: "/r".into(), builds: "/t".into(), work: "/w".into() };
        assert_eq!(
            places.fill("{target}/x {port} {venv} {file}", "n", 80),
            "/t/release/x 80 /b/.cache/venv/n /w/file.bin"
        );
    }
}
