//! URLs that somebody enters for us to ask or to tell. Pure: where they lead is judged elsewhere (`net/guard`).

use url::Url;

/// More than any receiver has been seen to need.
const BYTES_MAX: usize = 2_048;

/// What is wrong goes on after the field's name, and does not quote the URL: who knows it may post to it.
pub fn read_web_url(text: &str, http_allowed: bool) -> Result<Url, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("is longer than {BYTES_MAX} bytes: shorten it"));
    }
    // Whoever reads URLs drops line breaks silently, writes spaces anew, and takes the first word of a path for the host that is missing.
    if text.contains(char::is_control) {
        return Err("has a line break or another control character in it: take it out".to_owned());
    }
    let url = Url::parse(text).map_err(|_| "is not a URL: copy it whole, from https:// on".to_owned())?;
    if text.contains(char::is_whitespace) {
        return Err("has a space in it: take it out, or write it as %20 where it is meant".to_owned());
    }
    match (url.scheme(), http_allowed) {
        ("https", _) | ("http", true) => {}
        ("http", false) => {
            let text = "must begin with https://; http:// is for trials with security.allow_private_networks = true";
            return Err(text.to_owned());
        }
        (_, true) => return Err("must begin with https:// or http://".to_owned()),
        (_, false) => return Err("must begin with https://".to_owned()),
    }
    let has_host = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with(['/', '\\']));
    if !has_host {
        return Err(format!("has no host: write it like {}://hooks.example.com/wabridge", url.scheme()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_for_a_request_is_refused_with_its_reason() {
        for (text, http_allowed, said) in [
            ("http://hooks.example.com/", false, "must begin with https://; http:// is for trials"),
            ("ftp://hooks.example.com/", false, "must begin with https://"),
            ("ftp://hooks.example.com/", true, "must begin with https:// or http://"),
            ("hooks.example.com", false, "is not a URL"),
            ("https://hooks.example.com/a\r\nb", false, "has a line break"),
            ("https://hooks.example.com/\u{0}", false, "has a line break or another control character"),
            (" https://hooks.example.com/", false, "has a space in it"),
            ("https://hooks.example.com/a b", false, "has a space in it"),
            ("https:///x", false, "has no host: write it like https://"),
            ("http:hooks.example.com", true, "has no host: write it like http://"),
            (&format!("https://hooks.example.com/{}", "a".repeat(BYTES_MAX)), false, "is longer than 2048 bytes"),
        ] {
            let found = read_web_url(text, http_allowed);
            assert!(found.as_ref().is_err_and(|why| why.starts_with(said)), "{text}: {found:?}");
        }
        assert!(read_web_url("https://hooks.example.com/a%20b?key=1", false).is_ok());
        assert!(read_web_url("http://127.0.0.1:9/", true).is_ok());
    }
}
