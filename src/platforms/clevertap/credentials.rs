//! Who calls? CleverTap lets its customer choose how it proves itself, so an account may be given any of
//! several kinds, and one that is right suffices.
//!
//! All kinds are tried, and every comparison runs to its end, so that the time of the answer tells nothing
//! but the length of what was sent.

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use super::super::{CallerProof, CallerWay};
use crate::domain::account::Account;

pub(super) const ACCOUNT_ID_HEADER: &str = "x-clevertap-account-id";
pub(super) const PASSCODE_HEADER: &str = "x-clevertap-passcode";

pub(super) fn speaks_for(account: &Account, proof: &CallerProof<'_>) -> bool {
    let kinds = [
        account_id_and_passcode(account, proof),
        basic(account, proof),
        bearer_token(account, proof),
        other_headers(account, proof),
        url_token(account, proof),
    ];
    kinds.into_iter().fold(Choice::from(0), |any, kind| any | kind).into()
}

/// The ways that are open, for whoever fills in CleverTap's form.
pub(super) fn ways(account: &Account) -> Vec<CallerWay> {
    let credentials = &account.credentials;
    let secret = |name: &str| (name.to_owned(), None);
    let mut ways = Vec::new();
    if !credentials.passcodes.is_empty() {
        let id = ("X-CleverTap-Account-Id".to_owned(), Some(account.policy.platform_account_id.clone()));
        ways.push(CallerWay { name: "Account ID and passcode", parts: vec![id, secret("X-CleverTap-Passcode")] });
    }
    if let Some((username, _)) = &credentials.basic {
        let parts = vec![("Username".to_owned(), Some(username.clone())), secret("Password")];
        ways.push(CallerWay { name: "Basic authentication", parts });
    }
    if credentials.bearer_token.is_some() {
        ways.push(CallerWay { name: "Token", parts: vec![secret("Authorization")] });
    }
    if !credentials.headers.is_empty() {
        ways.push(CallerWay { name: "Headers", parts: credentials.headers.keys().map(|name| secret(name)).collect() });
    }
    if credentials.url_token.is_some() {
        ways.push(CallerWay { name: "Secret URL", parts: vec![] });
    }
    ways
}

/// `X-CleverTap-Account-Id` and `X-CleverTap-Passcode`, the way CleverTap's own API is called.
fn account_id_and_passcode(account: &Account, proof: &CallerProof<'_>) -> Choice {
    let id = equal((proof.header)(ACCOUNT_ID_HEADER), &account.policy.platform_account_id);
    let shown = (proof.header)(PASSCODE_HEADER);
    let any_of = |passcodes: &[SecretString]| {
        passcodes.iter().fold(Choice::from(0), |any, passcode| any | is_secret(shown, passcode))
    };
    // Those that ended are compared like the others: that they did takes no other time.
    let old = account
        .credentials
        .old_passcodes
        .as_ref()
        .map_or(Choice::from(0), |old| any_of(&old.passcodes) & Choice::from(u8::from(proof.now < old.until)));
    id & (any_of(&account.credentials.passcodes) | old)
}

/// `Authorization: Basic …`
fn basic(account: &Account, proof: &CallerProof<'_>) -> Choice {
    let Some((username, password)) = &account.credentials.basic else { return Choice::from(0) };
    let shown = authorization(proof, "basic")
        .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        .and_then(|decoded| String::from_utf8(decoded).ok());
    let Some((shown_username, shown_password)) = shown.as_deref().and_then(|pair| pair.split_once(':')) else {
        return Choice::from(0);
    };
    equal(Some(shown_username), username) & is_secret(Some(shown_password), password)
}

/// `Authorization: Bearer …`, or the token alone.
fn bearer_token(account: &Account, proof: &CallerProof<'_>) -> Choice {
    let Some(token) = &account.credentials.bearer_token else { return Choice::from(0) };
    let bare = (proof.header)("authorization").map(str::trim);
    is_secret(authorization(proof, "bearer"), token) | is_secret(bare, token)
}

/// Whatever headers the customer typed into CleverTap: all of them.
fn other_headers(account: &Account, proof: &CallerProof<'_>) -> Choice {
    let headers = &account.credentials.headers;
    let any = Choice::from(u8::from(!headers.is_empty()));
    headers.iter().fold(any, |all, (name, value)| all & is_secret((proof.header)(name), value))
}

/// Some customers ask for no credentials and are given a URL that nobody can guess.
fn url_token(account: &Account, proof: &CallerProof<'_>) -> Choice {
    let Some(token) = &account.credentials.url_token else { return Choice::from(0) };
    is_secret(proof.url_token, token)
}

/// What follows the scheme in the `Authorization` header.
fn authorization<'a>(proof: &CallerProof<'a>, scheme: &str) -> Option<&'a str> {
    let (shown_scheme, rest) = (proof.header)("authorization")?.trim().split_once(' ')?;
    shown_scheme.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn is_secret(shown: Option<&str>, secret: &SecretString) -> Choice {
    equal(shown, secret.expose_secret())
}

