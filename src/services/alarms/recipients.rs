//! Who is told of alarms besides those whom the settings name, as people and programs change it.

use serde_json::{Value, json};

use crate::{
    domain::{
        alarm::AlarmKind,
        alarm_recipients::AlarmRecipients,
        operator::{Actor, Permission},
        web_url::read_web_url,
        webhook::{MASK, SecretText},
    },
    net::{guard::check_literal, mail, redact},
    services::{
        configure::Patch,
        operators::{FieldProblem, Refusal, require},
        webhooks::Allowed,
    },
    settings::checks::ALARM_RECIPIENTS_MAX,
    store::{Store, alarm_recipients::StoredRecipients, audit::AuditEntry},
};

const SECRET_CHARS_MAX: usize = 256;

pub async fn see(store: &Store, actor: &Actor) -> Result<StoredRecipients, Refusal> {
    require(actor, Permission::ReadSystem)?;
    Ok(store.alarm_recipients().await?)
}

/// By which whoever saw them says what they saw.
pub fn version(stored: &StoredRecipients) -> String {
    stored.changed_at.map_or(0, |at| at.0).to_string()
}

/// Changes them by a merge patch: what is left out stays, `null` takes away. With a version: only when they still are as that one was.
pub async fn change(
    store: &Store,
    allowed: Allowed,
    actor: &Actor,
    patch: &Patch,
    seen: Option<&str>,
) -> Result<StoredRecipients, Refusal> {
    require(actor, Permission::ManageConfiguration)?;
    let changed = store.change_alarm_recipients(|stored| {
        if seen.is_some_and(|seen| seen != version(stored)) {
            return Err(Refusal::Meanwhile("who is told of alarms".to_owned()));
        }
        let before = &stored.recipients;
        let after = patched(before, patch, allowed).map_err(Refusal::Problems)?;
        if after == *before {
            return Ok(None);
        }
        let entry =
            AuditEntry::new(actor, "change alarm recipients", "alarms").before(told(before)).after(told(&after));
        Ok(Some((after, entry)))
    });
    changed.await??;
    Ok(store.alarm_recipients().await?)
}

/// As the audit log has it.
fn told(recipients: &AlarmRecipients) -> Value {
    json!({
        "emails": recipients.emails,
        "webhook_url": recipients.webhook_url.as_ref().map(|url| redact::url(url.expose())),
        "webhook_secret": recipients.webhook_secret.as_ref().map(|_| MASK),
        "kinds": recipients.kinds,
    })
}

fn patched(before: &AlarmRecipients, patch: &Patch, allowed: Allowed) -> Result<AlarmRecipients, Vec<FieldProblem>> {
    let mut after = before.clone();
    let mut problems = Vec::new();
    for (key, value) in patch {
        let read = match key.as_str() {
            "emails" => emails(value, &before.emails, allowed).map(|emails| after.emails = emails),
            "kinds" => kinds(value).map(|kinds| after.kinds = kinds),
            "webhook_url" => secret(value, after.webhook_url.take(), |text| check_url(text, allowed))
                .map(|url| after.webhook_url = url),
            "webhook_secret" => {
                secret(value, after.webhook_secret.take(), check_secret).map(|secret| after.webhook_secret = secret)
            }
            _ => Err("is not known here: there are emails, webhook_url, webhook_secret and kinds".to_owned()),
        };
        problems.extend(read.err().map(|text| FieldProblem::new(key, text)));
    }
    if after.webhook_url.is_none() && problems.is_empty() {
        let is_new = after.webhook_secret.is_some() && after.webhook_secret != before.webhook_secret;
        if is_new {
            problems
                .push(FieldProblem::new("webhook_secret", "signs nothing: give a webhook_url, too, or leave it out"));
        }
        // Whoever sets another URL chooses another secret for it.
        after.webhook_secret = None;
    }
    if problems.is_empty() { Ok(after) } else { Err(problems) }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::Null => Some(vec![]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::trim)).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
    }
}

fn emails(value: &Value, before: &[String], allowed: Allowed) -> Result<Vec<String>, String> {
    let texts = texts(value).ok_or("must be a list of addresses, like [\"ops@example.com\"]")?;
    if texts.len() > ALARM_RECIPIENTS_MAX {
        return Err(format!("has more than {ALARM_RECIPIENTS_MAX} addresses: use one that distributes them"));
    }
    mail::check_addresses(texts.iter().copied())?;
    let mut emails: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        if !emails.iter().any(|known| known.eq_ignore_ascii_case(text)) {
            emails.push(text.to_owned());
        }
    }
    if !emails.is_empty() && emails != before && !allowed.emails {
        let text = "cannot be used, because this server sends no e-mail: set alarms.smtp_url and alarms.from and start \
                    it again";
        return Err(text.to_owned());
    }
    Ok(emails)
}

