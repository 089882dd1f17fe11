//! Meta's error codes as the simulator gives them: HTTP status and title.
//!
//! The list is short on purpose: an unknown code is answered with 400 and a plain title, as an unknown code of
//! Meta's own would look to a reader of last year's documentation.

/// The HTTP status that goes with a code when it refuses a send, and its title.
pub(super) fn describe(code: u32) -> (u16, &'static str) {
    match code {
        0 => (401, "AuthException"),
        1 => (400, "API Unknown"),
        2 => (503, "API Service"),
        4 => (400, "Application request limit reached"),
        10 => (403, "Permission Denied"),
        100 => (400, "Invalid parameter"),
        190 => (401, "Invalid OAuth access token"),
        368 => (403, "Temporarily blocked for policies violations"),
        80007 => (400, "Rate limit issues"),
        130403 => (400, "Recipient is blocked"),
        130429 => (429, "Rate limit hit"),
        130472 => (400, "User's number is part of an experiment"),
        130497 => (403, "Business account is restricted from messaging users in this country"),
        131000 => (500, "Something went wrong"),
        131005 => (403, "Access denied"),
        131008 => (400, "Required parameter is missing"),
        131009 => (400, "Parameter value is not valid"),
        131016 => (500, "Service unavailable"),
        131021 => (400, "Recipient cannot be sender"),
        131026 => (400, "Message undeliverable"),
        131030 => (400, "Recipient phone number not in allowed list"),
        131031 => (403, "Account has been locked"),
        131042 => (400, "Business eligibility payment issue"),
        131045 => (500, "Incorrect certificate"),
        131047 => (400, "Re-engagement message"),
        131048 => (400, "Spam rate limit hit"),
        131049 => (400, "This message was not delivered to maintain healthy ecosystem engagement"),
        131050 => (400, "User has stopped marketing messages"),
        131051 => (400, "Unsupported message type"),
        131053 => (400, "Media upload error"),
        131056 => (400, "(Business Account, Consumer Account) pair rate limit hit"),
        131057 => (500, "Account in maintenance mode"),
        131059 => (400, "Invalid or expired cursor"),
        132000 => (400, "Number of parameters does not match the expected number of params"),
        132001 => (404, "Template name does not exist in the translation"),
        132005 => (400, "Translated text too long"),
        132012 => (400, "Parameter format does not match format in the created template"),
        132015 => (400, "Template is paused"),
        132016 => (400, "Template is disabled"),
        132018 => (400, "There is an issue with the parameters in the template"),
        133010 => (400, "Phone number not registered"),
        134100 => (400, "Only marketing messages are supported"),
        _ => (400, "Error"),
    }
}
