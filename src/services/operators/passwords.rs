//! Hashing passwords with Argon2id, few at a time and away from the threads that answer others.

use std::{sync::LazyLock, time::Duration};

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};

use super::{Operators, Refusal};

/// Whoever waits longer for a turn is told to come again.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// For names that do not exist: they take as long as others.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hashed("nobody has this password"));

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
}
