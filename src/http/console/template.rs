//! One template: as it looks on a phone, with what CleverTap must be given, and against what it sent lately.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data},
};

use super::{
    Frame, Trouble, Visitor,
    frame::{long_time, sentence, short_time, wants_part},
    page,
    preview::{Bubble, Piece, bubble, pieces},
    templates::{PATH, Pill, href, quality_pill, status_pill},
    test_bench,
};
use crate::{
    domain::{
        fill::{Harm, needed_button},
        operator::{Actor, Permission},
        outbound::MediaKind,
        preview::{numbered_text, preview, spans},
        template::{
            HeaderContent, Template, TemplateButton, TemplateButtonKind, TemplateContent, TemplateHeader,
            TemplateStatus, TemplateText, Variable,
        },
        words::counted,
    },
    http::Parts,
    services::{
        masking,
        template_differences::{self, Comparison, Source},
        templates::{self, ShownTemplate, TemplateName},
    },
};

#[derive(askama::Template)]
#[template(path = "console/template.html")]
struct OnePage {
    frame: Frame,
    name: String,
    language: String,
    status: Pill,
    category: String,
    quality: Option<Pill>,
    rejected_reason: Option<String>,
    provider_id: String,
    whose: String,
    numbers: Vec<String>,
    time_to_live: Option<String>,
    /// Why it is of no use just now.
    stopped: Option<String>,
    bubble: Bubble,
    given: Vec<Given>,
    named: bool,
    test: Option<String>,
    differences: String,
}

/// Something that CleverTap must be given.
struct Given {
    field: String,
    value: String,
    /// Not to be copied, only to be chosen.
    chosen: bool,
    hint: String,
}

/// `GET /console/templates/{connection}/{business account}/{name}/{language}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    named: web::Path<TemplateName>,
) -> Result<HttpResponse, Trouble> {
    let (shown, senders) = templates::one(&parts.store, &parts.directory, &visitor.actor, &named).await?;
    let template = &shown.template;
    let examples = &shown.listing.examples;
    let test = senders
        .first()
        .filter(|_| visitor.actor.may(Permission::SendTests))
        .map(|sender| test_bench::at(sender.number.as_e164(), (&template.name, &template.language)));
    page(&OnePage {
        frame: Frame::new(&request, &visitor, template.name.clone(), PATH),
        name: template.name.clone(),
        language: template.language.clone(),
        status: status_pill(&template.status),
        category: template.category.word().to_lowercase(),
        quality: quality_pill(shown.listing.quality.as_deref()),
        rejected_reason: shown.listing.rejected_reason.clone(),
        provider_id: template.provider_id.clone(),
        whose: format!("{} at {}", shown.owner.provider_account_id, shown.connection.id),
        numbers: senders.iter().map(|sender| sender.number.as_e164().to_owned()).collect(),
        time_to_live: template.time_to_live_s.filter(|seconds| *seconds > 0).map(|seconds| format!("{seconds} s")),
        stopped: stopped(template),
        bubble: bubble(preview(template, Some(examples))),
        given: given(template),
        named: template.has_names(),
        test,
        differences: format!("{}/differences", href(&shown)),
    })
}

/// What to know before CleverTap is given it.
fn stopped(template: &Template) -> Option<String> {
    let text = match &template.status {
        TemplateStatus::Approved => return None,
        TemplateStatus::Paused => {
            "WhatsApp has paused it, because people block or report what is sent with it. It goes on by itself; until then its \
             messages wait, and new ones are refused."
        }
        TemplateStatus::Disabled => "WhatsApp has disabled it for good: write another one.",
        TemplateStatus::Pending => "WhatsApp has not approved it yet.",
        TemplateStatus::Rejected => "WhatsApp has rejected it: change it in WhatsApp Manager and submit it again.",
        TemplateStatus::Other(_) => "Only approved templates can be sent.",
    };
    Some(text.to_owned())
}

