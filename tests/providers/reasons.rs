//! The same reason of WhatsApp's is the same code at CleverTap, whoever carries it: by Meta's code where a carrier passes it
//! on, else by the words.

use serde_json::{Value, json};
use wabridge::{
    domain::failure::{Failure, FailureReason},
    platforms,
    providers::{ALL, Provider},
};

use crate::{cases::cases, parse, wire};

/// Meta's code, Meta's words for it, and CleverTap's code.
const REASONS: &[(i64, &str, u32)] = &[
    (10, "Application does not have permission for this action", 1000),
    (131005, "Access denied", 1000),
    (131045, "Incorrect certificate", 1000),
    (133010, "Phone number not registered", 1000),
    (131008, "Required parameter is missing", 1001),
    (131009, "Parameter value is not valid", 1001),
    (131051, "Unsupported message type", 1001),
    (131053, "Media upload error", 1001),
    (132000, "Number of parameters does not match the expected number of params", 1001),
    (132001, "Template name does not exist in the translation", 1001),
    (132012, "Parameter format does not match format in the created template", 1001),
    (131021, "Recipient cannot be sender", 1002),
    (130429, "Rate limit hit", 1004),
    (131056, "(Business Account, Consumer Account) pair rate limit hit", 1004),
    (131026, "Message undeliverable", 1005),
    (131030, "Recipient phone number not in allowed list", 1005),
    (130403, "Recipient is blocked", 1006),
    (131050, "User has stopped marketing messages", 1006),
    (131047, "Re-engagement message", 1008),
    (131000, "Something went wrong", 1009),
    (131057, "Account in maintenance mode", 1009),
    (131062, "Business-scoped user id recipients are not supported for this message", 1009),
    (130472, "User's number is part of an experiment", 1010),
    (130497, "Business account is restricted from messaging users in this country", 1010),
    (131031, "Account has been locked", 1010),
    (131042, "Business eligibility payment issue", 1010),
    (131048, "Spam rate limit hit", 1010),
    (131049, "This message was not delivered to maintain healthy ecosystem engagement", 1010),
    (131064, "Limited because of template misclassification", 1010),
    (132015, "Template is paused", 1010),
    (132016, "Template is disabled", 1010),
];

/// How a carrier passes a reason on: in its answer to a send, and in a report.
struct Carrier {
    slug: &'static str,
    /// The example among its `errors` whose answer is taken, with another body.
    example: &'static str,
    answer: fn(i64, &str) -> Value,
    report: fn(i64, &str) -> Value,
}

const CARRIERS: &[Carrier] = &[
    Carrier { slug: "meta", example: "parameter-count", answer: metas_answer, report: metas_report },
    Carrier { slug: "360dialog", example: "whatsapps-own", answer: metas_answer, report: metas_report },
    Carrier { slug: "cloud-api", example: "pair-limit", answer: metas_answer, report: metas_report },
    Carrier {
        slug: "gallabox",
        example: "missing-variable",
        answer: |_, words| json!({"message": words}),
        report: |_, words| json!({"id": "wamid.A", "status": "failed", "timestamp": "1790000000", "reason": words}),
    },
    Carrier {
        slug: "commbox",
        example: "recipient-refused-with-206",
        answer: |_, words| json!({"status": "206", "data": [{"recipient": "919876500001", "status": 400, "failed": words}]}),
        report: |_, words| {
            json!({"Event": {"Subscription": "WhatsApp", "Name": "OnFailed", "WhatsApp": {"MessageId": "wamid.A",
                "Error": {"title": words}}}})
        },
    },
    Carrier {
        slug: "gotallo",
        example: "refused-by-a-private-endpoint",
        answer: |_, words| json!({"error": words}),
        report: |_, words| {
            json!({"id": "gt-1", "platform": "WHATSAPP", "platform_id": "n-1", "outbound": true, "status": "FAILED",
                "timestamp": "2026-09-21T13:33:20.000Z", "modified_timestamp": "2026-09-21T13:33:21.000Z",
                "type": "TEMPLATE", "metadata": {"error_message": words}})
        },
    },
    Carrier {
        slug: "http",
        example: "unknown-code",
        answer: |_, words| json!({"error": {"message": words}}),
        report: |_, words| json!({"id": "c-1", "status": "failed", "timestamp": "1790000000", "failed": words}),
    },
];

fn metas_answer(code: i64, words: &str) -> Value {
    json!({"error": {"message": words, "code": code}})
}

fn metas_report(code: i64, words: &str) -> Value {
    let status = json!({"id": "wamid.A", "status": "failed", "timestamp": "1790000000", "recipient_id": "919876500001",
        "errors": [{"code": code, "title": words}]});
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": "100000000000001"},
        "statuses": [status]});
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})
}

fn provider(slug: &str) -> &'static dyn Provider {
    *ALL.iter().find(|provider| provider.slug() == slug).expect("it is a provider")
}

/// What CleverTap gets for a reason.
fn clevertap_code(reason: FailureReason) -> u32 {
    u32::from(platforms::find("clevertap").expect("it is built in").failure_code(reason))
}

impl Carrier {
    fn answered(&self, code: i64, words: &str) -> Failure {
        let examples = cases(self.slug, "errors");
        let example = examples.iter().find(|case| case.to_string().ends_with(self.example));
        let mut case =
            example.unwrap_or_else(|| panic!("{} has no example {}", self.slug, self.example)).json("case.json");
        case["answer"]["body"] = (self.answer)(code, words);
        wire::send(provider(self.slug), &case).outcome.expect_err("it is a refusal").failure
    }

    fn reported(&self, code: i64, words: &str) -> Option<Failure> {
        let body = (self.report)(code, words).to_string();
        let settings = json!({
            "headers": {"x-event-name": "Message.WA.Status.Failed"},
            "settings": {
                "webhook": "status.id /id\nstatus.word /status\nstatus.time /timestamp\nstatus.error.text /failed",
                "webhook_number": "n-9",
            },
        });
        let parsed = parse(provider(self.slug), &settings, body.as_bytes());
        parsed.statuses.into_iter().next()?.failure
    }
}

#[test]
fn a_reason_is_the_same_code_at_clevertap_whoever_carries_it() {
    assert_eq!(CARRIERS.len(), ALL.len(), "every provider carries reasons");
    let mut wrong = Vec::new();
    for carrier in CARRIERS {
        for (code, words, expected) in REASONS {
            let answered = clevertap_code(carrier.answered(*code, words).reason);
            let reported = carrier.reported(*code, words).map(|failure| clevertap_code(failure.reason));
            if (answered, reported) != (*expected, Some(*expected)) {
                wrong.push(format!(
                    "{} of {}: {answered} as an answer and {reported:?} as a report, expected {expected}",
                    words, carrier.slug
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