fn kinds(value: &Value) -> Result<Vec<String>, String> {
    let words = texts(value).ok_or("must be a list of kinds of alarms, like [\"quality_red\"]")?;
    if let Some(odd) = words.iter().find(|word| AlarmKind::parse(word).is_none()) {
        let known = AlarmKind::ALL.map(AlarmKind::as_str).join(", ");
        return Err(format!("{odd} is none of {known}"));
    }
    let wanted = AlarmKind::ALL.into_iter().map(AlarmKind::as_str).filter(|kind| words.contains(kind));
    Ok(wanted.map(str::to_owned).collect())
}

/// A text that is never shown: what stands for it means that it stays.
fn secret(
    value: &Value,
    before: Option<SecretText>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Option<SecretText>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text == MASK => Ok(before),
        Value::String(text) => check(text.trim()).map(|()| Some(SecretText::new(text.trim()))),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err("must be a text".to_owned()),
    }
}

fn check_url(text: &str, allowed: Allowed) -> Result<(), String> {
    let url = read_web_url(text, allowed.private_networks)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it, which are not sent: take them out".to_owned());
    }
    // Behind a name they are refused when it is resolved.
    check_literal(&url, allowed.private_networks).map_err(|forbidden| forbidden.to_string())
}

fn check_secret(text: &str) -> Result<(), String> {
    match text.chars().count() {
        0 => Err("is empty: fill it in, or leave it out".to_owned()),
        1..=SECRET_CHARS_MAX => Ok(()),
        _ => Err(format!("is longer than {SECRET_CHARS_MAX} characters: shorten it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed { private_networks: true, emails: true };
    const PUBLIC: Allowed = Allowed { private_networks: false, emails: true };

    fn change(before: &AlarmRecipients, patch: Value, allowed: Allowed) -> Result<AlarmRecipients, Vec<String>> {
        let patch = patch.as_object().expect("an object").clone();
        patched(before, &patch, allowed)
            .map_err(|problems| problems.into_iter().map(|one| format!("{} {}", one.field, one.message)).collect())
    }

    #[test]
    fn what_cannot_be_used_is_said_of_its_field() {
        let nobody = AlarmRecipients::default();
        for (patch, allowed, said) in [
            (
                json!({"emails": ["ops"]}),
                ALL,
                "emails must be e-mail addresses, each like ops@example.com, unlike “ops”",
            ),
            (
                json!({"emails": ["ops", "a@b.example", "me"]}),
                ALL,
                "emails must be e-mail addresses, each like ops@example.com, unlike “ops, me”",
            ),
            (json!({"emails": "ops@example.com"}), ALL, "emails must be a list"),
            (json!({"emails": vec!["a@b.example"; 21]}), ALL, "emails has more than 20"),
            (
                json!({"emails": ["a@b.example"]}),
                Allowed { emails: false, ..ALL },
                "emails cannot be used, because this server sends no e-mail",
            ),
            (json!({"kinds": ["moon_full"]}), ALL, "kinds moon_full is none of connection_held"),
            (json!({"webhook_url": "http://hooks.example.com/"}), PUBLIC, "webhook_url must begin with https://"),
            (json!({"webhook_url": "https://10.0.0.7/hook"}), PUBLIC, "webhook_url "),
            (json!({"webhook_url": "https://169.254.169.254/"}), ALL, "webhook_url "),
            (json!({"webhook_url": "https://me:hush@hooks.example.com/"}), PUBLIC, "webhook_url has a user"),
            (json!({"webhook_url": "hooks"}), PUBLIC, "webhook_url is not a URL"),
            (json!({"webhook_url": 7}), PUBLIC, "webhook_url must be a text"),
            (json!({"webhook_secret": "key"}), PUBLIC, "webhook_secret signs nothing"),
            (json!({"webhook_secret": "x".repeat(257)}), PUBLIC, "webhook_secret is longer"),
            (json!({"colour": "red"}), PUBLIC, "colour is not known here"),
        ] {
            let problems = change(&nobody, patch.clone(), allowed).expect_err("it cannot be used");
            assert!(problems.len() == 1 && problems[0].starts_with(said), "{patch}: {problems:?}");
            assert!(!problems[0].contains("hush"), "{problems:?}");
        }
    }

    #[test]
    fn what_is_left_out_stays_and_a_secret_goes_with_its_url() {
        let first = json!({"emails": ["ops@example.com", "OPS@example.com"], "webhook_url": "https://hooks.example.com/a",
            "webhook_secret": "key", "kinds": ["disk_full", "quality_red", "disk_full"]});
        let first = change(&AlarmRecipients::default(), first, PUBLIC).expect("it can be used");
        assert_eq!(
            (first.emails.len(), &first.kinds[..]),
            (1, &["quality_red".to_owned(), "disk_full".to_owned()][..])
        );

        let masked = json!({"webhook_url": MASK, "webhook_secret": MASK, "emails": null});
        let kept = change(&first, masked, PUBLIC).expect("it can be used");
        assert_eq!((&kept.webhook_url, &kept.webhook_secret), (&first.webhook_url, &first.webhook_secret));
        assert!(kept.emails.is_empty());

        let gone = change(&kept, json!({"webhook_url": null}), PUBLIC).expect("it can be used");
        assert_eq!((gone.webhook_url, gone.webhook_secret), (None, None));
    }
}
