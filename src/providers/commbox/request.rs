//! What is asked of CommBox for one message. Templates go to a person; a text goes into a conversation of CommBox's own, whose id it
//! has told when the person wrote. For files and places in a conversation it publishes no form.

use serde_json::json;

use super::{
    path_part,
    settings::{BASE_URL, FREEFORM, FREEFORM_PATH, IN_CONVERSATION, OBJECT_PLACE, STREAM_PLACE},
};
use crate::{
    domain::{
        account::{Connection, Sender},
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure},
        outbound::{Freeform, OutboundMessage, SendBody},
    },
    providers::cloud_api::send::template_of,
};

/// CommBox's number for WhatsApp among the kinds of channels, in a conversation's messages.
const WHATSAPP: u8 = 7;
/// Its number for what is said in a conversation.
const CONVERSATION: u8 = 4;

/// A request, but for the key.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) body: String,
}

/// Whether texts go into conversations.
pub(super) fn answers_in_conversations(connection: &Connection) -> bool {
    connection.setting(FREEFORM) == IN_CONVERSATION
}

pub(super) fn build(from: &Sender, message: &OutboundMessage) -> Result<Request, SendFailure> {
    let connection = &from.connection;
    let base = connection.setting(BASE_URL).trim_end_matches('/');
    let stream = path_part(&from.provider_number_id);
    match &message.body {
        SendBody::Template(filled) => {
            let template_data = json!({ "to": message.to.digits(), "template": template_of(filled) });
            Ok(Request {
                url: format!("{base}/v2/whatsapp/sendtemplatedmessage/{stream}"),
                body: json!({ "data": [{ "template_data": template_data }] }).to_string(),
            })
        }
        SendBody::Freeform(Freeform::Text { body }) if answers_in_conversations(connection) => {
            let conversation = message.conversation.as_deref().ok_or_else(|| {
                refused("CommBox has told of no conversation in which this person wrote within the last day: send a template")
            })?;
            let path = connection.setting(FREEFORM_PATH);
            let path = path.replace(STREAM_PLACE, &stream).replace(OBJECT_PLACE, &path_part(conversation));
            let person = message.to.digits();
            let child = json!({"data": {"IsManager": true, "Type": CONVERSATION, "UserIdentity": person,
                "UserStreamProviderId": person, "UserStreamProviderType": WHATSAPP, "Message": body}});
            Ok(Request { url: format!("{base}{path}"), body: child.to_string() })
        }
        SendBody::Freeform(Freeform::Text { .. }) => Err(refused(
            "CommBox takes a message without a template only into a conversation of its own: set the connection's freeform = \
             \"conversation\", send a template, or answer in CommBox",
        )),
        SendBody::Freeform(Freeform::Media { .. } | Freeform::Location(_)) => Err(refused(
            "CommBox publishes no way to send a file or a place without a template: send one in a template's header, or answer in \
             CommBox",
        )),
    }
}

/// Nothing leaves.
fn refused(text: &str) -> SendFailure {
    SendFailure {
        class: FailureClass::GiveUp,
        scope: Scope::Message,
        wait: None,
        tries_max: None,
        failure: Failure::new(FailureReason::OutsideWindow, None, text),
    }
}
