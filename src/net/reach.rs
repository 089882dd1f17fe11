//! What can be told of a URL before it is used, for those who check a configuration.

use super::{
    exchange::{Exchange, Method, OutgoingRequest, client},
    guard,
    issuer::issuer,
    no_answer::NoAnswer,
};

impl Exchange {
    /// Whether a request to this URL could leave, as far as that can be told without making one: the URL can be used, its
    /// name has an address, and the address may be reached. Behind a proxy names are the proxy's business.
    pub async fn would_reach(&self, url: &str) -> Result<(), String> {
        let url = parsed(url)?;
        self.check_url(&url)?;
        match url.host() {
            Some(url::Host::Domain(name)) if self.limits.proxy.is_none() => {
                guard::look_up(name, self.limits.allow_private_networks, self.request_timeout()).await
            }
            Some(url::Host::Domain(_) | url::Host::Ipv4(_) | url::Host::Ipv6(_)) => Ok(()),
            None => Err("the URL names no host".to_owned()),
        }
    }

    /// The same, and whether somebody is there who has a certificate that is trusted. Asks the server for its front page:
    /// nothing is sent to the URL itself, and what the page says does not matter.
    pub async fn would_be_received(&self, url: &str) -> Result<(), String> {
        self.would_reach(url).await?;
        let front_page = OutgoingRequest {
            method: Method::Get,
            url: &front_page_of(&parsed(url)?),
            headers: vec![],
            body: None,
            timeout: self.request_timeout(),
        };
        match self.send(front_page).await.result {
            Ok(_) | Err(NoAnswer::MaybeSent(_) | NoAnswer::Unreadable(_)) => Ok(()),
            Err(no_answer @ NoAnswer::NotSent(_)) => Err(self.explain(url, &no_answer).await),
        }
    }

    /// Why no answer came from this URL, and who issued the certificate that was not accepted, if that is why.
    pub async fn explain(&self, url: &str, no_answer: &NoAnswer) -> String {
        if no_answer.is_about_certificate()
            && let Some(issuer) = self.issuer_at(url).await
        {
            return format!("{no_answer}. It names as its issuer: {issuer}");
        }
        no_answer.to_string()
    }

    /// The issuer that the certificate there names. To see it, it is accepted; whoever shows it is told nothing and believed
    /// nothing.
    async fn issuer_at(&self, url: &str) -> Option<String> {
        let url = parsed(url).ok()?;
        self.check_url(&url).ok()?;
        let accepting = client(&self.limits).ok()?.tls_danger_accept_invalid_certs(true).tls_info(true).build().ok()?;
        let response = accepting.get(front_page_of(&url)).timeout(self.request_timeout()).send().await.ok()?;
        issuer(response.extensions().get::<reqwest::tls::TlsInfo>()?.peer_certificate()?)
    }
}

fn front_page_of(url: &url::Url) -> String {
    format!("{}/", url.origin().ascii_serialization())
}

fn parsed(url: &str) -> Result<url::Url, String> {
    url::Url::parse(url).map_err(|error| format!("the URL cannot be used: {error}"))
}
