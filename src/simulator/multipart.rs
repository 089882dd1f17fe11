//! `multipart/form-data`, as far as an upload needs it: parts with a name, perhaps a file name and a type.

use bytes::Bytes;

/// An upload has three or four.
const PARTS_MAX: usize = 16;

/// One part of a form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Bytes,
}

/// Takes a form apart; the error says what is wrong with it.
pub(super) fn read(content_type: &str, body: &Bytes) -> Result<Vec<Part>, String> {
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err("Content-Type is not multipart/form-data".to_owned());
    }
    let boundary = parameter(content_type, "boundary").ok_or("Content-Type names no boundary")?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut at = find(body, &delimiter, 0).ok_or("the boundary does not appear in the body")? + delimiter.len();
    let mut parts = Vec::new();
    loop {
        if body[at..].starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() >= PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} parts"));
        }
        let start = at + line_end(&body[at..])?;
        let next = [b"\r\n".as_slice(), &delimiter].concat();
        let end = find(body, &next, start.saturating_sub(2)).ok_or("the last part has no end")?;
        parts.push(part(body, start, end.max(start))?);
        at = end + next.len();
    }
}

fn part(body: &Bytes, start: usize, end: usize) -> Result<Part, String> {
    let blank = find(&body[..end], b"\r\n\r\n", start).ok_or("a part has no headers")?;
    let headers = std::str::from_utf8(&body[start..blank]).map_err(|_| "the headers of a part are not text")?;
    let mut part = Part { body: body.slice(blank + 4..end), ..Part::default() };
    for header in headers.split("\r\n") {
        let Some((name, value)) = header.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                part.name = parameter(value, "name").unwrap_or_default();
                part.file_name = parameter(value, "filename");
            }
            "content-type" => part.content_type = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    if part.name.is_empty() { Err("a part has no name".to_owned()) } else { Ok(part) }
}

/// `; name="value"` or `; name=value`.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// How much the end of this line takes.
fn line_end(rest: &[u8]) -> Result<usize, String> {
    if rest.starts_with(b"\r\n") { Ok(2) } else { Err("a boundary does not end its line".to_owned()) }
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    // The first byte is searched by the library, which is quick also in a file of 100 MB.
    let first = *wanted.first()?;
    let mut at = from;
    loop {
        at += body.get(at..)?.iter().position(|byte| *byte == first)?;
        if body[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-1\"";

    #[test]
    fn a_form_is_taken_apart_also_when_a_file_contains_line_ends() {
        let body = Bytes::from_static(
            b"--x-1\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--x-1\r\n\
              Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
              one\r\n--x\r\n\r\ntwo\r\n\r\n--x-1--\r\n",
        );

        let parts = read(TYPE, &body).expect("a form");

        assert_eq!((parts.len(), &parts[0].body[..]), (2, b"whatsapp".as_slice()));
        assert_eq!(
            (parts[1].file_name.as_deref(), parts[1].content_type.as_deref()),
            (Some("a.txt"), Some("text/plain"))
        );
        assert_eq!(&parts[1].body[..], b"one\r\n--x\r\n\r\ntwo\r\n");
    }

    #[test]
    fn what_is_not_a_form_is_an_error_and_never_a_panic() {
        for body in ["", "--x-1", "--x-1\r\n", "--x-1\r\n\r\n--x-1--", "--x-1\r\na: b\r\n\r\nc\r\n--x-1--", "--x-1--x"]
        {
            let outcome = read(TYPE, &Bytes::from(body));
            assert!(outcome.is_err() || outcome.is_ok_and(|parts| parts.is_empty()), "{body:?}");
        }
        assert!(read("application/json", &Bytes::new()).is_err());
        assert!(read("multipart/form-data", &Bytes::new()).is_err());
    }
}
