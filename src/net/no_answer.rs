//! Why no answer came, in words for people, and the question that costs money: may the request have been seen?

use std::error::Error;

use rustls::CertificateError;

use super::redact;

/// No answer that can be read. The difference decides whether money may have been spent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// No connection was made, or it was not allowed: the other side has seen nothing.
    #[error("could not reach the other side: {0}")]
    NotSent(String),
    /// The connection broke or the time was up after bytes had left.
    #[error("no answer after the request was sent: {0}")]
    MaybeSent(String),
    /// Something came back, so the request was seen; but it is no HTTP, or broke off.
    #[error("the answer could not be read: {0}")]
    Unreadable(String),
}

impl NoAnswer {
    /// Whether the other side showed a certificate that was not accepted.
    pub(super) fn is_about_certificate(&self) -> bool {
        match self {
            Self::NotSent(why) | Self::MaybeSent(why) | Self::Unreadable(why) => why.starts_with(CERTIFICATE),
        }
    }
}

/// How every text about a certificate begins.
const CERTIFICATE: &str = "its TLS certificate";

/// Where the client finds out whom to trust.
const TRUST_STORE: &str = "the system's trust store (Debian: a .crt file in /usr/local/share/ca-certificates, then \
     update-ca-certificates) and start again";

/// The client reports name, connection and TLS failures, and the connect timeout, as errors of connecting:
/// then nothing has left. After everything else something may have.
pub(super) fn classify(error: reqwest::Error) -> NoAnswer {
    let why = why(&error);
    match error.is_connect() {
        true => NoAnswer::NotSent(why),
        false if is_unreadable(&error) => NoAnswer::Unreadable(why),
        false => NoAnswer::MaybeSent(why),
    }
}

/// The same of an answer that had begun.
pub(super) fn broken_off(error: reqwest::Error) -> NoAnswer {
    NoAnswer::Unreadable(why(&error))
}

fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() { "the time was up".to_owned() } else { reason(error) }
}

/// Whether bytes came that are no answer.
fn is_unreadable(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse)
}

/// The innermost cause says most: the layers above it only repeat that a request failed.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &(dyn Error + 'static) = error;
    loop {
        if let Some(certificate) = certificate_error(innermost) {
            return certificate_trouble(certificate);
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => return redact::text(&innermost.to_string()),
        }
    }
}

/// An IO error does not give what is in it as its source, and may hold another one.
fn certificate_error<'a>(mut error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(certificate)) => Some(certificate),
        Some(_) | None => None,
    }
}

/// What is wrong with the other side's certificate, and what helps.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open, and most of it needs an expert")]
fn certificate_trouble(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => format!(
            "{CERTIFICATE} was issued by nobody whom this machine trusts: it signed itself, or is from a company's own CA, or \
             a proxy on the way opens TLS. If that is meant, add the issuer's certificate to {TRUST_STORE}"
        ),
        // Most often one that signed itself and says that it is a CA's, which helps nobody who trusts it.
        CertificateError::Other(why) => format!(
            "{CERTIFICATE} cannot be accepted ({why:?}): if it signed itself, let a CA of your own issue one, and add that \
             CA's certificate to {TRUST_STORE}"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{CERTIFICATE} has expired: whoever runs it must renew it; or this machine's clock is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("{CERTIFICATE} is not valid yet: is this machine's clock right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{CERTIFICATE} is for another name ({error}): is the URL right?")
        }
        other => format!("{CERTIFICATE} cannot be accepted: {other}; ask whoever runs it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_with_a_certificate_is_found_where_the_layers_hide_it_and_told_with_what_helps() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let in_io = std::io::Error::other(std::io::Error::other(tls.clone()));

        for error in [&tls as &(dyn Error + 'static), &in_io] {
            let told = certificate_error(error).map(certificate_trouble).expect("it is about the certificate");
            assert!(
                told.contains("nobody whom this machine trusts") && told.contains("update-ca-certificates"),
                "{told}"
            );
        }
        assert!(certificate_error(&std::io::Error::other("refused")).is_none());
        assert!(certificate_error(&rustls::Error::DecryptError).is_none());
        assert!(certificate_trouble(&CertificateError::Expired).contains("expired"));
        assert!(certificate_trouble(&CertificateError::NotValidForName).contains("another name"));
    }
}