/// What CleverTap's form of a template asks for, in its order.
fn given(template: &Template) -> Vec<Given> {
    let copied = |field: &str, value: &str, hint: &str| Given {
        field: field.to_owned(),
        value: value.to_owned(),
        chosen: false,
        hint: hint.to_owned(),
    };
    let chosen = |field: &str, value: &str, hint: &str| Given { chosen: true, ..copied(field, value, hint) };
    let parts = &template.components;
    let mut given = vec![copied("Template name", &template.name, ""), copied("Language", &template.language, "")];
    match &parts.header {
        None => {}
        Some(TemplateHeader::Text(text)) => {
            given.push(chosen("Header", "text", ""));
            given.push(copied("Header text", &numbered_text(text), &variables_hint(text)));
        }
        Some(TemplateHeader::Media(kind)) => {
            given.push(chosen("Header", header_word(*kind), "with the URL of the file"))
        }
        Some(TemplateHeader::Location) => given.push(chosen("Header", "location", "with latitude and longitude")),
        Some(TemplateHeader::Other(word)) => given.push(chosen("Header", word, "cannot be sent from here")),
    }
    given.push(copied("Body", &numbered_text(&parts.body), &variables_hint(&parts.body)));
    if let Some(footer) = &parts.footer {
        given.push(copied("Footer", footer, ""));
    }
    given.extend(parts.buttons.iter().enumerate().map(|(index, button)| {
        let field = format!("Button {}", index + 1);
        copied(&field, &button.text, &button_hint(button))
    }));
    if let Some(cards) = &parts.carousel {
        given.push(chosen(
            "Carousel",
            &counted(cards.len() as u64, "card", "cards"),
            "each as it stands in the preview",
        ));
    }
    given
}

/// CleverTap's word for a header.
fn header_word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Document => "file",
    }
}

fn variables_hint(text: &TemplateText) -> String {
    match text.variables.len() {
        0 => String::new(),
        count => counted(count as u64, "variable", "variables"),
    }
}

fn button_hint(button: &TemplateButton) -> String {
    let kind = needed_button(&button.kind);
    match &button.kind {
        TemplateButtonKind::DynamicUrl { prefix } => format!("{kind}: {prefix}{{{{1}}}}"),
        TemplateButtonKind::StaticUrl { url } => format!("{kind}: {url}"),
        TemplateButtonKind::CallPhone { number } => format!("{kind}: {number}"),
        TemplateButtonKind::QuickReply
        | TemplateButtonKind::CopyCode
        | TemplateButtonKind::OneTimePassword
        | TemplateButtonKind::Other { .. } => kind.to_owned(),
    }
}

#[derive(askama::Template)]
#[template(path = "console/template_differences.html")]
struct DifferencesPart {
    extent: String,
    nothing_sent: bool,
    rows: Vec<DifferenceRow>,
    newest: Option<NewestPart>,
}

struct DifferenceRow {
    harm: Pill,
    part: String,
    platform: String,
    whatsapp: String,
    advice: String,
    requests: String,
    newest: SourcePart,
}

struct SourcePart {
    at: String,
    href: Option<String>,
}

/// The newest request, value by value and text against text.
struct NewestPart {
    source: SourcePart,
    refused: bool,
    is_test: bool,
    values: Vec<ValueRow>,
    text: Option<(Vec<Piece>, String)>,
    hidden: bool,
}

struct ValueRow {
    part: &'static str,
    variable: String,
    example: String,
    sent: Option<String>,
}

#[derive(askama::Template)]
#[template(path = "console/template_differences_page.html")]
struct DifferencesPage {
    frame: Frame,
    name: String,
    back: String,
    part: DifferencesPart,
}

/// `GET /console/templates/{connection}/{business account}/{name}/{language}/differences`
pub(super) async fn differences(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    named: web::Path<TemplateName>,
) -> Result<HttpResponse, Trouble> {
    let actor = &visitor.actor;
    let (shown, comparison) = template_differences::compare(&parts.store, &parts.directory, actor, &named).await?;
    let part = differences_part(actor, &shown, comparison);
    if wants_part(&request) {
        return page(&part);
    }
    let frame = Frame::new(&request, &visitor, shown.template.name.clone(), PATH);
    page(&DifferencesPage { frame, name: shown.template.name.clone(), back: href(&shown), part })
}

