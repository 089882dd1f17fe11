//! HMAC-SHA256 as webhooks use it, and the comparison of secrets. Nothing here takes longer for a
//! better guess.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The signature of these bytes, in lower-case hexadecimal.
pub fn sign(key: &[u8], bytes: &[u8]) -> String {
    hex::encode(keyed(key, bytes).finalize().into_bytes())
}

/// Is `signature` (hexadecimal) the one that [`sign`] makes?
pub fn verify(key: &[u8], bytes: &[u8], signature: &str) -> bool {
    hex::decode(signature).is_ok_and(|signature| keyed(key, bytes).verify_slice(&signature).is_ok())
}

/// Are two secrets the same? Compares their digests, so that not even the length shows.
pub fn same_secret(left: &[u8], right: &[u8]) -> bool {
    Sha256::digest(left).ct_eq(&Sha256::digest(right)).into()
}

fn keyed(key: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    const SIGNATURE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn the_signature_is_the_one_of_the_standard() {
        assert_eq!(sign(b"Jefe", b"what do ya want for nothing?"), SIGNATURE);
    }

    #[test]
    fn only_the_right_key_body_and_signature_agree() {
        assert!(verify(b"Jefe", b"what do ya want for nothing?", SIGNATURE));
        assert!(verify(b"Jefe", b"what do ya want for nothing?", &SIGNATURE.to_uppercase()));
        assert!(!verify(b"jefe", b"what do ya want for nothing?", SIGNATURE));
        assert!(!verify(b"Jefe", b"what do ya want for nothing!", SIGNATURE));
        for broken in ["", "5bdc", "not hexadecimal", &SIGNATURE[..62]] {
            assert!(!verify(b"Jefe", b"what do ya want for nothing?", broken), "{broken}");
        }
    }

    #[test]
    fn secrets_are_the_same_only_when_they_are_equal() {
        assert!(same_secret(b"choose-one", b"choose-one"));
        assert!(!same_secret(b"choose-one", b"choose-on"));
        assert!(!same_secret(b"choose-one", b""));
    }
}
