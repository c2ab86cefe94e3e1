//! The files of the corpus: reads them, and writes answers into them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::escape::{escape, unescape};

/// A file and its cases, in order.
pub struct File {
    path: PathBuf,
    pub cases: Vec<Case>,
    /// The comments after the last case.
    tail: Vec<String>,
}

/// A named conversation between a client and the server.
pub struct Case {
    pub name: String,
    /// The name of the configuration that it is played against.
    pub config: String,
    /// True if the chunk boundaries of an answer are not compared.
    pub any_chunks: bool,
    pub stages: Vec<Stage>,
    /// `None` until it is blessed.
    pub then: Option<Then>,
    /// The lines before the first stage, as they stand in the file.
    head: Vec<String>,
}

/// Bytes that the client sends, and the answer that it then awaits.
#[derive(Default)]
pub struct Stage {
    pub send: Vec<u8>,
    /// True if the client closes its sending side after these bytes.
    pub end: bool,
    pub expect: Vec<u8>,
    /// True if the case specifies the answer, even if it is empty.
    answered: bool,
    /// The lines of the bytes sent, as they stand in the file.
    lines: Vec<String>,
}

/// The state of the connection at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The server answers the next request.
    Open,
    /// The server waits for the rest of a request.
    Waiting,
    /// The server has closed the connection.
    Closed,
}

impl Then {
    const ALL: [(&'static str, Self); 3] =
        [("open", Self::Open), ("waiting", Self::Waiting), ("closed", Self::Closed)];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl Case {
    /// Returns `true` if the case does not specify an answer yet.
    pub fn is_new(&self) -> bool {
        self.then.is_none() && self.stages.iter().all(|stage| stage.expect.is_empty())
    }

    /// Returns how many bytes the client sends.
    pub fn length(&self) -> usize {
        self.stages.iter().map(|stage| stage.send.len()).sum()
    }

    /// Sets the specified answers to the given ones.
    pub fn bless(&mut self, answers: &[Vec<u8>], then: Then) {
        for (stage, answer) in self.stages.iter_mut().zip(answers) {
            stage.expect.clone_from(answer);
        }
        self.then = Some(then);
    }

    fn new(name: &str, head: Vec<String>) -> Self {
        Self {
            name: name.into(),
            config: "default".into(),
            any_chunks: false,
            stages: Vec::new(),
            then: None,
            head,
        }
    }

    fn read_line(&mut self, line: &str) -> Result<(), String> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        let in_head = self.stages.is_empty();
        match word {
            "with" if in_head => self.config = text.into(),
            "chunks" if in_head && text == "any" => self.any_chunks = true,
            ">" | "eof" => {
                if self.stages.last().is_none_or(|stage| stage.answered || stage.end) {
                    self.stages.push(Stage::default());
                }
                let stage = self.stages.last_mut().ok_or("no stage")?;
                stage.send.extend(unescape(text)?);
                stage.end = word == "eof";
                stage.lines.push(line.into());
                return Ok(());
            }
            "<" => {
                let stage = self.stages.last_mut().ok_or("an answer before anything is sent")?;
                stage.expect.extend(unescape(text)?);
                stage.answered = true;
            }
            _ => {
                let then = Then::ALL.iter().find(|(name, _)| *name == line);
                let (_, then) = then.ok_or_else(|| format!("not understood: {line:?}"))?;
                self.then = Some(*then);
            }
        }
        if in_head {
            self.head.push(line.into());
        }
        Ok(())
    }

    fn write(&self, text: &mut String) {
        for line in &self.head {
            text.push_str(line);
            text.push('\n');
        }
        for stage in &self.stages {
            for line in &stage.lines {
                text.push_str(line);
                text.push('\n');
            }
            for line in escape(&stage.expect) {
                let _ = writeln!(text, "< {line}");
            }
            if stage.answered && stage.expect.is_empty() {
                text.push_str("<\n");
            }
        }
        if let Some(then) = self.then {
            let _ = writeln!(text, "{}", then.name());
        }
    }
}

impl File {
    /// Returns every file of the corpus, in the order of their names.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
        paths.sort();
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).unwrap();
            Self::read(&path, &text).unwrap_or_else(|error| panic!("{}:{error}", path.display()))
        };
        paths.into_iter().map(read).collect()
    }

    fn read(path: &Path, text: &str) -> Result<Self, String> {
        let mut cases = Vec::<Case>::new();
        let mut notes = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                notes.push(line.to_owned());
            } else if let Some(name) = line.strip_prefix("case ") {
                notes.push(line.to_owned());
                cases.push(Case::new(name, std::mem::take(&mut notes)));
            } else {
                let read = match cases.last_mut() {
                    None => Err("something before the first case".into()),
                    Some(_) if !notes.iter().all(String::is_empty) => {
                        Err("a comment inside a case: put it before the case".into())
                    }
                    Some(case) if case.then.is_some() => Err("something behind the end of a case".into()),
                    Some(case) => case.read_line(line),
                };
                read.map_err(|error: String| format!("{}: {error}", number + 1))?;
                notes.clear();
            }
        }
        Ok(Self { path: path.into(), cases, tail: notes })
    }

    /// Writes the file.
    pub fn write(&self) {
        let mut text = String::new();
        for case in &self.cases {
            if !text.is_empty() && !case.head[0].is_empty() {
                text.push('\n');
            }
            case.write(&mut text);
        }
        for line in &self.tail {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&self.path, text).unwrap();
    }
}

#[test]
fn a_file_is_written_as_it_was_read() {
    let text = "# about\n\n# of one\ncase one\nwith tight\nchunks any\n> a\\r\\n\n> b\n< c\\r\\n\n> d\n<\n> e\neof\n< f\nopen\n\n\
                case two\n> x\neof\nclosed\n";
    let path = std::env::temp_dir().join(format!("transom-corpus-{}.txt", std::process::id()));
    let file = File::read(&path, text).unwrap();
    assert_eq!(file.cases.len(), 2);
    let case = &file.cases[0];
    assert_eq!((case.name.as_str(), case.config.as_str(), case.any_chunks), ("one", "tight", true));
    assert_eq!((case.stages[0].send.as_slice(), case.stages[1].end), (&b"a\r\nb"[..], false));
    assert_eq!(file.cases[1].then, Some(Then::Closed));
    file.write();
    let written = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(written, text);
    for bad in ["> a\n", "case a\nnonsense\n", "case a\n< b\n", "case a\n> b\n# note\nopen\n"] {
        assert!(File::read(&path, bad).is_err(), "{bad}");
    }
}
