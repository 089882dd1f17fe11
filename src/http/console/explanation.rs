//! What would come of a request, as a part of a page.

use askama::Template;

use super::{
    frame::sentence,
    message::pretty,
    preview::{Bubble, bubble},
    templates::Pill,
};
use crate::{
    domain::{
        fill::{Difference, Harm},
        preview::preview,
    },
    providers::RenderedRequest,
    services::test_bench::{CheckState, Explanation, Outcome},
};

#[derive(Template)]
#[template(path = "console/explanation.html")]
pub(super) struct ExplanationPart {
    tone: &'static str,
    heading: &'static str,
    text: Option<String>,
    message: Option<String>,
    http_status: u16,
    answer: String,
    checks: Vec<CheckRow>,
    differences: Vec<DifferenceRow>,
    bubble: Option<Bubble>,
    request: String,
    provider: Option<ProviderPart>,
}

struct CheckRow {
    name: &'static str,
    state: Pill,
    text: String,
}

struct DifferenceRow {
    harm: Pill,
    difference: Difference,
    advice: String,
}

/// A request to the provider.
pub(super) struct ProviderPart {
    pub(super) head: String,
    pub(super) body: String,
}

pub(super) fn provider_part(request: RenderedRequest) -> ProviderPart {
    let RenderedRequest { method, url, headers, body } = request;
    let headers = headers.into_iter().map(|(name, value)| format!("{name}: {value}"));
    let head: Vec<String> = std::iter::once(format!("{method} {url}")).chain(headers).collect();
    ProviderPart { head: head.join("\n"), body: pretty(&body) }
}

/// `with_bubble`: also how it would look, where the page does not show that anyway.
pub(super) fn explanation_part(explanation: Explanation, with_bubble: bool) -> ExplanationPart {
    let (tone, heading, text, message) = match explanation.outcome {
        Outcome::Sent => ("good", "CleverTap would be told that it is accepted, and it would be sent", None, None),
        Outcome::OnlyChecked => {
            let why = "It is one of CleverTap’s own checks, which the account only validates: nobody is sent anything";
            ("good", "CleverTap would be told that all is well", Some(why.to_owned()), None)
        }
        Outcome::Repeat(first) => {
            let why =
                "The same message was accepted before: the first answer would be given again, and nothing sent twice";
            ("warn", "CleverTap would be told that it is accepted", Some(why.to_owned()), Some(first.to_string()))
        }
        Outcome::Refused { text, .. } => ("bad", "It would be refused", Some(text), None),
    };
    let checks = explanation.checks.into_iter().map(|check| CheckRow {
        name: check.name,
        state: state_pill(check.state),
        text: sentence_or_nothing(&check.text),
    });
    let differences = explanation.differences.into_iter().map(|difference| DifferenceRow {
        harm: harm_pill(difference.harm),
        advice: sentence(&difference.advice),
        difference,
    });
    ExplanationPart {
        tone,
        heading,
        text: text.map(|text| sentence(&text)),
        message,
        http_status: explanation.reply.http_status,
        answer: pretty(&explanation.reply.body),
        checks: checks.collect(),
        differences: differences.collect(),
        bubble: explanation
            .template
            .filter(|_| with_bubble)
            .map(|(template, content)| bubble(preview(&template, Some(&content)))),
        request: pretty(&explanation.request),
        provider: explanation.provider.map(provider_part),
    }
}

fn sentence_or_nothing(text: &str) -> String {
    // A number alone is none.
    if text.contains(' ') { sentence(text) } else { text.to_owned() }
}

fn state_pill(state: CheckState) -> Pill {
    let (name, tone) = match state {
        CheckState::Fine => ("fine", "good"),
        CheckState::Wrong => ("wrong", "bad"),
        CheckState::NotReached => ("not reached", "plain"),
    };
    Pill { name: name.to_owned(), tone }
}

fn harm_pill(harm: Harm) -> Pill {
    let (name, tone) = match harm {
        Harm::Refused => ("refused", "bad"),
        Harm::Misleading => ("differs", "warn"),
        Harm::None => ("harmless", "plain"),
    };
    Pill { name: name.to_owned(), tone }
}
