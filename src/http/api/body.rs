//! What a request says, as a JSON object; whoever gets one wrong is told which field it is, and what it may be.

use actix_web::{
    Error, FromRequest, HttpRequest,
    dev::Payload,
    error::JsonPayloadError,
    http::{StatusCode, header},
    web::{Json, JsonConfig},
};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, error::Category};
use serde_path_to_error::{Path, Segment};

use super::{problem::Problem, short};
use crate::domain::unreadable::Unreadable;

/// What a request may send.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) fn config() -> JsonConfig {
    JsonConfig::default().limit(BODY_BYTES_MAX).error_handler(not_taken)
}

/// What a request says: a JSON object. A list would be taken for one, too, its values for the fields in their order.
pub struct Body<T>(T);

impl<T> Body<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let object = Json::<Map<String, Value>>::from_request(request, payload);
        Box::pin(async move {
            let object = Value::Object(object.await?.into_inner());
            read(&object).map(Self).map_err(|wrong| wrong.told().into())
        })
    }
}

/// What of a body cannot be read.
#[derive(Debug, PartialEq)]
struct Wrong {
    /// With dots between its parts; empty: the body itself.
    field: String,
    why: Unreadable,
}

impl Wrong {
    fn told(self) -> Problem {
        let Self { field, why } = self;
        let within = |part: &str| if field.is_empty() { part.to_owned() } else { format!("{field}.{part}") };
        let (field, text) = match &why {
            Unreadable::Missing(part) => (within(part), "is missing".to_owned()),
            // The way leads there already, but not into something with a kind.
            Unreadable::Unknown { part, .. } if field == *part || field.ends_with(&format!(".{part}")) => {
                (field, why.to_string())
            }
            Unreadable::Unknown { part, .. } => (within(part), why.to_string()),
            Unreadable::Wrong(text) => (field, text.clone()),
        };
        let detail = format!("{} {text}", short(&field));
        match field.as_str() {
            "" => Problem::new(StatusCode::BAD_REQUEST, format!("the body{detail}")),
            field => Problem::named(StatusCode::BAD_REQUEST, field, detail),
        }
    }
}

fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Wrong> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let why = Unreadable::of(error.inner());
        let field = Some(error.path().to_string()).filter(|path| path != ".").unwrap_or_default();
        inside::<T>(body, error.path()).unwrap_or(Wrong { field, why })
    })
}

/// The part that is wrong of something with a kind: serde loses its way there, so each is read beside its kind alone.
fn inside<T: DeserializeOwned>(body: &Value, path: &Path) -> Option<Wrong> {
    const KIND: &str = "kind";
    let pointer = pointer(path)?;
    let section = body.pointer(&pointer)?.as_object().filter(|section| section.contains_key(KIND))?;
    section.keys().find_map(|part| {
        let mut alone = body.clone();
        alone.pointer_mut(&pointer)?.as_object_mut()?.retain(|key, _| key == part || key == KIND);
        let error = serde_path_to_error::deserialize::<_, T>(&alone).err()?;
        match Unreadable::of(error.inner()) {
            _ if error.path().to_string() != path.to_string() => None,
            // It lacks only those that were taken away.
            Unreadable::Missing(_) => None,
            why @ Unreadable::Unknown { .. } => Some(Wrong { field: path.to_string(), why }),
            why @ Unreadable::Wrong(_) => Some(Wrong { field: format!("{path}.{part}"), why }),
        }
    })
}

fn pointer(path: &Path) -> Option<String> {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Why a body is not even looked at, or cannot be read.
fn not_taken(error: JsonPayloadError, request: &HttpRequest) -> Error {
    if let JsonPayloadError::Deserialize(error) = &error {
        return bad(&match error.classify() {
            Category::Data => "the body must be a JSON object, with names and values in braces".to_owned(),
            Category::Io | Category::Syntax | Category::Eof => {
                format!("the body is not the JSON that it should be: {error}")
            }
        });
    }
    if matches!(error, JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. }) {
        return bad(&format!("the body has more than {BODY_BYTES_MAX} bytes"));
    }
    if !matches!(error, JsonPayloadError::ContentType) {
        return bad(&"the body did not come whole");
    }
    let came = request.headers().get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let came = came.map_or_else(|| "without one".to_owned(), |came| format!("as “{}”", short(&came)));
    let text = format!("the body must be JSON, with the header Content-Type: application/json; it came {came}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into()
}

fn bad(error: &dyn std::fmt::Display) -> Error {
    Problem::new(StatusCode::BAD_REQUEST, format!("{error}; /openapi.json says what is expected")).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::webhooks::OutgoingWebhookRequest, *};

    #[test]
    fn what_cannot_be_read_is_named_down_to_its_part() {
        let names = "`POST`, `PUT`, `PATCH`";
        for (settings, field, text) in [
            (json!({"method": "GET"}), "settings.method", &*format!("must be one of {names}")),
            (json!({"timeout_seconds": 1.5}), "settings.timeout_seconds", "must be a whole number"),
            (json!({"colour": 1}), "settings.colour", "is not known here: remove it; /openapi.json lists all"),
            (json!({"switch_off": {"colour": 1}}), "settings.switch_off.colour", "is not known here"),
            (json!({"filter": {"accounts": ["a", 7]}}), "settings.filter.accounts[1]", "must be a text"),
            (json!({"events": ["message.read", "up"]}), "settings.events[1]", "`up` names no event"),
            (json!({"headers": {"X-Key": 7}}), "settings.headers.X-Key", "must be a text"),
            (json!({"authentication": "secret"}), "settings.authentication", "must have keys of its own"),
            (
                json!({"authentication": {"kind": "basic", "user": "a", "password": 7}}),
                "settings.authentication.password",
                "must be a text",
            ),
            (
                json!({"authentication": {"kind": "none", "token": "x"}}),
                "settings.authentication.token",
                "is not known",
            ),
            (json!({"retries": {"kind": "fixed", "times": 3}}), "settings.retries.every_seconds", "is missing"),
            (
                json!({"retries": {"kind": "fixed", "times": "3", "every_seconds": 1}}),
                "settings.retries.times",
                "must be a",
            ),
            (json!({"retries": {"kind": "slowly"}}), "settings.retries.kind", "must be one of `fixed`"),
            (json!({"retries": {}}), "settings.retries.kind", "is missing"),
        ] {
            let read = read::<OutgoingWebhookRequest>(&json!({"name": "crm", "settings": settings}));
            let told = serde_json::to_value(read.err().expect("it is wrong").told()).expect("JSON");
            let detail = told["detail"].as_str().unwrap_or_default();
            assert_eq!(told["field"], field, "{told}");
            assert!(detail.starts_with(&format!("{field} {text}")), "{detail}");
        }
        let missing = read::<OutgoingWebhookRequest>(&json!({"settings": {}})).err();
        assert_eq!(missing, Some(Wrong { field: String::new(), why: Unreadable::Missing("name".to_owned()) }));
    }
}
