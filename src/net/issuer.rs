//! Who issued a certificate, as the certificate itself says. Reads no more of X.509 than the way to those two names.

/// Longer names are cut: whoever made the certificate chose them.
const NAME_CHARS_MAX: usize = 80;

const INTEGER: u8 = 0x02;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANISATION: &[u8] = &[0x55, 4, 10];

/// The issuer of a certificate in DER, such as `Example CA (Example Ltd)`. `None` when it names nobody or is no certificate.
pub(super) fn issuer(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = content_of(SEQUENCE, certificate)?;
    let (mut fields, _) = content_of(SEQUENCE, certificate)?;
    if let Some((_, after_version)) = content_of(VERSION, fields) {
        fields = after_version;
    }
    let (_, after_serial) = content_of(INTEGER, fields)?;
    let (_, after_algorithm) = content_of(SEQUENCE, after_serial)?;
    let (mut names, _) = content_of(SEQUENCE, after_algorithm)?;
    let (mut common_name, mut organisation) = (None, None);
    while let Some((attribute, rest)) = content_of(SET, names) {
        names = rest;
        let (attribute, _) = content_of(SEQUENCE, attribute)?;
        let (kind, text) = content_of(OBJECT_ID, attribute)?;
        let name = || element(text).map(|(_, text, _)| readable(text)).filter(|name| !name.is_empty());
        match kind {
            COMMON_NAME => common_name = name(),
            ORGANISATION => organisation = name(),
            _ => {}
        }
    }
    match (common_name, organisation) {
        (Some(name), Some(organisation)) => Some(format!("{name} ({organisation})")),
        (name, organisation) => name.or(organisation),
    }
}

fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect()
}

/// What the first element holds, if it is of this kind, and what comes after it.
fn content_of(kind: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, _, _)| *found == kind).map(|(_, content, rest)| (content, rest))
}

/// Kind, content, and the rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        // No certificate has more than four bytes' worth.
        let (digits, rest) =
            rest.split_at_checked(usize::from(length & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*kind, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn issued_by(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_issuer_is_told_by_name_and_organisation() {
        let both =
            [(DnType::CountryName, "IN"), (DnType::OrganizationName, "Acme Ltd"), (DnType::CommonName, "Acme CA")];

        assert_eq!(issuer(&issued_by(&both)).as_deref(), Some("Acme CA (Acme Ltd)"));
        assert_eq!(issuer(&issued_by(&both[1..2])).as_deref(), Some("Acme Ltd"));
        assert_eq!(issuer(&issued_by(&[])), None);
        assert_eq!(issuer(&issued_by(&[(DnType::CommonName, "a\nb")])).as_deref(), Some("ab"), "it goes into logs");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            issuer(&bytes);
            let mut broken = issued_by(&[(DnType::CommonName, "Acme CA")]);
            let at = at % broken.len();
            broken[at] = bytes.first().copied().unwrap_or(0xff);
            issuer(&broken);
        }
    }
}
