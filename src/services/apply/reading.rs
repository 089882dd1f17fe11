//! Reads tables of a TOML document and remembers where everything stood.
//!
//! A [`Section`] is asked for its keys one by one; what is wrong with an answer is noted with its line and
//! the answer is `None`, so that the reading goes on and finds the next problem too. What nobody asked
//! for is a key that we do not know. Problems never quote a value: it may be a secret.

use std::{cell::RefCell, collections::BTreeSet, ops::RangeInclusive};

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::ApplyProblem;
use crate::domain::words::not_known;

/// A text value; a longer one is a mistake.
const TEXT_CHARS_MAX: usize = 16_384;
/// Where people find the keys of each section.
const KEYS_STAND_IN: &str = "README.md, “The apply file”,";
/// Values in one list.
const LIST_ITEMS_MAX: usize = 100;

/// One file being read.
pub(super) struct Reading<'a> {
    pub(super) file_name: &'a str,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<ApplyProblem>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(text: &str, file_name: &'a str, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(position, _)| position + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        Self { file_name, environment, line_starts, problems: RefCell::default() }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(super) fn problem(&self, offset: usize, field: String, message: impl Into<String>) {
        self.problem_on_line(self.line(offset), field, message);
    }

    pub(super) fn problem_on_line(&self, line: usize, field: String, message: impl Into<String>) {
        let file = self.file_name.to_owned();
        self.problems.borrow_mut().push(ApplyProblem { file, line, field, message: message.into() });
    }

    /// In the order of the file.
    pub(super) fn into_problems(self) -> Vec<ApplyProblem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems
    }

    /// Puts the environment's values in the place of `${NAME}`; `$${` stands for `${` itself.
    fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str("${");
                rest = after;
                continue;
            }
            let (name, after) = after
                .split_once('}')
                .ok_or("has a ${ without its }: write ${NAME}, or $${ for the two signs themselves")?;
            if !is_variable_name(name) {
                return Err("has a ${…} whose name is not one: use letters, digits and _, or write $${ for the two signs themselves".to_owned());
            }
            let value = (self.environment)(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                format!("needs the environment variable {name}, which is not set or empty: set it before applying")
            })?;
            filled.push_str(before);
            filled.push_str(&value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A text with `${…}` filled in, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) offset: usize,
}

/// One table of the file.
pub(super) struct Section<'a> {
    reading: &'a Reading<'a>,
    path: String,
    table: &'a DeTable<'a>,
    /// Where it begins.
    pub(super) offset: usize,
    asked: BTreeSet<String>,
}

impl<'a> Section<'a> {
    pub(super) fn new(reading: &'a Reading<'a>, path: String, table: &'a DeTable<'a>, offset: usize) -> Self {
        Self { reading, path, table, offset, asked: BTreeSet::new() }
    }

    pub(super) fn line(&self) -> usize {
        self.reading.line(self.offset)
    }

    /// The sections and the key, for people.
    pub(super) fn field(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    pub(super) fn problem(&self, offset: usize, key: &str, message: impl Into<String>) {
        self.reading.problem(offset, self.field(key), message);
    }

    /// The line of [`Self::offset_of`].
    pub(super) fn line_of(&self, path: &str) -> usize {
        self.reading.line(self.offset_of(path))
    }

    /// Where the value of a key stands; keys of sections in this one stand behind dots. What is not there begins where the
    /// section does that lacks it.
    pub(super) fn offset_of(&self, path: &str) -> usize {
        let (mut offset, mut table) = (self.offset, Some(self.table));
        for key in path.split('.') {
            let value = table.into_iter().flatten().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value);
            let Some(value) = value else { break };
            offset = value.span().start;
            table = value.get_ref().as_table();
        }
        offset
    }

    /// Whether the key is there; it counts as one that is known.
    pub(super) fn has(&mut self, key: &str) -> bool {
        self.asked.insert(key.to_owned());
        self.stands(key)
    }

    /// The same, without being a key that is known here.
    pub(super) fn stands(&self, key: &str) -> bool {
        self.table.keys().any(|name| name.get_ref() == key)
    }

