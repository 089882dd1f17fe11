//! Who is let in, and what goes out with every answer.

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::{Bytes, Data},
};
use url::form_urlencoded;

use super::{
    NO_STORE, Trouble, Visitor,
    frame::{cookie, see_other, wants_part},
};
use crate::http::{Parts, access::remote_address};

/// No script and no style but ours, nothing from elsewhere, and nobody may put us into a frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // With no-referrer browsers hide the origin of our own forms from us, too.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Refuses what other sites send, and puts the headers on every answer.
pub(super) async fn harden(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let refused = !request.method().is_safe() && !is_ours(&request);
    let mut response = if refused {
        let text = "It came from another site, or through a proxy that changes the Host header. Open the console and try there.";
        request.error_response(Trouble::new(StatusCode::FORBIDDEN, "This was not sent by the console", text))
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let trouble = response.response().error().and_then(|error| error.as_error::<Trouble>());
    if let Some(shown) =
        trouble.map(|trouble| trouble.shown(response.request(), page_before(response.request()).as_deref()))
    {
        response = response.into_response(shown);
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(NO_STORE.0) {
        headers.insert(NO_STORE.0, HeaderValue::from_static(NO_STORE.1));
    }
    Ok(response)
}

/// The page of the console that led to a request, as far as the browser says.
fn page_before(request: &HttpRequest) -> Option<String> {
    let referer = request.headers().get(header::REFERER)?.to_str().ok()?;
    let url = url::Url::parse(referer).ok()?;
    // A page that was asked for by itself would only lead to itself.
    let is_other = url.path() != request.path() || request.method() != Method::GET;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    (is_other && url.path().starts_with("/console/")).then(|| path.to_owned())
}

/// Whether a request that changes something comes from a page of ours, as far as the browser says. What no browser sent says
/// nothing, and has no cookies of anybody's either.
fn is_ours(request: &ServiceRequest) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = header("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = header("origin") else { return true };
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    let ours = request.app_data::<Data<Parts>>().map(|parts| parts.operators.url().to_owned());
    header("host") == Some(authority) || ours.as_deref() == Some(origin)
}

/// Lets in who has a session, and only forms that a page of this session wrote.
pub(super) async fn signed_in(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let visitor = match visitor(request.request()).await {
        Ok(Some(visitor)) => visitor,
        Ok(None) => {
            let answer = sign_in_first(request.request());
            return Ok(request.into_response(answer));
        }
        Err(trouble) => return Ok(request.error_response(trouble)),
    };
    if !request.method().is_safe() {
        let body = match request.extract::<Bytes>().await {
            Ok(body) => body,
            Err(error) => return Ok(request.error_response(error)),
        };
        let csrf = form_urlencoded::parse(&body).find(|(name, _)| name == "csrf");
        if !csrf.is_some_and(|(_, csrf)| visitor.wrote(&csrf)) {
            let text = "The page was open for too long, or belongs to another session. Go back, load it again, and repeat what you did.";
            let trouble = Trouble::new(StatusCode::FORBIDDEN, "This form is too old", text);
            request.extensions_mut().insert(visitor);
            return Ok(request.error_response(trouble));
        }
        request.set_payload(Payload::from(body));
    }
    request.extensions_mut().insert(visitor);
    Ok(next.call(request).await?.map_into_boxed_body())
}

async fn visitor(request: &HttpRequest) -> Result<Option<Visitor>, Trouble> {
    let Some(parts) = request.app_data::<Data<Parts>>() else { return Ok(None) };
    let Some(token) = cookie(request, cookie_name(parts)) else { return Ok(None) };
    let address = remote_address(request, &parts.settings.server.trusted_proxies);
    // Pages ask for parts of themselves every few seconds, and nobody may be there.
    Ok(parts.operators.visitor(token, address, !wants_part(request)).await?)
}

/// The way to the form, and back to here.
fn sign_in_first(request: &HttpRequest) -> HttpResponse {
    let next: String = match request.method() {
        &Method::GET => request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned(),
        _ => String::new(),
    };
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
    let location = format!("/console/sign-in?{query}");
    if wants_part(request) {
        // A part of a page cannot become the form; the page can.
        return HttpResponse::Ok().insert_header(("HX-Redirect", "/console/sign-in")).finish();
    }
    see_other(&location)
}

/// With TLS the browser itself sees to it that nobody else can have set the cookie.
fn cookie_name(parts: &Parts) -> &'static str {
    if parts.operators.behind_tls() { "__Host-wabridge" } else { "wabridge_session" }
}

/// The header that begins a session in the browser; an empty token ends it.
pub(super) fn session_cookie(parts: &Parts, token: &str) -> (HeaderName, String) {
    let name = cookie_name(parts);
    let age = if token.is_empty() { 0 } else { parts.operators.settings().session_max.as_secs() };
    let secure = if parts.operators.behind_tls() { "; Secure" } else { "" };
    (header::SET_COOKIE, format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"))
}

/// Whoever asks from outside: what is known of them.
pub(super) struct Guest {
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) agent: String,
}

impl Guest {
    pub(super) fn of(request: &HttpRequest, parts: &Parts) -> Self {
        let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            address: remote_address(request, &parts.settings.server.trusted_proxies),
            agent: agent.unwrap_or("no name").to_owned(),
        }
    }
}

/// Handlers behind [`signed_in`] get the visitor as an argument.
impl FromRequest for Visitor {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let visitor = request.extensions().get::<Self>().cloned();
        let missing = || Trouble::new(StatusCode::FORBIDDEN, "You are not signed in", "Sign in and try again.");
        std::future::ready(visitor.ok_or_else(|| missing().into()))
    }
}
