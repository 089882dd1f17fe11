//! Rows as CSV for spreadsheets, or as JSON lines for programs.

use std::io::Write;

use serde::Serialize;
use wabridge::services::export::cells;

/// Writes rows of one kind.
pub(super) struct Table {
    out: Out,
    columns: Vec<&'static str>,
}

enum Out {
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
    JsonLines(Box<dyn Write + Send>),
}

impl Table {
    pub(super) fn new(out: Box<dyn Write + Send>, columns: &[(&'static str, &str)], json: bool) -> Self {
        let columns = columns.iter().map(|(name, _)| *name).collect();
        let out = if json { Out::JsonLines(out) } else { Out::Csv(Box::new(csv::Writer::from_writer(out))) };
        Self { out, columns }
    }

    /// The names of the columns, where the form has such a line.
    pub(super) fn head(&mut self) -> std::io::Result<()> {
        match &mut self.out {
            Out::Csv(writer) => writer.write_record(&self.columns).map_err(as_io),
            Out::JsonLines(_) => Ok(()),
        }
    }

    pub(super) fn row(&mut self, row: &impl Serialize) -> std::io::Result<()> {
        match &mut self.out {
            Out::Csv(writer) => writer.write_record(cells(row, &self.columns)?).map_err(as_io),
            Out::JsonLines(out) => {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")
            }
        }
    }

    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        match &mut self.out {
            Out::Csv(writer) => writer.flush(),
            Out::JsonLines(out) => out.flush(),
        }
    }
}

fn as_io(error: csv::Error) -> std::io::Error {
    let text = error.to_string();
    // As it was: a reader that went away is told apart by its kind.
    if let csv::ErrorKind::Io(error) = error.into_kind() { error } else { std::io::Error::other(text) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    #[test]
    fn every_column_is_described() {
        let row = wabridge::services::export::CampaignRow {
            account: String::new(),
            campaign: String::new(),
            batch: String::new(),
            first_accepted_at: String::new(),
            last_accepted_at: String::new(),
            funnel: wabridge::domain::campaign::Funnel {
                failed_by_code: [(1005, 1)].into(),
                ..wabridge::domain::campaign::Funnel::default()
            },
        };
        let Ok(Value::Object(values)) = serde_json::to_value(row) else { panic!("a row is an object") };
        let described: BTreeSet<&str> =
            wabridge::services::export::CAMPAIGN_COLUMNS.iter().map(|(name, _)| *name).collect();
        assert_eq!(values.keys().map(String::as_str).collect::<BTreeSet<_>>(), described);
    }
}
