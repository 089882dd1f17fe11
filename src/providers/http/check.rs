//! What can be said of such a connection without sending anything: the very request that a message would become.

use std::sync::Arc;

use super::{
    fields::Kind,
    sending::{render, sends},
    templates::passes_any,
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        finding::{Finding, Topic},
        ids::MessageId,
        outbound::{Category, Freeform, Location, MediaKind, OutboundMessage, SendBody},
        phone::PhoneNumber,
        template::{FilledComponent, FilledTemplate, FilledText},
    },
    providers::{Checked, RenderedRequest},
};

/// Nobody has this number.
const NOBODY: &str = "+919876500001";

pub fn check(connection: &Connection, senders: &[Arc<Sender>], webhook_url: Option<&str>) -> Checked {
    let about = format!("connection {}", connection.id);
    let mut findings = Vec::new();
    match senders.first() {
        _ if !sends(connection) => findings.push(Finding::doubtful(
            &about,
            "it only receives: it has no base_url, so messages that are to be sent by it are refused",
            "give it base_url and bodies, or let its numbers send by another connection",
        )),
        Some(sender) => findings.extend(Kind::ALL.iter().filter_map(|kind| sample(&about, sender, *kind))),
        None => findings.push(Finding::not_checked(
            &about,
            "what it would send cannot be shown: it has no number",
            "add a number to it",
        )),
    }
    if passes_any(connection).is_some() {
        findings.push(
            Finding::doubtful(
                &about,
                "any template is taken: nobody checks its name, its language, or how many values it wants",
                "list its templates in place of passthrough, if you know them",
            )
            .on(Topic::Templates),
        );
    }
    if let Some(url) = webhook_url {
        let text = format!("webhooks are taken at {url}, with the secret part of the URL in its place");
        findings.push(Finding::fine(&about, text).on(Topic::WebhookUrl));
    }
    // Such carriers say nothing of their numbers.
    let numbers = senders.iter().map(|sender| (sender.key, Ok(NumberState::default()))).collect();
    Checked { findings, numbers }
}

fn sample(about: &str, from: &Sender, kind: Kind) -> Option<Finding> {
    let word = kind.as_str();
    if from.connection.setting(kind.setting()).trim().is_empty() {
        return None;
    }
    let to = PhoneNumber::from_international(NOBODY)?;
    let message = OutboundMessage { id: MessageId(1), to, body: sample_of(kind), conversation: None };
    let RenderedRequest { method, url, headers, body } = render(from, &message);
    let headers = headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("; ");
    Some(Finding::fine(about, format!("a {word} message would go out as {method} {url} [{headers}] {body}")))
}

fn sample_of(kind: Kind) -> SendBody {
    let text = |text: &str| FilledText { name: None, text: text.to_owned() };
    match kind {
        Kind::Template => SendBody::Template(FilledTemplate {
            name: "order_update".to_owned(),
            language: "en".to_owned(),
            category: Category::Utility,
            components: vec![FilledComponent::Body(vec![text("Asha"), text("A-17")])],
        }),
        Kind::Text => SendBody::Freeform(Freeform::Text { body: "Thank you, Asha!".to_owned() }),
        Kind::Media => SendBody::Freeform(Freeform::Media {
            kind: MediaKind::Image,
            url: "https://cdn.example/a.png".to_owned(),
            caption: Some("Your order".to_owned()),
            filename: None,
        }),
        Kind::Location => SendBody::Freeform(Freeform::Location(Location {
            latitude: "19.0760".to_owned(),
            longitude: "72.8777".to_owned(),
            name: Some("Store".to_owned()),
            address: None,
        })),
    }
}
