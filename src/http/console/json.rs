//! JSON in lines, as it came: its keys in their order, its numbers and letters as they were written.

use serde::de::IgnoredAny;

/// JSON in lines; what is none stays as it is.
pub(super) fn pretty(text: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => indented(text),
        Err(_) => text.to_owned(),
    }
}

/// Of well-formed JSON, so that whatever opens is closed.
fn indented(text: &str) -> String {
    let mut written = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_text {
            written.push(letter);
            in_text = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' | '\t' | '\r' | '\n' => continue,
            '{' | '[' => {
                written.push(letter);
                while letters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(closing) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    written.push(closing);
                } else {
                    depth += 1;
                    break_line(&mut written, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut written, depth);
                written.push(letter);
            }
            ',' => {
                written.push(letter);
                break_line(&mut written, depth);
            }
            ':' => written.push_str(": "),
            other => {
                in_text = other == '"';
                written.push(other);
            }
        }
    }
    written
}

fn break_line(written: &mut String, depth: usize) {
    written.push('\n');
    written.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_stay_in_their_order() {
        assert_eq!(
            pretty(r#"{"status":"failure", "error":{"code":2001,"message":"a \"b\", {c}: [d]"},"more":[1.0,[], {} ]}"#),
            "{\n  \"status\": \"failure\",\n  \"error\": {\n    \"code\": 2001,\n    \"message\": \"a \\\"b\\\", {c}: [d]\"\n  },\n  \
             \"more\": [\n    1.0,\n    [],\n    {}\n  ]\n}"
        );
        assert_eq!(pretty(r#"{"a":"\\","b":""}"#), "{\n  \"a\": \"\\\\\",\n  \"b\": \"\"\n}");
        assert_eq!(pretty("<html>, not JSON"), "<html>, not JSON");
    }

    proptest! {
        #[test]
        fn it_says_the_same(texts in prop::collection::vec("[a\\\\\"{},:\\[ ]{0,8}", 0..5)) {
            let json = serde_json::json!({"texts": texts, "none": null}).to_string();
            let again: serde_json::Value = serde_json::from_str(&pretty(&json)).expect("it is JSON still");
            prop_assert_eq!(again.to_string(), json);
        }
    }
}
