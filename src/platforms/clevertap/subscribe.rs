//! CleverTap's Subscribe API: telling it who must not be sent to, and who may be again.
//!
//! An unsubscribed number gets no WhatsApp message of any kind from CleverTap, in every profile that has it. Path
//! and type are settings, because they are known from secondary sources only.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{OwnApiRequest, RefusedSubscriber, Subscriber, SubscriberAnswer};
use super::credentials::{ACCOUNT_ID_HEADER, PASSCODE_HEADER};
use crate::domain::{account::Account, phone::PhoneNumber};

/// People in one call.
pub const SUBSCRIBERS_PER_CALL_MAX: usize = 1_000;
const DOMAIN: &str = "api.clevertap.com";

pub(super) fn write(account: &Account, people: &[Subscriber<'_>]) -> Result<OwnApiRequest, String> {
    let policy = &account.policy;
    let passcode = account.credentials.api_passcode.as_ref().or(account.credentials.passcodes.first());
    let passcode = passcode.ok_or("no passcode: give clevertap_api_passcode in the apply file")?;
    if policy.platform_account_id.is_empty() {
        return Err("no account id: give clevertap_account_id in the apply file".to_owned());
    }
    let base = policy.subscribe_sync.base_url.clone().unwrap_or_else(|| match &policy.platform_region {
        Some(region) => format!("https://{region}.{DOMAIN}"),
        None => format!("https://{DOMAIN}"),
    });
    let records = people.iter().map(|person| Record {
        kind: &policy.subscribe_sync.kind,
        value: person.phone.as_e164(),
        status: if person.welcome { "Resubscribe" } else { "Unsubscribe" },
    });
    let body = serde_json::to_string(&Call { d: records.collect() }).expect("texts always become JSON");
    Ok(OwnApiRequest {
        url: format!("{base}{}", policy.subscribe_sync.path),
        headers: vec![
            (ACCOUNT_ID_HEADER, SecretString::from(policy.platform_account_id.as_str())),
            (PASSCODE_HEADER, passcode.clone()),
        ],
        body,
    })
}

#[derive(Serialize)]
struct Call<'a> {
    d: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    value: &'a str,
    status: &'a str,
}

/// The body of a 200. What it lists as unprocessed was not taken, whatever its status says.
pub(super) fn read(body: &[u8]) -> Result<SubscriberAnswer, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "its answer is not what we know".to_owned())?;
    if answer.status.eq_ignore_ascii_case("fail") && answer.unprocessed.is_empty() {
        return Err(answer.error.as_ref().map_or_else(|| "it failed without a reason".to_owned(), words));
    }
    let mut read = SubscriberAnswer::default();
    for entry in &answer.unprocessed {
        let why = entry.get("error").map_or_else(|| "refused without a reason".to_owned(), words);
        let code = entry.get("code").map(|code| format!("{}: ", words(code))).unwrap_or_default();
        let why = format!("{code}{why}");
        match number_in(entry) {
            Some(phone) => read.refused.push(RefusedSubscriber { phone, why }),
            None => read.refused_unnamed.push(why),
        }
    }
    Ok(read)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    unprocessed: Vec<Value>,
}

/// The record stands in the entry, as it is or as a text; or the entry is the record.
fn number_in(entry: &Value) -> Option<PhoneNumber> {
    let record = match entry.get("record") {
        Some(Value::String(text)) => serde_json::from_str(text).ok()?,
        Some(record) => record.clone(),
        None => entry.clone(),
    };
    PhoneNumber::from_international(record.get("value")?.as_str()?)
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;
    use crate::domain::{
        account::{AccountPolicy, Credentials, SubscribeSync},
        ids::AccountKey,
    };

    fn account(change: impl FnOnce(&mut AccountPolicy, &mut Credentials)) -> Account {
        let mut policy = AccountPolicy { platform_account_id: "TEST-ACC-1".to_owned(), ..AccountPolicy::default() };
        let mut credentials = Credentials { passcodes: vec!["new".into(), "old".into()], ..Credentials::default() };
        change(&mut policy, &mut credentials);
        Account {
            key: AccountKey(1),
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
            platform: "clevertap".to_owned(),
            enabled: true,
            policy,
            credentials,
        }
    }

    fn phone(number: u32) -> PhoneNumber {
        PhoneNumber::from_international(&format!("+9198765{number:05}")).expect("a number")
    }

    #[test]
    fn who_is_no_longer_welcome_is_unsubscribed_with_the_accounts_own_credentials() {
        let (one, two) = (phone(1), phone(2));
        let people = [Subscriber { phone: &one, welcome: false }, Subscriber { phone: &two, welcome: true }];

        let request = write(&account(|_, _| {}), &people).expect("there are credentials");

        assert_eq!(request.url, "https://api.clevertap.com/1/subscribe");
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
        assert_eq!(headers, [(ACCOUNT_ID_HEADER, "TEST-ACC-1"), (PASSCODE_HEADER, "new")]);
        assert_eq!(
            serde_json::from_str::<Value>(&request.body).ok(),
            Some(json!({"d": [
                {"type": "whatsapp", "value": "+919876500001", "status": "Unsubscribe"},
                {"type": "whatsapp", "value": "+919876500002", "status": "Resubscribe"},
            ]}))
        );
    }

    #[test]
    fn region_path_type_and_passcode_are_the_accounts() {
        let account = account(|policy, credentials| {
            policy.platform_region = Some("in1".to_owned());
            policy.subscribe_sync =
                SubscribeSync { path: "/2/x".to_owned(), kind: "phone".to_owned(), ..SubscribeSync::default() };
            credentials.api_passcode = Some("api".into());
        });
        let one = phone(1);

        let request = write(&account, &[Subscriber { phone: &one, welcome: false }]).expect("there are credentials");

        assert_eq!(request.url, "https://in1.api.clevertap.com/2/x");
        assert_eq!(request.headers[1].1.expose_secret(), "api");
        assert!(request.body.contains(r#""type":"phone""#), "{}", request.body);
    }

    #[test]
    fn without_a_passcode_it_says_what_to_give() {
        let account = account(|_, credentials| credentials.passcodes.clear());

        let error = write(&account, &[]).err();

        assert!(error.is_some_and(|error| error.contains("clevertap_api_passcode")));
    }

    #[test]
    fn an_answer_may_list_what_it_did_not_take() {
        let record = json!({"type": "whatsapp", "value": "+919876500002", "status": "Unsubscribe"});
        let body = json!({"status": "success", "processed": 1, "unprocessed": [
            {"status": "fail", "code": 513, "error": "no such number", "record": record},
            {"error": "odd", "record": record.to_string()},
            {"code": "9"},
        ]});

        let answer = read(body.to_string().as_bytes()).expect("it is one");

        let refused: Vec<_> = answer.refused.iter().map(|one| (one.phone.as_e164(), one.why.as_str())).collect();
        assert_eq!(refused, [("+919876500002", "513: no such number"), ("+919876500002", "odd")]);
        assert_eq!(answer.refused_unnamed, ["9: refused without a reason"]);
    }

    #[test]
    fn a_failure_in_a_200_is_one() {
        assert_eq!(read(br#"{"status":"fail","error":"Invalid JSON"}"#), Err("Invalid JSON".to_owned()));
        assert!(read(b"<html>").is_err());
        assert_eq!(read(br#"{"status":"success"}"#), Ok(SubscriberAnswer::default()));
    }
}
