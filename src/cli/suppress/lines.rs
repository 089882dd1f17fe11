//! Telephone numbers from a file, a line at a time: a file may have millions of them, and some of any file are wrong.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
};

use anyhow::Context as _;
use wabridge::domain::{
    phone::PhoneNumber,
    suppression::{Scope, short},
};

/// A longer line is no number, whatever else it may be.
const LINE_BYTES_MAX: usize = 4_096;
/// What a column of numbers is called.
const PHONE_NAMES: [&str; 5] = ["phone", "number", "mobile", "to", "recipient"];

pub(super) struct Lines<'a> {
    input: Box<dyn BufRead>,
    country: Option<&'a str>,
    columns: Columns,
    /// As the first line with something on it has them: a comma in a reason must not make another file of one line.
    form: Option<Form>,
    line: u64,
    /// `None` when nobody knows how much there is.
    pub(super) bytes_total: Option<u64>,
    pub(super) bytes_read: u64,
}

/// A person in a file.
#[derive(Debug, PartialEq)]
pub(super) struct Listed {
    pub(super) phone: PhoneNumber,
    pub(super) scope: Option<Scope>,
    pub(super) reason: Option<String>,
}

impl Listed {
    pub(super) fn of(phone: PhoneNumber) -> Self {
        Self { phone, scope: None, reason: None }
    }
}

/// A line that names nobody.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) problem: String,
}

/// How lines are taken apart.
#[derive(Clone, Copy)]
struct Form {
    separator: u8,
    fields: usize,
}

/// Where what stands.
struct Columns {
    phone: usize,
    scope: Option<usize>,
    reason: Option<usize>,
}

impl<'a> Lines<'a> {
    /// `-` is standard input.
    pub(super) fn open(file: &str, country: Option<&'a str>) -> anyhow::Result<Self> {
        if file == "-" {
            return Ok(Self::new(Box::new(BufReader::new(io::stdin())), country, None));
        }
        let opened = File::open(file).with_context(|| format!("could not read {file}"))?;
        let bytes = opened.metadata().ok().map(|metadata| metadata.len());
        Ok(Self::new(Box::new(BufReader::new(opened)), country, bytes))
    }

    fn new(input: Box<dyn BufRead>, country: Option<&'a str>, bytes_total: Option<u64>) -> Self {
        let columns = Columns { phone: 0, scope: None, reason: None };
        Self { input, country, columns, form: None, line: 0, bytes_total, bytes_read: 0 }
    }

    /// The next line with something on it; `None` at the end.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Result<Listed, BadLine>>> {
        loop {
            let Some(line) = self.read_line()? else { return Ok(None) };
            let first = self.line == 1;
            let read =
                line.and_then(|line| self.read_fields(if first { line.trim_start_matches('\u{feff}') } else { &line }));
            if let Some(read) = read.map_err(|problem| BadLine { line: self.line, problem }).transpose() {
                return Ok(Some(read));
            }
        }
    }

    /// Whom a line names; `None` when it is empty, or names the columns.
    fn read_fields(&mut self, line: &str) -> Result<Option<Listed>, String> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let separator = self.form.map_or_else(|| separator_of(line), |form| form.separator);
        let fields = fields(line, separator)?;
        let Some(form) = self.form else {
            self.form = Some(Form { separator, fields: fields.len() });
            let names_columns = self.columns.read(&fields);
            return if names_columns { Ok(None) } else { self.columns.listed(&fields, self.country).map(Some) };
        };
        if fields.iter().all(String::is_empty) {
            return Ok(None);
        }
        if fields.len() != form.fields {
            return Err(format!(
                "it has {} fields, and the first line has {}: put a text with a {:?} in it between double quotes",
                fields.len(),
                form.fields,
                char::from(separator)
            ));
        }
        self.columns.listed(&fields, self.country).map(Some)
    }

    fn read_line(&mut self) -> io::Result<Option<Result<String, String>>> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.bytes_read += read as u64;
        if !bytes.ends_with(b"\n") && read > LINE_BYTES_MAX {
            self.skip_rest()?;
            return Ok(Some(Err(format!("longer than {LINE_BYTES_MAX} bytes"))));
        }
        Ok(Some(String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())))
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let (used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.input.consume(used);
            self.bytes_read += used as u64;
            if ended {
                return Ok(());
            }
        }
    }
}

/// Spreadsheets of many countries write semicolons.
fn separator_of(line: &str) -> u8 {
    let count = |separator| line.matches(separator).count();
    if count(';') > count(',') { b';' } else { b',' }
}

/// The fields of one line of CSV, without the white space around them.
fn fields(line: &str, separator: u8) -> Result<Vec<String>, String> {
    if !line.contains('"') {
        let fields = line.trim_end_matches(['\r', '\n']).split(char::from(separator));
        return Ok(fields.map(|field| field.trim().to_owned()).collect());
    }
    quoted_fields(line, separator)
}

