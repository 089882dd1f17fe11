//! Links to copies of files: whoever has one may fetch the file, until it ends.
//!
//! A link follows from the message alone, so it can be told before there is a copy, and telling it twice tells the same.
//! It names account, file and end, signed with a key of its own that outlives the master key: nobody can guess one, lengthen
//! one, or learn anything from one.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretBox};

use crate::{
    domain::{account::kept_for, ids::AccountKey, time::UnixMillis},
    net::signing,
    store::{Store, StoreError, media::MediaKey},
};

/// Makes links, and reads them.
pub struct MediaLinks {
    key: SecretBox<[u8; 32]>,
    /// The beginning of every URL, without a slash at its end.
    base: String,
    lifetime: Duration,
}

/// A longer token was not made here.
const TOKEN_CHARS_MAX: usize = 200;
const PURPOSE: &str = "media-links";

/// What a link names, in this order.
const ACCOUNT_BYTES: usize = 4;
const KEY_BYTES: usize = 16;
const END_BYTES: usize = 8;

impl MediaLinks {
    pub async fn load(store: &Store, public_url: &str, lifetime: Duration) -> Result<Self, StoreError> {
        Ok(Self::with_key(store.derived_key(PURPOSE).await?, public_url, lifetime))
    }

    fn with_key(key: [u8; 32], public_url: &str, lifetime: Duration) -> Self {
        Self { key: SecretBox::new(Box::new(key)), base: format!("{public_url}/media"), lifetime }
    }

    /// The link to a file that came at this time, to an account that may keep files for a shorter time of its own.
    pub fn url(&self, account: AccountKey, own: Option<Duration>, file: MediaKey, received_at: UnixMillis) -> String {
        let end = received_at.plus(kept_for(self.lifetime, own));
        format!("{}/{}", self.base, self.token(account, file, end))
    }

    /// The same for a page of ours, which shows what is still there: without scheme and host.
    pub fn path(&self, account: AccountKey, file: MediaKey, received_at: UnixMillis) -> String {
        format!("/media/{}", self.token(account, file, received_at.plus(self.lifetime)))
    }

    fn token(&self, account: AccountKey, file: MediaKey, end: UnixMillis) -> String {
        let end = end.as_seconds();
        let named = [&account.0.to_be_bytes()[..], &file.0, &end.to_be_bytes()].concat();
        let signature = signing::sign(self.key.expose_secret(), &named);
        format!("{}.{signature}", URL_SAFE_NO_PAD.encode(named))
    }

    /// What a token names; `None` when it was not made here, or has ended.
    pub fn read(&self, token: &str, now: UnixMillis) -> Option<(AccountKey, MediaKey)> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let (named, signature) = token.split_once('.')?;
        let named = URL_SAFE_NO_PAD.decode(named).ok()?;
        if !signing::verify(self.key.expose_secret(), &named, signature) {
            return None;
        }
        let (account, rest) = named.split_at_checked(ACCOUNT_BYTES)?;
        let (file, end) = rest.split_at_checked(KEY_BYTES)?;
        let end: [u8; END_BYTES] = end.try_into().ok()?;
        let account = AccountKey(i32::from_be_bytes(account.try_into().ok()?));
        let lives = now.as_seconds() < i64::from_be_bytes(end);
        lives.then_some((account, MediaKey(file.try_into().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const RECEIVED_AT: UnixMillis = UnixMillis::from_seconds(1_790_000_000);

    fn links() -> MediaLinks {
        MediaLinks::with_key(rand::random(), "https://wa.example.com", DAY)
    }

    fn token(links: &MediaLinks) -> String {
        token_of(links.url(AccountKey(7), None, MediaKey([9; 16]), RECEIVED_AT))
    }

    fn token_of(url: String) -> String {
        url.strip_prefix("https://wa.example.com/media/").expect("the public URL comes first").to_owned()
    }

    #[test]
    fn a_link_is_always_the_same_and_lives_as_long_as_its_file() {
        let links = links();
        let token = token(&links);

        assert_eq!(token, self::token(&links));
        let meant = Some((AccountKey(7), MediaKey([9; 16])));
        assert_eq!(links.read(&token, RECEIVED_AT), meant);
        assert_eq!(links.read(&token, RECEIVED_AT.plus(DAY).minus(Duration::from_secs(1))), meant);
        assert_eq!(links.read(&token, RECEIVED_AT.plus(DAY)), None);
    }

    #[test]
    fn an_account_may_end_its_links_sooner_and_never_later() {
        let links = links();
        let token = |own| token_of(links.url(AccountKey(7), Some(own), MediaKey([9; 16]), RECEIVED_AT));

        assert!(links.read(&token(DAY / 2), RECEIVED_AT.plus(DAY / 3)).is_some());
        assert_eq!(links.read(&token(DAY / 2), RECEIVED_AT.plus(DAY / 2)), None);
        assert_eq!(links.read(&token(DAY * 2), RECEIVED_AT.plus(DAY)), None);
    }

    #[test]
    fn a_changed_link_or_one_of_another_key_is_none_of_ours() {
        let links = links();
        let token = token(&links);

        assert_eq!(self::links().read(&token, RECEIVED_AT), None);
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).expect("ASCII stays ASCII");
            assert_eq!(links.read(&changed, RECEIVED_AT), None, "{changed}");
        }
        for odd in ["", ".", "a.b", &token[..token.len() - 2], &"A".repeat(5000), &format!("{token}00")] {
            assert_eq!(links.read(odd, RECEIVED_AT), None, "{odd}");
        }
    }
}