/// An empty secret is none: it never matches.
fn equal(shown: Option<&str>, wanted: &str) -> Choice {
    let wanted_exists = Choice::from(u8::from(!wanted.is_empty()));
    wanted_exists & shown.unwrap_or_default().as_bytes().ct_eq(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{
        account::{AccountPolicy, Credentials, OldPasscodes},
        ids::AccountKey,
        time::UnixMillis,
    };

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn account(credentials: Credentials) -> Account {
        Account {
            key: AccountKey(1),
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
            platform: "clevertap".to_owned(),
            enabled: true,
            policy: AccountPolicy { platform_account_id: "TEST-ACC-1".to_owned(), ..AccountPolicy::default() },
            credentials,
        }
    }

    fn accepts(credentials: &Credentials, headers: &[(&str, &str)], url_token: Option<&str>) -> bool {
        let header = |name: &str| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        speaks_for(&account(credentials.clone()), &CallerProof { header: &header, url_token, now: NOW })
    }

    #[test]
    fn the_account_id_goes_with_any_valid_passcode() {
        let credentials =
            Credentials { passcodes: vec!["new-pass".into(), "old-pass".into()], ..Credentials::default() };
        let call = |id, passcode| accepts(&credentials, &[(ACCOUNT_ID_HEADER, id), (PASSCODE_HEADER, passcode)], None);

        assert!(call("TEST-ACC-1", "new-pass"));
        assert!(call("TEST-ACC-1", "old-pass"));
        assert!(!call("TEST-ACC-1", "older-pass"));
        assert!(!call("TEST-ACC-2", "new-pass"));
        assert!(!accepts(&credentials, &[(PASSCODE_HEADER, "new-pass")], None));
        assert!(!accepts(&credentials, &[(ACCOUNT_ID_HEADER, "TEST-ACC-1")], None));
    }

    #[test]
    fn a_passcode_that_was_replaced_is_taken_until_its_time_is_over() {
        let with_old_until = |until| Credentials {
            passcodes: vec!["new-pass".into()],
            old_passcodes: Some(OldPasscodes { passcodes: vec!["old-pass".into()], until: UnixMillis(until) }),
            ..Credentials::default()
        };
        let call = |credentials: &Credentials, passcode| {
            accepts(credentials, &[(ACCOUNT_ID_HEADER, "TEST-ACC-1"), (PASSCODE_HEADER, passcode)], None)
        };

        let (still, over) = (with_old_until(NOW.0 + 1), with_old_until(NOW.0));
        assert!(call(&still, "old-pass") && call(&still, "new-pass"));
        assert!(!call(&over, "old-pass") && call(&over, "new-pass"));
        assert!(!call(&still, "older-pass") && !call(&still, ""));
    }

    #[test]
    fn basic_wants_both_halves() {
        let credentials =
            Credentials { basic: Some(("acme".to_owned(), "secret:with colon".into())), ..Credentials::default() };
        let call = |pair: &str| {
            accepts(&credentials, &[("authorization", &format!("basic {}", BASE64_STANDARD.encode(pair)))], None)
        };

        assert!(call("acme:secret:with colon"));
        assert!(!call("acme:secret"));
        assert!(!call("other:secret:with colon"));
        assert!(!call("acme"));
        assert!(!accepts(&credentials, &[("authorization", "Basic %%%")], None));
    }

    #[test]
    fn a_token_may_come_bare_or_as_bearer() {
        let credentials = Credentials { bearer_token: Some("token-1".into()), ..Credentials::default() };

        for value in ["Bearer token-1", "bearer  token-1", "token-1", " token-1 "] {
            assert!(accepts(&credentials, &[("authorization", value)], None), "{value}");
        }
        for value in ["Bearer token-2", "Basic token-1", "Bearer", ""] {
            assert!(!accepts(&credentials, &[("authorization", value)], None), "{value}");
        }
    }

    #[test]
    fn all_of_the_configured_headers_must_be_right() {
        let headers = BTreeMap::from([("user".to_owned(), "acme".into()), ("password".to_owned(), "secret".into())]);
        let credentials = Credentials { headers, ..Credentials::default() };

        assert!(accepts(&credentials, &[("user", "acme"), ("password", "secret")], None));
        assert!(!accepts(&credentials, &[("user", "acme"), ("password", "wrong")], None));
        assert!(!accepts(&credentials, &[("user", "acme")], None));
    }

    #[test]
    fn a_secret_url_suffices() {
        let credentials = Credentials { url_token: Some("kept-secret".into()), ..Credentials::default() };

        assert!(accepts(&credentials, &[], Some("kept-secret")));
        assert!(!accepts(&credentials, &[], Some("guessed")));
        assert!(!accepts(&credentials, &[], None));
    }

    #[test]
    fn an_account_without_credentials_is_spoken_for_by_nobody() {
        let everything = [(ACCOUNT_ID_HEADER, "TEST-ACC-1"), (PASSCODE_HEADER, ""), ("authorization", "")];

        assert!(!accepts(&Credentials::default(), &everything, Some("")));
        let empty = Credentials {
            passcodes: vec!["".into()],
            old_passcodes: None,
            basic: Some((String::new(), "".into())),
            bearer_token: Some("".into()),
            url_token: Some("".into()),
            headers: BTreeMap::from([("token".to_owned(), "".into())]),
            api_passcode: Some("".into()),
        };
        assert!(!accepts(&empty, &everything, Some("")), "an empty secret is none");
    }
}
