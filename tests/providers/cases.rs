//! Finds the examples and compares.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use wabridge::providers::{self, Provider};

/// One folder of files.
pub(crate) struct Case {
    folder: PathBuf,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.strip_prefix(fixtures()).unwrap_or(&self.folder).display().fmt(f)
    }
}

impl Case {
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap_or_else(|error| panic!("{self} needs a file {name}: {error}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap_or_else(|error| panic!("{self}/{name}: {error}"))
    }

    pub(crate) fn json_if_there(&self, name: &str) -> Option<Value> {
        self.folder.join(name).exists().then(|| self.json(name))
    }

    /// The difference between what is and what was expected, if there is one.
    fn difference(&self, actual: &Value) -> Option<String> {
        if env::var_os("UPDATE_EXPECTED").is_some() {
            let text = serde_json::to_string_pretty(actual).expect("a value is JSON") + "\n";
            fs::write(self.folder.join("expected.json"), text).expect("the folder can be written");
        }
        let expected = self.json("expected.json");
        (expected != *actual).then(|| format!("{self}\nexpected {expected:#}\ngot {actual:#}"))
    }
}

/// Runs all cases of this kind of every provider. A provider without any is not finished.
pub(crate) fn for_each_case(kind: &str, run: impl Fn(&'static dyn Provider, &Case) -> Value) {
    let mut differences = Vec::new();
    for provider in providers::ALL {
        for case in cases(provider.slug(), kind) {
            differences.extend(case.difference(&run(*provider, &case)));
        }
    }
    assert!(differences.is_empty(), "{} examples differ:\n\n{}", differences.len(), differences.join("\n\n"));
}

/// The cases of one kind, in the order of their names.
pub(crate) fn cases(slug: &str, kind: &str) -> Vec<Case> {
    let parent = fixtures().join(slug).join(kind);
    let entries = fs::read_dir(&parent)
        .unwrap_or_else(|error| panic!("the provider {slug} needs examples in {}: {error}", parent.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "the provider {slug} needs examples in {}", parent.display());
    folders.into_iter().map(|folder| Case { folder }).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/providers/fixtures")
}
