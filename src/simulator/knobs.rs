//! What can be turned while the simulator runs, for everybody. What shall happen to some is a rule.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    dialect::Dialect,
    people::{PersonIds, Timestamps},
    script::StatusScript,
};

/// What can be turned while the simulator runs.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Where webhooks go: the bridge's /webhooks/{provider}/{connection}. Without it, statuses are dropped.
    #[arg(long, value_name = "URL")]
    pub webhook_url: Option<String>,

    /// Whose webhooks are written. Requests are answered in the dialect that they are made in.
    #[arg(long, value_enum, default_value_t = Dialect::Meta)]
    pub dialect: Dialect,

    /// Key of the X-Hub-Signature-256 over every webhook; the bridge needs the same.
    #[arg(long, default_value = "simulator-app-secret")]
    pub app_secret: String,

    /// Value of X-Webhook-Secret in webhooks of the dialect 360dialog, password of the user wabridge in those of commbox; the
    /// bridge needs the same.
    #[arg(long, default_value = "simulator-webhook-secret")]
    pub webhook_secret: String,

    /// The bearer token that sends must carry; any other gets code 190.
    #[arg(long, default_value = "simulator-access-token")]
    pub access_token: String,

    /// Whether the token has whatsapp_business_messaging; otherwise sends and media get code 10.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub may_message: bool,

    /// Whether the token has whatsapp_business_management; otherwise templates, numbers and subscriptions get code 200.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub may_manage: bool,

    /// How many sends a number may make in any second before it gets code 130429; 0 is no limit.
    #[arg(long, default_value_t = 80)]
    pub messages_per_second: u32,

    /// Answer throttles (4, 80007, 130429, 131056) with this HTTP status; without it 130429 has 429 and the others 400.
    #[arg(long, value_name = "STATUS")]
    pub throttle_http_status: Option<u16>,

    /// The app has made too many calls: everything gets code 4.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub app_throttled: bool,

    /// The business account has made too many calls: everything gets code 80007.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub waba_throttled: bool,

    /// How many calls about templates, numbers and subscriptions may be made in an hour before they get 80007; 0 is no limit.
    #[arg(long, default_value_t = 0)]
    pub management_calls_per_hour: u32,

    /// New people beyond the messaging limit (an event sets it) get 131048.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enforce_messaging_limit: bool,

    /// /messages refuses marketing templates with this code: 131061 or 131063.
    #[arg(long, value_name = "CODE")]
    pub messages_refuse_marketing: Option<u32>,

    /// /marketing_messages refuses everything with this code: 131055, 134101 or 134102.
    #[arg(long, value_name = "CODE")]
    pub marketing_messages_refuse: Option<u32>,

    /// What /marketing_messages answers to a template of another category: 134100, 131055 or 100.
    #[arg(long, default_value_t = 134100, value_name = "CODE")]
    pub non_marketing_code: u32,

    /// A location header needs a name and an address, or gets 131008.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub location_header_needs_name: bool,

    /// Milliseconds for which a cursor of the template list works (131059 afterwards); 0 is for ever.
    #[arg(long, default_value_t = 0)]
    pub cursor_ms: u64,

    /// Also limit sends to one person, as Meta does: 45 at once, then one in 6 seconds (code 131056).
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub pair_limit: bool,

    /// Freeform messages need a message from the person within 24 hours, or fail with 131047 after the 200.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enforce_window: bool,

    /// The last four digits of a recipient decide its fate: 0001 fails with 131026, 0012 loses the answer, and so on.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub suffix_rules: bool,

    /// Milliseconds that every send takes to be answered.
    #[arg(long, default_value_t = 0)]
    pub answer_delay_ms: u64,

    /// What is reported of an accepted message: STATUS@MILLISECONDS[xTIMES], separated by commas; "none" for nothing.
    #[arg(long, default_value = "sent@5,delivered@20,read@50", value_name = "SCRIPT")]
    pub status_script: StatusScript,

    /// Share of the readers (0 to 1) who write a text in reply.
    #[arg(long, default_value_t = 0.0)]
    pub reply_text_share: f64,

    /// Share of the readers (0 to 1) who tap the first quick reply button, where there is one.
    #[arg(long, default_value_t = 0.0)]
    pub reply_tap_share: f64,

    /// What those write who reply.
    #[arg(long, default_value = "Thank you 🙏")]
    pub reply_text: String,

    /// Most updates in one webhook. They are not waited for: what is due travels together.
    #[arg(long, default_value_t = 20)]
    pub webhook_batch_max: usize,

    /// Most webhooks that wait for an answer at a time. With 1, they arrive in order.
    #[arg(long, default_value_t = 16)]
    pub webhooks_in_flight_max: usize,

    /// Keep webhooks back until this is false again.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub webhooks_paused: bool,

    /// Milliseconds after which an unanswered webhook counts as refused.
    #[arg(long, default_value_t = 10_000)]
    pub webhook_timeout_ms: u64,

    /// Milliseconds until a refused webhook is posted again; doubled each time.
    #[arg(long, default_value_t = 200)]
    pub webhook_retry_ms: u64,

    /// Longest wait between two tries of a webhook, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    pub webhook_retry_ms_max: u64,

    /// Write webhooks as Meta does: \uXXXX for what is not ASCII, \/ for a slash. The signature is over these bytes.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub escape_json: bool,

    /// Which names of a person webhooks carry. Whoever is addressed by a user id has only that.
    #[arg(long, value_enum, default_value_t = PersonIds::Phone)]
    pub person_ids: PersonIds,

    /// How webhooks write the time of a message or status.
    #[arg(long, value_enum, default_value_t = Timestamps::Seconds)]
    pub timestamps: Timestamps,

    /// Statuses come with contacts, as they do since April 2026, except failures.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub status_contacts: bool,

    /// How many calls of CleverTap's Subscribe API may run at a time before they get 429; 0 is no limit.
    #[arg(long, default_value_t = 3)]
    pub subscribe_in_flight_max: u32,

    /// The passcode that the Subscribe API wants; without one, any will do.
    #[arg(long, value_name = "PASSCODE")]
    pub clevertap_passcode: Option<String>,

    /// People whose number ends so are listed as unprocessed by the Subscribe API.
    #[arg(long, value_name = "DIGITS")]
    pub unprocessed_suffix: Option<String>,

    /// Milliseconds for which the URL of a media file works; afterwards it answers 404.
    #[arg(long, default_value_t = 300_000)]
    pub media_url_ms: u64,

    /// Another beginning of media URLs, for example to see whether a client sends its token to a foreign host.
    #[arg(long, value_name = "URL")]
    pub media_url_base: Option<String>,

    /// Milliseconds that a download of media waits before it is answered.
    #[arg(long, default_value_t = 0)]
    pub media_delay_ms: u64,

    /// Answer every download of media with this HTTP status, and without the file.
    #[arg(long, value_name = "STATUS")]
    pub media_status: Option<u16>,

    /// Write file_size as a string, as some of Meta's samples do.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub media_size_as_text: bool,

    /// Inbound media carry a URL beside the id, as they do since October 2025.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub inbound_media_url: bool,

    /// Sends by a media id that this number did not upload are refused with 131009.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub check_media_ids: bool,

    /// Gallabox gives at most so many conversations or messages at once, however many are asked for; 0 is no limit.
    #[arg(long, default_value_t = 0)]
    pub list_page_max: usize,

    /// Gallabox answers 429 when it is asked for conversations and messages, with so many seconds of Retry-After; 0 is without any.
    #[arg(long, value_name = "SECONDS")]
    pub lists_throttled_s: Option<u32>,

    /// Statuses bring back the send's biz_opaque_callback_data.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub echo_callback_data: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        super::SimulatorSettings::default().knobs
    }
}

impl Knobs {
    /// What cannot work is said before it is believed.
    pub fn validate(&self) -> Result<(), String> {
        for (name, share) in [("reply_text_share", self.reply_text_share), ("reply_tap_share", self.reply_tap_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name} is {share}: a share lies between 0 and 1"));
            }
        }
        for (name, value) in
            [("webhook_batch_max", self.webhook_batch_max), ("webhooks_in_flight_max", self.webhooks_in_flight_max)]
        {
            if value == 0 {
                return Err(format!("{name} is 0: nothing would ever be posted; use webhooks_paused"));
            }
        }
        Ok(())
    }
}
