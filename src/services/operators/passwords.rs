//! Which passwords will do; and hashing them with Argon2id, few at a time and away from the threads that answer others.

use std::{sync::LazyLock, time::Duration};

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};

use zxcvbn::{Score, zxcvbn};

use super::{Operators, Refusal};

/// Shorter ones are guessed. No letters are asked for: rules about them make people choose worse ones.
const PASSWORD_CHARS_MIN: usize = 12;
/// Longer ones would only keep the hash busy.
pub(super) const PASSWORD_BYTES_MAX: usize = 256;
/// Letters and digits beside parts of the name, where it has any.
const BESIDE_NAME_CHARS_MIN: usize = 8;
/// Words that whoever guesses here would try first, besides the name.
const WORDS_OF_HERE: [&str; 5] = ["wabridge", "whatsapp", "clevertap", "console", "bridge"];

/// Whoever waits longer for a turn is told to come again.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// For names that do not exist: they take as long as others.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hashed("nobody has this password"));

/// Whether a password will do; `Err` says what to change.
///
/// A password must stand a hundred million guesses of somebody who knows the common passwords, words, names, dates, rows of keys,
/// this person's name and ours.
pub fn check_password(password: &str, name: &str) -> Result<(), String> {
    let length = password.chars().count();
    if length < PASSWORD_CHARS_MIN {
        return Err(format!(
            "a password has {PASSWORD_CHARS_MIN} characters or more, and this one has {length}; some words that nobody else would \
             put together are easy to remember"
        ));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("a password has at most {PASSWORD_BYTES_MAX} bytes: take a shorter one"));
    }
    let (lower, name) = (password.to_lowercase(), name.to_lowercase());
    let parts: Vec<&str> = name.split(|sign: char| !sign.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let named: Vec<&&str> = parts.iter().filter(|part| part.chars().count() >= 3 && lower.contains(**part)).collect();
    let others = named.iter().fold(lower.clone(), |rest, part| rest.replace(**part, ""));
    let others = others.chars().filter(|sign| sign.is_alphanumeric()).count();
    if (!name.is_empty() && lower.contains(&name)) || (!named.is_empty() && others < BESIDE_NAME_CHARS_MIN) {
        return Err(
            "this password is the first that somebody would try: take another, without the name in it".to_owned()
        );
    }
    let inputs: Vec<&str> = WORDS_OF_HERE.into_iter().chain([name.as_str()]).chain(parts).collect();
    let strength = zxcvbn(password, &inputs);
    if strength.score() >= Score::Three {
        return Ok(());
    }
    let why = strength.feedback().and_then(|feedback| feedback.warning()).map(|why| format!(" {why}"));
    Err(format!(
        "this password would soon be guessed.{} Take some words that nobody else would put together, such as things in the room, \
         and no names, dates or rows of keys",
        why.unwrap_or_default()
    ))
}

impl Operators {
    /// In PHC's form, with a salt of its own.
    pub(super) async fn hash_password(&self, password: &str) -> Result<String, Refusal> {
        let password = password.to_owned();
        self.in_turn(move || hashed(&password)).await
    }

    /// Whether this is the password; without one to compare with it never is, and takes as long.
    pub(super) async fn is_password(&self, password: &str, kept: Option<&str>) -> Result<bool, Refusal> {
        let (password, kept) = (password.to_owned(), kept.map(str::to_owned));
        self.in_turn(move || {
            let is_right = matches(&password, kept.as_deref().unwrap_or(&NOBODYS));
            is_right && kept.is_some()
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.hashing.acquire()).await;
        let _turn = turn.map_err(|_| Refusal::Busy)?.expect("it is never closed");
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Busy)
    }
}

fn hashed(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the parameters are the crate's own, and the salt is the system's").to_string()
}

fn matches(password: &str, kept: &str) -> bool {
    let kept = PasswordHash::new(kept);
    kept.is_ok_and(|kept| Argon2::default().verify_password(password.as_bytes(), &kept).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_argon2id_and_never_twice_alike() {
        let [one, other] = ["seven quiet tea pots"; 2].map(hashed);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        assert!(matches("seven quiet tea pots", &one) && !matches("seven quiet tea pot", &one));
        assert!(!matches("anything", "no hash at all"));
    }

    #[test]
    fn what_is_guessed_first_is_refused_and_told_why() {
        for good in ["seven quiet tea pots", "nine loud coffee pots", "Xq7#vT!p29Lm"] {
            assert_eq!(check_password(good, "asha"), Ok(()), "{good}");
        }
        for bad in [
            "tea pots",
            "123456789012",
            "aaaaaaaaaaaa",
            "aaaaaaaaaaaaaa",
            "password1234",
            "qwertyuiop12",
            "abcabcabcabc",
            "Wabridge2026",
            "wabridgewabridge",
            "P@ssw0rd2026",
            "Asha-is-the-best",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
            &"long".repeat(100),
        ] {
            assert!(check_password(bad, "asha").is_err(), "{bad}");
        }
        for bad in ["kumar.asha.kumar", "Kumar-2026-asha", "asha.kumar@example.com"] {
            assert!(check_password(bad, "asha.kumar@example.com").is_err(), "the name, in whatever order: {bad}");
        }
        assert_eq!(check_password("seven quiet tea pots", "tea@example.com"), Ok(()), "a word of several");
        let said = check_password("123456789012", "asha").expect_err("it is refused");
        assert!(said.contains("would soon be guessed") && said.contains("Take some words"), "{said}");
    }
}
