//! Whoever sends a part in the wrong shape is told so in the words of the document, never in those of our code.

use std::{cell::Cell, fs};

use serde_json::{Value, json};

use super::{account, for_each_case};

/// How a reader speaks of its own types.
const OUR_WORDS: [&str; 9] =
    ["struct", "enum", "variant", "untagged", "tuple", "expected", "borrowed", "invalid type", "sequence"];

#[test]
fn a_part_of_the_wrong_shape_is_named_in_the_words_of_the_document() {
    let refused = Cell::new(0);
    for_each_case("send", |platform, case| {
        // Some examples are no JSON.
        let bytes = fs::read(case.join("request.json")).expect("a case of send has a request.json");
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        for pointer in pointers(&document) {
            for wrong in
                [json!("x"), json!(5), json!(true), json!([[1]]), json!([1, 2, 3, 4, 5, 6, 7, 8, 9]), json!({"x": {}})]
            {
                let mut broken = document.clone();
                *broken.pointer_mut(&pointer).expect("it is there") = wrong.clone();
                let Err(refusal) = platform.parse_send(&account(platform), broken.to_string().as_bytes()) else {
                    continue;
                };
                let said = &refusal.message;
                refused.set(refused.get() + usize::from(said.contains(" must be ")));
                if let Some(word) = OUR_WORDS.iter().find(|word| said.contains(**word)) {
                    return Err(format!("{pointer} = {wrong}: {said:?} says {word:?}"));
                }
            }
        }
        Ok(())
    });
    assert!(refused.get() > 500, "only {} wrong shapes were refused for their shape", refused.get());
}

#[test]
fn the_part_is_said_by_its_way_with_an_example() {
    for (body, said) in [
        (
            json!({"to": "1", "type": "text", "text": "Hi"}),
            r#"request: text must be an object such as {"body":"Hi Asha"}, got the text "Hi"; correct it"#,
        ),
        (json!({"to": ["1"]}), "request: to must be text or a number, got a list; correct it"),
        (
            json!({"to": "1", "components": [{"type": "body", "body": {"parameters": [{"text": "a"}, 7]}}]}),
            r#"request: components[0].body.parameters[1] must be an object such as {"type":"text","text":"Asha"}, got the number `7`; correct it"#,
        ),
        (
            json!({"to": "1", "components": {"type": "body"}}),
            "request: components must be a list, got an object; correct it",
        ),
        (
            json!("Hi"),
            r#"request: the document must be one JSON object with to, wabaNumber and msgId, got the text "Hi"; correct it"#,
        ),
    ] {
        for text in [body.to_string(), format!("{body:#}")] {
            let platform = &wabridge::platforms::clevertap::CleverTap;
            let refusal = wabridge::platforms::Platform::parse_send(platform, &account(platform), text.as_bytes());
            assert_eq!(refusal.expect_err("it has a wrong shape").message, said);
        }
    }
}

/// The ways to all parts of a document, in the notation of JSON pointers.
fn pointers(document: &Value) -> Vec<String> {
    let under = |name: String, part: &Value| -> Vec<String> {
        let name = name.replace('~', "~0").replace('/', "~1");
        pointers(part).into_iter().map(|pointer| format!("/{name}{pointer}")).collect()
    };
    let mut all = vec![String::new()];
    match document {
        Value::Object(parts) => all.extend(parts.iter().flat_map(|(name, part)| under(name.clone(), part))),
        Value::Array(items) => {
            all.extend(items.iter().enumerate().flat_map(|(index, item)| under(index.to_string(), item)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}
