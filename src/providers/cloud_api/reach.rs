//! How somebody who speaks the Cloud API is reached: the beginning of every path, and what shows who we are.

use std::{borrow::Cow, time::Duration};

use secrecy::SecretString;

use crate::net::exchange::{Method, OutgoingRequest};

/// One connection's way to a Cloud API.
pub(in crate::providers) struct Reach {
    /// What people call whoever answers there.
    pub(in crate::providers) name: &'static str,
    /// The address that the operator entered: files may be fetched there, too.
    pub(in crate::providers) base_url: String,
    /// Begins the address of every object, without a slash at the end.
    pub(in crate::providers) root: String,
    /// The header that shows who we are; `None` while the secret for it is missing.
    pub(in crate::providers) authorization: Option<(Cow<'static, str>, SecretString)>,
    /// The setting that this secret is in.
    pub(in crate::providers) secret_name: &'static str,
    /// Files are not fetched where Meta says that they lie, but there under the carrier's own address.
    pub(in crate::providers) rewrites_media_host: bool,
    /// The carrier wants to be told for which number a file is asked for.
    pub(in crate::providers) names_number: bool,
}

impl Reach {
    /// A request that changes nothing.
    pub(in crate::providers) fn get<'a>(&self, url: &'a str, timeout: Duration) -> Result<OutgoingRequest<'a>, String> {
        self.request(Method::Get, url, None, timeout)
    }

    /// Any request; the error says that the secret is missing.
    pub(in crate::providers) fn request<'a>(
        &self,
        method: Method,
        url: &'a str,
        body: Option<String>,
        timeout: Duration,
    ) -> Result<OutgoingRequest<'a>, String> {
        let authorization = self.authorization.clone().ok_or_else(|| self.no_secret())?;
        Ok(OutgoingRequest { method, url, headers: vec![authorization], body: body.map(Into::into), timeout })
    }

    pub(in crate::providers) fn no_secret(&self) -> String {
        format!("the connection has no {}", self.secret_name)
    }
}
