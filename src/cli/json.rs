//! JSON that is written while it is found, because it may be longer than memory.

use std::io::{self, Write};

use anyhow::Context as _;
use serde::Serialize;

/// One document, part by part. Whoever opens a list closes it.
pub(super) struct JsonWriter<W: Write> {
    out: W,
    /// For each list that is open, whether something stands in it already.
    open: Vec<bool>,
}

impl<W: Write> JsonWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, open: vec![] }
    }

    pub(super) fn begin_list(&mut self) -> anyhow::Result<()> {
        self.write(|writer| {
            writer.separate()?;
            writer.out.write_all(b"[")
        })?;
        self.open.push(false);
        Ok(())
    }

    pub(super) fn end_list(&mut self) -> anyhow::Result<()> {
        self.open.pop();
        self.write(|writer| writer.out.write_all(b"\n]"))
    }

    pub(super) fn item(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        self.write(|writer| {
            writer.separate()?;
            serde_json::to_writer(&mut writer.out, value).map_err(io::Error::from)
        })
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.write(|writer| {
            writer.out.write_all(b"\n")?;
            writer.out.flush()
        })
    }

    fn separate(&mut self) -> io::Result<()> {
        match self.open.last_mut() {
            None => Ok(()),
            Some(begun) if *begun => self.out.write_all(b",\n"),
            Some(begun) => {
                *begun = true;
                self.out.write_all(b"\n")
            }
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> anyhow::Result<()> {
        write(self).context("could not write the answer")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_written_in_parts_is_one_document() {
        let mut bytes = Vec::new();
        let mut writer = JsonWriter::new(&mut bytes);

        writer.begin_list().expect("memory takes it");
        writer.item(&1).expect("memory takes it");
        writer.item(&json!({"b": null})).expect("memory takes it");
        writer.begin_list().expect("memory takes it");
        writer.end_list().expect("memory takes it");
        writer.end_list().expect("memory takes it");
        writer.finish().expect("memory takes it");

        let read: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        assert_eq!(read, json!([1, {"b": null}, []]));
    }
}
