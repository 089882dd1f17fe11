//! The reference of all settings, for people who read rather than run: `defaults.toml` as a page.
//!
//! The file is its only source, so page and program cannot disagree; a test holds the file against the types.

use std::fmt::Write as _;

use super::{DEFAULTS, variable_of};

const HEAD: &str = "\
# All settings

Made from [`src/defaults.toml`](../src/defaults.toml) by `wabridge settings --reference`.

Settings come from three layers: the defaults below, then `wabridge.toml` (or the file given by `--settings FILE`),
then the environment. In the file a setting stands in the table of its section; its variable is named beside it here, and
takes a list with commas. Durations are written like `800ms`, `30s`, `15m`, `6h`, `7d`. A key that nobody knows is an
error. `wabridge settings` prints what is in effect, secrets blanked.
";

/// The page, in Markdown: a table for each section.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut section = "";
    for line in lines(DEFAULTS) {
        match line {
            Line::Section(name) => {
                section = name;
                write!(page, "\n## `[{name}]`\n\n| setting, variable | default | |\n|---|---|---|\n")
                    .expect("a String takes everything");
            }
            Line::Setting(setting) => {
                let Setting { key, default, meaning } = setting;
                let variable = variable_of(&format!("{section}.{key}"));
                let default = default.map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
                // A bar in a cell would end it.
                let meaning = meaning.replace('|', "\\|");
                writeln!(page, "| `{key}`<br>`{variable}` | {default} | {meaning} |")
                    .expect("a String takes everything");
            }
        }
    }
    page
}

/// Every setting, as `section.key`.
pub(super) fn keys() -> impl Iterator<Item = String> {
    let mut section = "";
    lines(DEFAULTS).filter_map(move |line| match line {
        Line::Section(name) => {
            section = name;
            None
        }
        Line::Setting(setting) => Some(format!("{section}.{}", setting.key)),
    })
}

enum Line<'a> {
    Section(&'a str),
    Setting(Setting<'a>),
}

struct Setting<'a> {
    key: &'a str,
    /// As it stands in the file; `None` for one that is only named in a comment, because it has no default.
    default: Option<&'a str>,
    meaning: String,
}

/// The file's sections and settings, each setting with the comment above it.
fn lines(file: &str) -> impl Iterator<Item = Line<'_>> {
    let mut comment: Vec<&str> = Vec::new();
    file.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            comment.clear();
            return Some(Line::Section(name));
        }
        let (text, commented) = line.strip_prefix("# ").map_or((line, false), |text| (text, true));
        match text.split_once(" = ").filter(|(key, _)| is_key(key)) {
            Some((key, value)) => {
                let meaning = std::mem::take(&mut comment).join(" ");
                Some(Line::Setting(Setting { key, default: Some(value).filter(|_| !commented), meaning }))
            }
            None if commented => {
                comment.push(text);
                None
            }
            None => {
                comment.clear();
                None
            }
        }
    })
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::settings::Settings;

    fn documented() -> Vec<(String, bool)> {
        let mut section = "";
        let mut keys = Vec::new();
        for line in lines(DEFAULTS) {
            match line {
                Line::Section(name) => section = name,
                Line::Setting(setting) => {
                    assert!(!setting.meaning.is_empty(), "{section}.{} is not explained", setting.key);
                    keys.push((format!("{section}.{}", setting.key), setting.default.is_some()));
                }
            }
        }
        keys
    }

    /// Every key of the tree that the program itself would print.
    fn known() -> BTreeSet<String> {
        let tree: toml::Table = toml::from_str(&Settings::defaults().render()).expect("what is printed is TOML");
        let sections = tree.into_iter().filter_map(|(section, value)| Some((section, value.as_table()?.clone())));
        sections.flat_map(|(section, keys)| keys.into_iter().map(move |(key, _)| format!("{section}.{key}"))).collect()
    }

    #[test]
    fn every_setting_is_explained_and_every_explained_one_exists() {
        let documented = documented();
        let keys: BTreeSet<String> = documented.iter().map(|(key, _)| key.clone()).collect();

        let missing: Vec<String> = known().difference(&keys).cloned().collect();
        assert!(missing.is_empty(), "not in defaults.toml: {missing:?}");
        // The others have no default. The tree must know them all the same.
        for (key, _) in documented.into_iter().filter(|(_, default)| !default) {
            let (section, key) = key.split_once('.').expect("a section and a key");
            let text = format!("[{section}]\n{key} = \"x\"");
            let error =
                Settings::from_layers(Some(&text), []).err().map_or_else(String::new, |error| error.to_string());
            assert!(!error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn the_page_in_docs_is_this_one() {
        assert!(
            include_str!("../../docs/configuration.md") == markdown(),
            "write it anew: cargo run -- settings --reference > docs/configuration.md"
        );
    }
}
