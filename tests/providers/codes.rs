//! The page about Meta's codes says what the table says, code by code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use wabridge::{
    domain::failure::{FailureClass as Class, FailureReason, Scope},
    platforms,
    providers::cloud_api::errors::{CODES, CodeRow},
};

/// How a line of the first table begins, and what the rows of its codes have in common.
type Line = (&'static str, fn(&CodeRow) -> bool);

const LINES: &[Line] = &[
    ("reports `failed` at once", |row| row.class == Class::GiveUp),
    ("sends it by the other endpoint", |row| row.class == Class::Swap),
    ("tries again after `send.retry_waits`, until it expires", |row| {
        row.class == Class::Retry && row.tries_max.is_none() && row.scope != Scope::Template
    }),
    ("tries again after `send.retry_waits`, three times in all", |row| row.tries_max == Some(3)),
    ("tries again after `send.retry_waits`, four times in all", |row| row.tries_max == Some(4)),
    ("tries again after `send.retry_waits`, six times in all", |row| row.tries_max == Some(6)),
    ("tries again, and slows the number down", |row| (row.class, row.scope) == (Class::Slow, Scope::Number)),
    ("tries again, and leaves this person alone", |row| (row.class, row.scope) == (Class::Slow, Scope::Pair)),
    ("tries again, and pauses", |row| {
        row.class == Class::Slow && matches!(row.scope, Scope::ProviderAccount | Scope::Connection)
    }),
    ("tries again after 10 minutes (132069: 6), and the other messages of the template", |row| {
        (row.class, row.scope) == (Class::Retry, Scope::Template)
    }),
    ("holds the template", |row| (row.class, row.scope) == (Class::Hold, Scope::Template)),
    ("**holds the number**", |row| (row.class, row.scope) == (Class::Hold, Scope::Number)),
    ("**holds all numbers of the business account**", |row| {
        (row.class, row.scope) == (Class::Hold, Scope::ProviderAccount)
    }),
    ("**holds the connection**", |row| (row.class, row.scope) == (Class::Hold, Scope::Connection)),
];

/// Ranges so wide are of one kind, and compared by their ends.
const RANGE_SPELLED_OUT_MAX: i64 = 100;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/codes.md");
    fs::read_to_string(path).expect("the page about codes can be read")
}

/// Every code of a range; of a very wide one its ends.
fn spelled_out(first: i64, last: i64) -> BTreeSet<i64> {
    if last - first > RANGE_SPELLED_OUT_MAX { BTreeSet::from([first, last]) } else { (first..=last).collect() }
}

/// `131026, 131049–131053` and remarks between them.
fn codes_in(cell: &str) -> BTreeSet<i64> {
    let listed = cell.split(", ").filter_map(|item| {
        let item = item.trim();
        let (first, last) = item.split_once('–').unwrap_or((item, item));
        Some(spelled_out(first.parse().ok()?, last.parse().ok()?))
    });
    listed.flatten().collect()
}

fn codes_of(rows: impl Fn(&CodeRow) -> bool) -> BTreeSet<i64> {
    CODES.iter().filter(|row| rows(row)).flat_map(|row| spelled_out(row.first, row.last)).collect()
}

#[test]
fn the_page_about_codes_says_what_follows_from_each() {
    let page = page();
    let lines: Vec<Vec<&str>> = page.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    for (beginning, belongs) in LINES {
        let line = lines.iter().find(|cells| cells.get(1).is_some_and(|cell| cell.starts_with(beginning)));
        let cells = line.unwrap_or_else(|| panic!("docs/codes.md has no line that begins with: {beginning}"));
        assert_eq!(codes_in(cells[2]), codes_of(belongs), "docs/codes.md: {beginning}");
    }
    for row in CODES {
        let lines = LINES.iter().filter(|(_, belongs)| belongs(row)).count();
        assert_eq!(lines, 1, "{} belongs to {lines} lines of docs/codes.md", row.first);
    }
}

/// What CleverTap gets for a reason.
fn clevertap_code(reason: FailureReason) -> i64 {
    platforms::find("clevertap").expect("it is built in").failure_code(reason).into()
}

#[test]
fn the_page_about_codes_says_what_clevertap_gets_for_each() {
    let page = page();
    let (_, table) = page.split_once("## What CleverTap gets").expect("the page has this part");
    let mut written: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for cells in table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()) {
        if let [_, code, _, theirs, _] = cells[..]
            && let Ok(code) = code.parse()
        {
            written.insert(code, codes_in(theirs));
        }
    }
    const EVERYTHING_ELSE: i64 = 1009;
    for (code, theirs) in written {
        let meant = match code {
            EVERYTHING_ELSE => BTreeSet::new(),
            code => codes_of(|row| clevertap_code(row.reason) == code),
        };
        assert_eq!(theirs, meant, "docs/codes.md: CleverTap's {code}");
    }
}