    fn get(&mut self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.insert(key.to_owned());
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Notes a problem when the key is missing; `why` ends the sentence.
    pub(super) fn require(&mut self, key: &str, why: &str) {
        if !self.has(key) {
            self.problem(self.offset, key, format!("is missing: {why}"));
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<Text> {
        let value = self.get(key)?;
        self.read_text(key, value)
    }

    /// A text in the form that `check` wants; its error says what is wrong and what to change.
    pub(super) fn checked<T>(&mut self, key: &str, check: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        check(&text.value).map_err(|message| self.problem(text.offset, key, message)).ok()
    }

    /// One text or a list of them. Empty when the key is missing; `None` when one of them is wrong.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<Text>> {
        let Some(value) = self.get(key) else { return Some(Vec::new()) };
        let Some(items) = value.get_ref().as_array() else { return self.read_text(key, value).map(|text| vec![text]) };
        if items.len() > LIST_ITEMS_MAX {
            self.problem(value.span().start, key, format!("has more than {LIST_ITEMS_MAX} values: remove some"));
            return None;
        }
        let texts: Vec<_> = items.iter().map(|item| self.read_text(key, item)).collect();
        texts.into_iter().collect()
    }

    /// A list of texts, where a single text would be a mistake. `None` when the key is missing too.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<Text>> {
        let value = self.get(key)?;
        if value.get_ref().as_array().is_none() {
            self.problem(value.span().start, key, format!("must be a list, also of one: write {key} = [\"…\"]"));
            return None;
        }
        self.texts(key)
    }

    pub(super) fn integer(&mut self, key: &str, allowed: RangeInclusive<i64>) -> Option<i64> {
        let value = self.get(key)?;
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.filter(|number| allowed.contains(number));
        if number.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            self.problem(value.span().start, key, format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.problem(value.span().start, key, "must be true or false, without quotes");
        }
        boolean
    }

    /// A table inside this one.
    pub(super) fn table(&mut self, key: &str) -> Option<Section<'a>> {
        let value = self.get(key)?;
        self.read_section(key, value)
    }

    /// An array of tables: `[[key]]`.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Section<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.problem(value.span().start, key, format!("must be a list of sections: write [[{}]]", self.field(key)));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.read_section(key, item)).collect()
    }

    /// Every table inside this one, by its key.
    pub(super) fn named_tables(&mut self) -> Vec<(String, Section<'a>)> {
        let named = self.table.iter().map(|(name, value)| (name.get_ref().to_string(), value));
        named.filter_map(|(name, value)| Some((name.clone(), self.read_section(&name, value)?))).collect()
    }

    /// The value of a key as JSON, its texts filled in. `None` also when a part of it is wrong.
    pub(super) fn json_at(&mut self, key: &str) -> Option<Value> {
        let value = self.get(key)?;
        self.json_of(key, value)
    }

    /// Everything in this section as JSON, its texts filled in. `None` when a part of it is wrong.
    fn json(&mut self) -> Option<serde_json::Map<String, Value>> {
        let pairs = self.table.iter().map(|(name, value)| {
            let name = name.get_ref().to_string();
            let value = self.json_of(&name, value)?;
            Some((name, value))
        });
        // All of them are read before one counts, so that every problem is found.
        let pairs: Vec<Option<(String, Value)>> = pairs.collect();
        pairs.into_iter().collect()
    }

    fn json_of(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<Value> {
        let wrong =
            || self.problem(value.span().start, key, "must be a text, a number, true, false, a list or a section");
        match value.get_ref() {
            DeValue::String(_) => self.read_text(key, value).map(|text| Value::String(text.value)),
            DeValue::Boolean(is) => Some(Value::Bool(*is)),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                number.map(Value::from).map_err(|_| wrong()).ok()
            }
            DeValue::Array(items) if items.len() <= LIST_ITEMS_MAX => {
                items.iter().map(|item| self.json_of(key, item)).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            DeValue::Table(_) => self.read_section(key, value)?.json().map(Value::Object),
            DeValue::Array(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
                wrong();
                None
            }
        }
    }

    /// All keys of this section with their texts, for sections whose keys are free.
    pub(super) fn free_texts(&mut self) -> Vec<(String, Option<Text>)> {
        let pairs = self.table.iter().map(|(name, value)| (name.get_ref().to_string(), value));
        pairs.map(|(name, value)| (name.clone(), self.read_text(&name, value))).collect()
    }

    /// What was never asked for is not known.
    pub(super) fn finish(self) {
        for name in self.table.keys().filter(|name| !self.asked.contains(name.get_ref().as_ref())) {
            let known: Vec<&str> = self.asked.iter().map(String::as_str).collect();
            self.problem(name.span().start, name.get_ref(), not_known(name.get_ref(), &known, KEYS_STAND_IN));
        }
    }

    fn read_text(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let offset = value.span().start;
        let Some(text) = value.get_ref().as_str() else {
            self.problem(offset, key, "must be a text: put it in quotes");
            return None;
        };
        let filled = self.reading.fill(text);
        let value = filled.map_err(|message| self.problem(offset, key, message)).ok()?;
        if value.chars().count() > TEXT_CHARS_MAX {
            self.problem(offset, key, format!("is longer than {TEXT_CHARS_MAX} characters: shorten it"));
            return None;
        }
        Some(Text { value, offset })
    }

    fn read_section(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let offset = value.span().start;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::new(self.reading, self.field(key), table, offset)),
            None => {
                self.problem(offset, key, "must be a section with keys of its own, not a single value");
                None
            }
        }
    }
}