/// The same with all of CSV's rules. Getting ready for them takes longer than everything else that is done for a line.
fn quoted_fields(line: &str, separator: u8) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(separator)
        .trim(csv::Trim::All)
        .buffer_capacity(256)
        .from_reader(line.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
        Some(Err(error)) => Err(format!("not CSV: {error}")),
        None => Ok(vec![]),
    }
}

impl Columns {
    /// Learns from a line of names; `false` when it is none.
    fn read(&mut self, fields: &[String]) -> bool {
        let place = |names: &[&str]| fields.iter().position(|field| names.contains(&field.to_lowercase().as_str()));
        let Some(phone) = place(&PHONE_NAMES) else { return false };
        *self = Self { phone, scope: place(&["scope"]), reason: place(&["reason"]) };
        true
    }

    fn listed(&self, fields: &[String], country: Option<&str>) -> Result<Listed, String> {
        let field = |place: Option<usize>| place.and_then(|place| fields.get(place)).filter(|text| !text.is_empty());
        let phone = field(Some(self.phone)).ok_or("no number")?;
        let scope = match field(self.scope).map(String::as_str) {
            None => None,
            Some("marketing") => Some(Scope::Marketing),
            Some("all") => Some(Scope::All),
            Some(_) => return Err("scope must be marketing or all".to_owned()),
        };
        Ok(Listed {
            phone: PhoneNumber::parse(phone, country).map_err(|error| error.to_string())?,
            scope,
            reason: field(self.reason).map(|reason| short(reason)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: impl Into<Vec<u8>>) -> Vec<Result<Listed, BadLine>> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(text.into())), Some("IN"), None);
        std::iter::from_fn(|| lines.next_line().expect("memory can be read")).collect()
    }

    fn phones(text: &str) -> Vec<String> {
        let listed = read(text).into_iter().map(|line| line.expect("every line is good"));
        listed.map(|listed| listed.phone.as_e164().to_owned()).collect()
    }

    #[test]
    fn a_plain_list_a_csv_and_one_from_a_spreadsheet_mean_the_same() {
        let wanted = ["+919876500001", "+919876500002"];

        assert_eq!(phones("+919876500001\n\n98765 00002\n"), wanted);
        assert_eq!(phones("name,Phone\nAsha,+919876500001\n\"Rao, A.\",+919876500002"), wanted);
        assert_eq!(phones("\u{feff}phone;reason\r\n919876500001;x\r\n919876500002;y\r\n"), wanted);
    }

    #[test]
    fn what_was_exported_says_scope_and_reason() {
        let text =
            "phone,scope,reason,source,since\n+919876500001,all,\"by mail, twice\",operator,2026\n+919876500002,,,,";

        let read = read(text);

        let first = read[0].as_ref().expect("a good line");
        assert_eq!((first.scope, first.reason.as_deref()), (Some(Scope::All), Some("by mail, twice")));
        assert_eq!(read[1], Ok(Listed::of(PhoneNumber::from_international("+919876500002").expect("a number"))));
    }

    #[test]
    fn a_comma_in_a_text_does_not_change_what_the_columns_are() {
        let read = read("name;mobile;scope;reason\nRavi;9876500114;marketing;see ticket, 9876500199\nA;1;2\n");

        let listed = read[0].as_ref().expect("a good line");
        assert_eq!((listed.phone.as_e164(), listed.scope), ("+919876500114", Some(Scope::Marketing)));
        assert_eq!(listed.reason.as_deref(), Some("see ticket, 9876500199"));
        let problem = &read[1].as_ref().expect_err("a column is missing").problem;
        assert!(problem.contains("3 fields") && problem.contains("has 4"), "{problem}");
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_stops_nothing() {
        let long = "9".repeat(3 * LINE_BYTES_MAX);
        let mut text = format!("+919876500001\nnobody\n{long}\n").into_bytes();
        text.extend(b"\xff\xfe\n+919876500002");

        let read = read(text);

        let bad: Vec<u64> = read.iter().filter_map(|line| line.as_ref().err().map(|bad| bad.line)).collect();
        assert_eq!(bad, [2, 3, 4]);
        assert_eq!(read.len(), 5);
    }

    proptest! {
        #[test]
        fn a_line_without_quotes_means_what_csv_says(line in "[ \t;,a-z0-9+é\u{a0}]{0,40}[ ,;a-z][\r]?[\n]?") {
            prop_assert_eq!(fields(&line, b';'), quoted_fields(&line, b';'));
        }

        #[test]
        fn no_bytes_make_it_panic_or_go_on_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(bytes).len() <= 400);
        }
    }
}
