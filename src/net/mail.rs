//! E-mail to operators, through the SMTP server of their choice.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::words::few;

/// A letter that cannot be delivered by then is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of what a server says, so much is told.
const ANSWER_CHARS_MAX: usize = 200;

/// Where mail goes in, from whom, and to whom.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// Mail could not be set up, or was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    // The parser's own words could quote the password.
    #[error("alarms.smtp_url cannot be used: write it like smtps://user:password@mail.example.com")]
    Url,
    #[error("`{0}` is no e-mail address: write it like ops@example.com")]
    Address(String),
    #[error("the letter could not be put together: {0}")]
    Letter(#[from] lettre::error::Error),
    #[error("the mail server did not take it: {0}")]
    Transport(#[from] lettre::transport::smtp::Error),
}

/// Whether a text is an e-mail address, alone or as `Name <address>`.
pub fn is_address(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

/// Those of these that are no addresses, with what to do; goes on after the field's name.
pub fn check_addresses<'a>(texts: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let odd = few(texts.filter(|text| !is_address(text)));
    odd.map_or(Ok(()), |odd| Err(format!("must be e-mail addresses, each like ops@example.com, unlike “{odd}”")))
}

impl Mailer {
    /// `smtps://` speaks TLS at once, `smtp://…?tls=required` begins it after the greeting, `smtp://` goes without.
    pub fn new(url: &SecretString, from: &str, to: &[String]) -> Result<Self, MailError> {
        let address = |text: &str| text.parse::<Mailbox>().map_err(|_| MailError::Address(text.to_owned()));
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret()).map_err(|_| MailError::Url)?;
        Ok(Self {
            transport: transport.timeout(Some(PATIENCE)).build(),
            from: address(from)?,
            to: to.iter().map(|text| address(text)).collect::<Result<_, _>>()?,
        })
    }

    /// The same way to other people.
    pub fn to_others(&self, to: &[String]) -> Result<Self, MailError> {
        let address = |text: &String| text.parse::<Mailbox>().map_err(|_| MailError::Address(text.clone()));
        Ok(Self { to: to.iter().map(address).collect::<Result<_, _>>()?, ..self.clone() })
    }

    /// One letter to everybody; gives back what the server answered.
    pub async fn send(&self, subject: &str, body: String) -> Result<String, MailError> {
        let mut letter = Message::builder().from(self.from.clone()).subject(subject).header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            letter = letter.to(to.clone());
        }
        // Programs that answer by themselves leave it alone.
        let letter = letter.header(AutoSubmitted).body(body)?;
        let answer = self.transport.send(letter).await?;
        let said: String = answer.first_line().unwrap_or_default().chars().take(ANSWER_CHARS_MAX).collect();
        Ok(format!("{} {said}", answer.code()).trim().to_owned())
    }
}

/// RFC 3834.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_told_without_the_password() {
        let new = |url: &str, from: &str| Mailer::new(&SecretString::from(url), from, &["ops@example.com".to_owned()]);

        let error = new("ftp://me:hush@mail.example.com", "wa@example.com").err().expect("not mail");
        assert!(!error.to_string().contains("hush"), "{error}");
        assert!(new("smtps://me:hush@mail.example.com", "nobody").is_err());
        assert!(new("smtps://me:hush@mail.example.com", "Bridge <wa@example.com>").is_ok());
        assert!(!is_address("ops") && is_address("ops@example.com"));
    }
}
