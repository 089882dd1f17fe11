//! The platform's text against ours, by the account's policy. Neither logs nor answers (which are logged) quote the platform's
//! text: it has people's names in it. The template's own words have not, so a refusal shows how those go on where the two part. The message keeps no note of it: the request and
//! the template are both stored, so [`differs`] says the same to whoever looks at the message later.

use super::per_minute::PerMinute;
use crate::{
    domain::{
        account::{Account, RenderedBody},
        failure::{Refusal, RefusalKind},
        outbound::Category,
        rendered::{Parting, compare},
        template::{Template, TemplateContent},
    },
    telemetry,
};

/// Differences that are told in the log: a campaign has a million of the same.
const TOLD_PER_MINUTE: u32 = 20;

/// Compares what the platform rendered, and refuses, warns or lets pass.
pub fn check_rendered(
    told: &PerMinute,
    account: &Account,
    template: &Template,
    content: &TemplateContent,
) -> Result<(), Refusal> {
    let policy = account.policy.rendered_body;
    if policy == RenderedBody::Off {
        return Ok(());
    }
    let Some(parting) = differs(template, content) else { return Ok(()) };
    metrics::counter!(telemetry::RENDERED_DIFFERENCES).increment(1);
    if policy == RenderedBody::Refuse {
        let message = format!(
            "body: the text of the message is not that of template {} ({}): {}, and {}; save the template again with the text \
             that WhatsApp has",
            template.name,
            template.language,
            parting.measure,
            parting.of_template()
        );
        return Err(Refusal::new(RefusalKind::Template, message));
    }
    if told.one_more(TOLD_PER_MINUTE) {
        tracing::warn!(
            account.id = account.id,
            template.name = template.name,
            "account {} was shown another text than template {} ({}) has: {}; the message is taken all the same",
            account.id,
            template.name,
            template.language,
            parting.measure
        );
    }
    Ok(())
}

/// Where the platform's text and the template's part. `None` when they do not, and when the platform
/// gave no text. The text of an authentication template is WhatsApp's own, and differs in its small print.
pub fn differs(template: &Template, content: &TemplateContent) -> Option<Parting> {
    match template.category.category() {
        Category::Authentication => None,
        Category::Utility | Category::Marketing | Category::Freeform | Category::NotKnownYet => {
            compare(&template.components.body, &content.body, content.body_text.as_deref()?)
        }
    }
}
