//! What is found about a number from how it stands, for every provider that can be asked for it.

use crate::domain::{
    account::Sender,
    channel::{MessagingLimit, NumberState, Quality},
    finding::{Finding, Topic},
};

/// What the number's own answer tells besides that it is there.
pub(in crate::providers) const SEEN_WITH_IT: [Topic; 3] = [Topic::Quality, Topic::Throughput, Topic::MessagingLimit];
/// What WhatsApp Manager knows better.
const SEE_MANAGER: &str = "see WhatsApp Manager → Phone numbers, which says why";

pub(in crate::providers) fn about(sender: &Sender) -> String {
    format!("number {}", sender.number.as_e164())
}

/// A number that could be asked about.
pub(in crate::providers) fn check_state(sender: &Sender, state: &NumberState, about: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let shown = state.display_number.as_deref().filter(|shown| digits(shown) != sender.number.digits());
    if let Some(shown) = shown {
        let finding = Finding::wrong(
            about,
            format!("under its phone_number_id Meta has another number, {shown}"),
            "correct the number or its phone_number_id",
        );
        findings.push(finding.on(Topic::Number));
    }
    let warnings = state.warnings_but_quality();
    let warned = warnings.iter().map(|warning| Finding::wrong(about, warning.clone(), SEE_MANAGER).on(Topic::Number));
    findings.extend(warned);
    if warnings.is_empty() && shown.is_none() {
        let known = [
            state.name.as_ref().map(|name| format!("“{name}”")),
            state.status.as_ref().map(|status| status.to_lowercase()),
        ];
        let known: Vec<String> = known.into_iter().flatten().collect();
        let text = if known.is_empty() { "Meta knows it".to_owned() } else { known.join(", ") };
        findings.push(Finding::fine(about, text).on(Topic::Number));
    }
    findings.push(quality(state, about).on(Topic::Quality));
    findings.push(throughput(sender, state, about).on(Topic::Throughput));
    findings.push(messaging_limit(state, about).on(Topic::MessagingLimit));
    findings
}

fn quality(state: &NumberState, about: &str) -> Finding {
    let remedy = "send less, and only what people asked for; WhatsApp Manager shows which templates they dislike";
    match state.quality {
        Quality::Green => Finding::fine(about, "quality green"),
        Quality::Unknown => Finding::fine(about, "quality unknown: Meta has not rated it yet"),
        Quality::Yellow => Finding::doubtful(about, "quality yellow: some people block or report it", remedy),
        Quality::Red => Finding::wrong(about, "its quality is RED: people block or report it", remedy),
    }
}

fn throughput(sender: &Sender, state: &NumberState, about: &str) -> Finding {
    if let Some(advice) = state.advice_on_pace(sender.messages_per_second) {
        return Finding::doubtful(about, advice, "change messages_per_second of the number");
    }
    let pace = sender.messages_per_second;
    match (state.throughput_per_second, &state.throughput) {
        (Some(rate), _) => Finding::fine(about, format!("up to {rate} messages a second; set here: {pace}")),
        (None, Some(word)) => Finding::fine(about, format!("level {word}; set here: {pace} messages a second")),
        (None, None) => Finding::fine(about, format!("Meta does not tell it; set here: {pace} messages a second")),
    }
}

fn messaging_limit(state: &NumberState, about: &str) -> Finding {
    match &state.messaging_limit {
        Some(limit @ (MessagingLimit::People(_) | MessagingLimit::Unlimited)) => {
            Finding::fine(about, limit.to_string())
        }
        Some(MessagingLimit::Other(_)) | None => Finding::doubtful(
            about,
            "Meta does not say to how many people it may write first within 24 hours",
            "it is set when the business is verified, or has sent for the first time: look again in a day",
        ),
    }
}