fn differences_part(actor: &Actor, shown: &ShownTemplate, comparison: Comparison) -> DifferencesPart {
    let Comparison { accepted, refused, tests, looked_back_to, differences, newest } = comparison;
    let back_to = match looked_back_to {
        Some(at) => format!("accepted ones back to {} UTC", long_time(at)),
        None => "of all that are kept".to_owned(),
    };
    let taken = counted(accepted as u64, "accepted message", "accepted messages");
    let turned = counted(refused as u64, "refused request", "refused requests");
    DifferencesPart {
        extent: match tests {
            0 => format!("{taken} and {turned} were looked at, {back_to}"),
            tests => format!(
                "{taken} and {turned} were looked at, {} of them, {back_to}",
                counted(tests as u64, "test", "tests")
            ),
        },
        nothing_sent: accepted + refused == 0,
        rows: differences
            .into_iter()
            .map(|found| {
                let difference = found.difference;
                DifferenceRow {
                    harm: harm_pill(difference.harm),
                    part: sentence_start(&difference.part),
                    platform: difference.platform,
                    whatsapp: difference.whatsapp,
                    advice: sentence(&difference.advice),
                    requests: counted(found.requests as u64, "request", "requests"),
                    newest: source_part(found.newest),
                }
            })
            .collect(),
        newest: newest.map(|newest| NewestPart {
            source: source_part(newest.source),
            refused: matches!(newest.source, Source::Refused(_)),
            is_test: newest.is_test,
            hidden: newest.content.is_none(),
            values: newest.content.as_ref().map(|content| values(shown, content)).unwrap_or_default(),
            text: newest.content.and_then(|content| {
                let rendered = content.body_text?;
                let ours = pieces(spans(&shown.template.components.body, Some(&content.body)));
                Some((ours, masking::text(actor, &rendered)))
            }),
        }),
    }
}

fn harm_pill(harm: Harm) -> Pill {
    let (name, tone) = match harm {
        Harm::Refused => ("refused", "bad"),
        Harm::Misleading => ("sent, but differs", "warn"),
        Harm::None => ("harmless", "plain"),
    };
    Pill { name: name.to_owned(), tone }
}

fn sentence_start(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

fn source_part(source: Source) -> SourcePart {
    let href = match source {
        Source::Message(id) => Some(format!("/console/messages/{id}")),
        Source::Refused(_) => None,
    };
    SourcePart { at: short_time(source.at()), href }
}

/// Each variable of the template beside what was sent for it, and what was sent for none.
fn values(shown: &ShownTemplate, content: &TemplateContent) -> Vec<ValueRow> {
    let (parts, examples) = (&shown.template.components, &shown.listing.examples);
    let mut rows = Vec::new();
    if let Some(TemplateHeader::Text(text)) = &parts.header {
        let sent = header_texts(content.header.as_ref());
        rows.extend(text_values("header", text, header_texts(examples.header.as_ref()), sent));
    }
    rows.extend(text_values("body", &parts.body, &examples.body, &content.body));
    rows
}

fn header_texts(header: Option<&HeaderContent>) -> &[String] {
    match header {
        Some(HeaderContent::Text { parameters }) => parameters,
        Some(HeaderContent::Media { .. } | HeaderContent::Location(_)) | None => &[],
    }
}

fn text_values(part: &'static str, text: &TemplateText, examples: &[String], sent: &[String]) -> Vec<ValueRow> {
    let row = |place: usize| ValueRow {
        part,
        variable: text.variables.get(place).map_or_else(
            || "none at WhatsApp".to_owned(),
            |variable| match variable {
                Variable::Position(_) => format!("{{{{{}}}}}", place + 1),
                Variable::Name(name) => format!("{{{{{}}}}} {name}", place + 1),
            },
        ),
        example: examples.get(place).cloned().unwrap_or_default(),
        sent: sent.get(place).cloned(),
    };
    (0..text.variables.len().max(sent.len())).map(row).collect()
}
