//! GoTallo: what it posts of the messages that its users and their customers write, and, where an operator has an endpoint of
//! theirs to send by, the settings of the [configurable carrier](super::http).
//!
//! GoTallo documents its webhook and no way to send, signs nothing, and promises no order; so webhooks are known by the
//! secret part of their URL, and what comes late or twice is sorted out where all statuses are.

mod webhook;

use self::webhook::{STATUS_BY, check_status_by};
use super::{
    SettingField, WebhookForm,
    http::{
        Described,
        settings::{
            ADDRESSES_FIELD, ANSWER_FIELD, AUTH_FIELD, AUTH_NAME_FIELD, AUTH_SECRET_FIELD, BASE_URL_FIELD,
            BODY_LOCATION_FIELD, BODY_MEDIA_FIELD, BODY_TEMPLATE_FIELD, BODY_TEXT_FIELD, CATEGORY_FIELD,
            ERROR_MEANINGS_FIELD, FORMAT_FIELD, HEADERS_FIELD, METHOD_FIELD, PASSWORD_FIELD, PATH_FIELD,
            SUCCESS_STATUS_FIELD, TEMPLATES_FIELD, URL_TOKEN_FIELD, USERNAME_FIELD,
        },
    },
};

/// GoTallo, formerly Social25.
pub static GOTALLO: Described = Described {
    slug: "gotallo",
    settings: SETTINGS,
    form: WebhookForm {
        name: "GoTallo",
        place: "GoTallo Configuration → Integrations and Webhooks → Add Service",
        asks_once: false,
        fields: &[],
    },
    parse_webhook: webhook::parse,
    parse_inbound: webhook::parse_inbound,
};

const SETTINGS: &[SettingField] = &[
    URL_TOKEN_FIELD,
    ADDRESSES_FIELD,
    USERNAME_FIELD,
    PASSWORD_FIELD,
    SettingField {
        name: STATUS_BY,
        label: "Messages are known by",
        help: "Which id of a message the sending endpoint answers with: id (GoTallo's own) or ext_identifier (WhatsApp's)",
        choices: &[("id", "id, GoTallo's own"), ("ext_identifier", "ext_identifier, WhatsApp's")],
        chosen_here: false,
        secret: false,
        list: false,
        required: false,
        default: Some("id"),
        check: Some(check_status_by),
    },
    BASE_URL_FIELD,
    PATH_FIELD,
    METHOD_FIELD,
    AUTH_FIELD,
    AUTH_NAME_FIELD,
    AUTH_SECRET_FIELD,
    HEADERS_FIELD,
    FORMAT_FIELD,
    BODY_TEMPLATE_FIELD,
    BODY_TEXT_FIELD,
    BODY_MEDIA_FIELD,
    BODY_LOCATION_FIELD,
    SUCCESS_STATUS_FIELD,
    ANSWER_FIELD,
    ERROR_MEANINGS_FIELD,
    TEMPLATES_FIELD,
    CATEGORY_FIELD,
];
