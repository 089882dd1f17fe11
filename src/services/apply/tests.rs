//! The apply file from the outside: text in; records, problems and differences out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::{ApplyFile, ApplyProblem, Surroundings, all_problems, difference::difference, parse, read};
use crate::{
    domain::{
        account::{ForbiddenWhiteSpace, RenderedBody, SenderPolicy, TestMessages},
        callback::EventKind,
    },
    providers::SettingField,
    services::webhooks::Allowed,
    settings::Settings,
    store::configuration::Configuration,
};

const fn field(name: &'static str, secret: bool, required: bool, default: Option<&'static str>) -> SettingField {
    SettingField {
        name,
        label: name,
        choices: &[],
        chosen_here: false,
        help: "copy it from the provider's console",
        secret,
        list: secret,
        required,
        default,
        check: None,
    }
}

/// A provider that exists only here.
static FIELDS: [SettingField; 4] = [
    field("base_url", false, false, Some("https://carrier.example.com")),
    field("region", false, false, None),
    field("access_token", true, true, None),
    field("app_secret", true, false, None),
];

pub(crate) fn parse_with(text: &str, http_allowed: bool) -> Result<ApplyFile, Vec<ApplyProblem>> {
    let environment = BTreeMap::from([("TOKEN", "token-1"), ("PASS", "pass-1"), ("EMPTY", "")]);
    let environment = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    let ages = Settings::defaults().retention;
    let surroundings = Surroundings {
        environment: &environment,
        allowed: Allowed { private_networks: http_allowed, emails: false },
        ages: &ages,
        providers: vec![("carrier", &FIELDS)],
        platforms: vec!["clevertap"],
    };
    parse(text, "wa.toml", &surroundings)
}

fn problems(text: &str) -> Vec<String> {
    parse_with(text, false).expect_err("there is something wrong").iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_problem(text: &str, starts_with: &str, mentions: &str) {
    let found = problems(text);
    let matching = found.iter().find(|problem| problem.starts_with(starts_with));
    let matching = matching.unwrap_or_else(|| panic!("no problem begins with {starts_with}: {found:#?}"));
    assert!(matching.contains(mentions), "{matching}");
}

pub(crate) const WHOLE: &str = r#"
[[connections]]
id = "main"
provider = "carrier"
access_token = "${TOKEN}"
app_secret = ["new", "old"]

[[accounts]]
id = "acme"
name = "Acme Retail"
platform = "clevertap"
clevertap_account_id = "TEST-ACC-1"
clevertap_passcode = ["${PASS}-x", "older"]
clevertap_region = "in1"
basic_username = "acme"
basic_password = "hush"
bearer_token = "bear"
url_token = "0123456789abcdefghij"
delivery_report_callback_url = "https://reports.example.com/dlr?key=1"
inbound_message_callback_url = "https://reports.example.com/in"
default_country = "IN"
time_zone = "Asia/Kolkata"
test_messages = "deliver"
dummy_numbers = ["+919870000000"]
unknown_outcome = "resend"
expire_after = { marketing = "2h", freeform = "5m" }
rendered_body = "refuse"
forbidden_white_space = "clean"
allowed_addresses = ["203.0.113.0/24", "198.51.100.7"]

[accounts.headers]
X-Api-Key = "head"

[[accounts.senders]]
number = "+919876500001"
connection = "main"
phone_number_id = "100000000000001"
waba_id = "200000000000001"
messages_per_second = 250
location_name = "Acme"
location_address = "1 Hill Road, Mumbai"

[[accounts.senders]]
number = "+919876500002"
connection = "main"
phone_number_id = "100000000000002"
waba_id = "200000000000001"
delivery_report_callback_url = "https://reports.example.com/second"
"#;

/// The shortest account that works, to append a mistake to: its last line is line 6.
const ACCOUNT: &str = "[[accounts]]\nid = \"a\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\n\n\n";
const CONNECTION: &str = "[[connections]]\nid = \"c\"\nprovider = \"carrier\"\naccess_token = \"t\"\n\n\n";

/// Whatever stands in the place of a value, it is told in the words of the file.
#[test]
fn a_value_of_the_wrong_shape_is_told_without_our_types() {
    let ours = ["struct", "enum", "variant", "untagged", "tuple", "expected a", "borrowed", "invalid type"];
    let mut told = 0;
    for (at, line) in WHOLE.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        for wrong in ["5", "true", "[[1]]", "{ x = 1 }", "\"?\"", "1979-05-27", "[{ x = [] }]", "-0.5"] {
            let mut lines: Vec<&str> = WHOLE.lines().collect();
            let broken = format!("{key} = {wrong}");
            lines[at] = &broken;
            let found = parse_with(&lines.join("\n"), false).err().unwrap_or_default();
            for problem in found.iter().map(ToString::to_string) {
                assert!(!ours.iter().any(|word| problem.contains(word)), "{broken}: {problem}");
                told += 1;
            }
        }
    }
    assert!(told > 150, "only {told} problems");
}

#[test]
fn a_whole_file_is_understood() {
    let file = parse_with(WHOLE, false).expect("nothing is wrong");

    let connection = &file.connections[0].what;
    assert_eq!(connection.settings["base_url"], "https://carrier.example.com");
    assert!(!connection.settings.contains_key("region"));
    assert_eq!(connection.secrets["access_token"][0].expose_secret(), "token-1");
    assert_eq!(connection.secrets["app_secret"].len(), 2);

    let account = &file.accounts[0].what;
    assert_eq!(account.policy.platform_account_id, "TEST-ACC-1");
    assert_eq!(account.policy.test_messages, TestMessages::Deliver);
    assert_eq!(account.policy.dummy_numbers, ["+919870000000"]);
    assert_eq!(account.policy.expire_after.marketing.as_secs(), 7200);
    assert_eq!(account.policy.expire_after.utility.as_secs(), 3600, "a default");
    assert_eq!(account.policy.rendered_body, RenderedBody::Refuse);
    assert_eq!(account.policy.forbidden_white_space, ForbiddenWhiteSpace::Clean);
    let allowed: Vec<String> = account.policy.allowed_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["203.0.113.0/24", "198.51.100.7/32"]);
    assert_eq!(account.credentials.passcodes[0].expose_secret(), "pass-1-x");
    assert_eq!(account.credentials.headers["x-api-key"].expose_secret(), "head");
    assert!(account.enabled);

    assert_eq!(file.senders[0].what.messages_per_second, 250);
    assert_eq!(file.senders[0].what.policy.location_name.as_deref(), Some("Acme"));
    assert_eq!(file.senders[0].what.policy.location_address.as_deref(), Some("1 Hill Road, Mumbai"));
    assert_eq!(file.senders[1].what.policy, SenderPolicy::default());
    assert_eq!(file.senders[1].what.messages_per_second, 80, "a default");
    assert_eq!(file.senders[1].what.number.as_e164(), "+919876500002");

    let wanted: Vec<_> =
        file.subscriptions.iter().map(|stated| &stated.what).filter(|what| what.url.is_some()).collect();
    assert_eq!(wanted.len(), 3);
    assert_eq!(wanted[2].kind, EventKind::Status);
    assert_eq!(wanted[2].sender.as_ref().expect("its own").as_e164(), "+919876500002");
}

#[test]
fn an_empty_file_asks_for_nothing() {
    let file = parse_with("# nothing yet\n", false).expect("nothing is wrong");
    assert!(file.accounts.is_empty() && file.connections.is_empty());
}

#[test]
fn every_problem_is_told_at_once_with_its_line_and_field() {
    let text = "[[connections]]\nid = \"Main\"\nprovider = \"carrier\"\naccess_token = 7\nacess_token = \"x\"\n\n\
                [[accounts]]\nid = \"acme\"\nplatform = \"clevertap\"\nclevertap_passcode = \"${NOBODY_SET_THIS}\"\n\
                time_zone = \"Asia/Calcuta\"\n\n[[accounts.senders]]\nnumber = \"98765\"\nmessages_per_second = 0\n";

    let found = problems(text);

    for start in [
        "wa.toml:2: connections.id: ",
        "wa.toml:4: connections.access_token: ",
        "wa.toml:5: connections.acess_token: ",
        "wa.toml:7: accounts.clevertap_account_id: ",
        "wa.toml:10: accounts.clevertap_passcode: needs the environment variable NOBODY_SET_THIS",
        "wa.toml:11: accounts.time_zone: ",
        "wa.toml:13: accounts.senders.connection: is missing",
        "wa.toml:13: accounts.senders.phone_number_id: is missing",
        "wa.toml:13: accounts.senders.waba_id: is missing",
        "wa.toml:14: accounts.senders.number: ",
        "wa.toml:15: accounts.senders.messages_per_second: ",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(start)), "{start} in {found:#?}");
    }
    assert_eq!(found.len(), 11, "{found:#?}");
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    assert_problem("[[accounts]]\nid = \"acme\nplatform = \"clevertap\"\n", "wa.toml:2: ", "not TOML");
    assert_problem("[[accounts]]\nid = \"a\"\nid = \"b\"\n", "wa.toml:3: ", "not TOML");
}

#[test]
fn sections_of_the_wrong_shape_are_named() {
    assert_problem("accounts = 1\n", "wa.toml:1: accounts: ", "[[accounts]]");
    assert_problem("[accounts]\nid = \"a\"\n", "wa.toml:1: accounts: ", "[[accounts]]");
    assert_problem("accounts = [1]\n", "wa.toml:1: accounts: ", "section");
    assert_problem("[[acounts]]\n", "wa.toml:1: acounts: ", "did you mean accounts?");
    assert_problem(&format!("{ACCOUNT}expire_after = \"6h\""), "wa.toml:7: accounts.expire_after: ", "section");
    assert_problem(
        &format!("{ACCOUNT}expire_after.sometimes = \"6h\""),
        "wa.toml:7: accounts.expire_after.sometimes",
        "marketing",
    );
}

#[test]
fn a_provider_or_platform_that_does_not_exist_is_named_with_those_that_do() {
    let text = "[[connections]]\nid = \"c\"\nprovider = \"pigeon\"\n";
    assert_problem(text, "wa.toml:3: connections.provider: ", "carrier");
    let text = "[[accounts]]\nid = \"a\"\nplatform = \"pigeon\"\n";
    assert_problem(text, "wa.toml:3: accounts.platform: ", "clevertap");
}

#[test]
fn each_value_is_checked() {
    for (line, field, mentions) in [
        ("default_country = \"XX\"", "default_country", "ISO 3166"),
        ("time_zone = \"IST5\"", "time_zone", "Asia/Kolkata"),
        ("test_messages = \"maybe\"", "test_messages", "auto, deliver or validate"),
        ("unknown_outcome = \"hope\"", "unknown_outcome", "report_failed or resend"),
        ("rendered_body = \"maybe\"", "rendered_body", "off, warn or refuse"),
        ("forbidden_white_space = \"keep\"", "forbidden_white_space", "refuse or clean"),
        ("allowed_addresses = [\"example.com\"]", "allowed_addresses", "203.0.113.0/24"),
        ("enabled = \"yes\"", "enabled", "true or false"),
        ("dummy_numbers = [\"+1\"]", "dummy_numbers", "+919876500001"),
        ("dummy_numbers = \"+919876500001\"", "dummy_numbers", "must be a list"),
        ("dummy_numbers = [\"919876500001\"]", "dummy_numbers", "must begin with +"),
        ("dummy_numbers = [\"+9188801100\"]", "dummy_numbers", "is no number"),
        ("url_token = \"short\"", "url_token", "openssl"),
        ("url_token = \"../../0123456789abcdef\"", "url_token", "openssl"),
        ("basic_username = \"me\"", "basic_password", "goes with basic_username"),
        ("basic_password = \"me\"", "basic_username", "goes with basic_password"),
        ("delivery_report_callback_url = \"http://reports.example.com/\"", "delivery_report_callback_url", "https://"),
        ("inbound_message_callback_url = \"reports.example.com\"", "inbound_message_callback_url", "not a URL"),
        ("expire_after = { utility = \"0s\" }", "expire_after.utility", "15m"),
        ("expire_after = { utility = \"90d\" }", "expire_after.utility", "7d"),
        ("headers = { \"no such\" = \"x\" }", "headers.no such", "HTTP header"),
        ("headers = { a = \"x\", A = \"y\" }", "headers.A", "twice"),
        ("headers = {}", "headers.*", "1 to 20"),
        ("name = \"${EMPTY}\"", "name", "EMPTY"),
        ("name = \"${NOT CLOSED\"", "name", "}"),
        ("name = \"${not-a-name}\"", "name", "letters"),
        ("clevertap_passcode = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\"]", "clevertap_passcode", "at most 5"),
        ("clevertap_passcode = \"\"", "clevertap_passcode", "empty"),
    ] {
        let found = problems(&format!("{ACCOUNT}{line}\n"));
        let start = format!("accounts.{field}: ");
        let matching = found.iter().find(|problem| problem.contains(&start));
        assert!(matching.is_some_and(|problem| problem.contains(mentions)), "{line}: {found:#?}");
    }
    assert_problem(
        &format!("{CONNECTION}base_url = \"ftp://x.example.com\""),
        "wa.toml:7: connections.base_url: ",
        "https",
    );
    assert_problem(
        "[[accounts]]\nid = \"a\"\nplatform = \"clevertap\"\n",
        "wa.toml:1: accounts.clevertap_passcode",
        "nobody could send",
    );
}

/// With the real provider, whose checks these are.
fn meta_problems(text: &str) -> Vec<String> {
    let allowed = Allowed { private_networks: false, emails: false };
    let ages = Settings::defaults().retention;
    let surroundings = Surroundings::new(&|_| None, allowed, &ages);
    let (file, problems) = read(text, "wa.toml", &surroundings);
    all_problems(&Configuration::default(), &file, problems).iter().map(ToString::to_string).collect()
}

#[test]
fn what_only_the_provider_knows_is_checked_by_it_and_all_in_one_round() {
    let text = "[[connections]]\nid = \"main\"\nprovider = \"mta\"\naccess_token = \"t\"\napp_secret = \"s\"\n\
                verify_token = \"v\"\napi_version = \"foo\"\nmarketing_endpoint = \"x\"\n\n\
                [[accounts]]\nid = \"acme\"\nplatform = \"clevertab\"\nbearer_token = \"b\"\ntime_zone = \"IST5\"\n\n\
                [[accounts.senders]]\nnumber = \"8880110044\"\nconnection = \"main\"\nphone_number_id = \"abc\"\nwaba_id = \"1\"\n\n\
                [[accounts.senders]]\nnumber = \"+918880110044\"\nconnection = \"mian\"\nphone_number_id = \"2\"\nwaba_id = \"1\"\n";

    let found = meta_problems(text);

    for (start, mentions) in [
        ("wa.toml:3: connections.provider: ", "meta"),
        ("wa.toml:7: connections.api_version: ", "v26.0"),
        ("wa.toml:8: connections.marketing_endpoint: ", "marketing_messages"),
        ("wa.toml:12: accounts.platform: ", "clevertap"),
        ("wa.toml:14: accounts.time_zone: ", "Asia/Kolkata"),
        ("wa.toml:17: accounts.senders.number: ", "must begin with +"),
        ("wa.toml:19: accounts.senders.phone_number_id: ", "digits only"),
        ("wa.toml:24: accounts.senders.connection: ", "there is no connection mian"),
    ] {
        let told = found.iter().any(|problem| problem.starts_with(start) && problem.contains(mentions));
        assert!(told, "{start} in {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn of_keys_that_nobody_knows_the_one_that_was_meant_is_told() {
    assert_problem(&format!("{ACCOUNT}nmae = \"x\"\n"), "wa.toml:7: accounts.nmae: ", "did you mean name?");
    let country = format!("{ACCOUNT}default_county = \"IN\"\n");
    assert_problem(&country, "wa.toml:7: accounts.default_county: ", "did you mean default_country? README.md");
    let hours = format!("{ACCOUNT}quiet_hours = {{ form = \"21:00\" }}\n");
    assert_problem(&hours, "wa.toml:7: accounts.quiet_hours.form: ", "did you mean from?");
    let days = format!("{ACCOUNT}quiet_hours = {{ weekdays = \"all\" }}\n");
    assert_problem(&days, "wa.toml:7: accounts.quiet_hours.weekdays: ", "use one of categories, from, to");
    let odd = problems(&format!("{ACCOUNT}colour_of_the_sky = 1\n")).concat();
    assert!(odd.contains("README.md, “The apply file”, lists all") && odd.chars().count() < 150, "{odd}");
}

#[test]
fn two_dollars_before_a_brace_stand_for_one() {
    let name = |text: &str| {
        let file = parse_with(&format!("{ACCOUNT}name = \"{text}\"\n"), false).expect("nothing is wrong");
        file.accounts[0].what.name.clone()
    };
    assert_eq!(name("$${TOKEN} is ${TOKEN}"), "${TOKEN} is token-1");
    assert_eq!(name("$$ $${"), "$$ ${");
}

#[test]
fn http_is_for_trials() {
    let text = format!("{ACCOUNT}delivery_report_callback_url = \"http://127.0.0.1:9000/dlr\"\n");

    assert!(parse_with(&text, false).is_err());
    parse_with(&text, true).expect("allowed");
}

#[test]
fn nothing_may_be_stated_twice() {
    assert_problem(&format!("{CONNECTION}{CONNECTION}"), "wa.toml:7: connections.id: ", "line 1");
    assert_problem(&format!("{ACCOUNT}{ACCOUNT}"), "wa.toml:7: accounts.id: ", "line 1");
    let sender = |number: &str, id: &str| {
        format!(
            "[[accounts.senders]]\nnumber = \"{number}\"\nconnection = \"c\"\nphone_number_id = \"{id}\"\nwaba_id = \"w\"\n"
        )
    };
    let twice = [sender("+919876500001", "1"), sender("+919876500001", "2")].concat();
    assert_problem(&format!("{ACCOUNT}{twice}"), "wa.toml:12: accounts.senders.number: ", "line 7");
    let twice = [sender("+919876500001", "1"), sender("+919876500002", "1")].concat();
    assert_problem(&format!("{ACCOUNT}{twice}"), "wa.toml:12: accounts.senders.phone_number_id: ", "line 7");
}

#[test]
fn a_secret_that_was_not_copied_well_is_found_when_it_is_entered() {
    let connection = CONNECTION.replace("\"t\"", "\"t \"");
    assert_problem(&connection, "wa.toml:4: connections.access_token:", "begins or ends with a space");
    let account = ACCOUNT.replace("\"b\"", "\" b\"");
    assert_problem(&account, "wa.toml:4: accounts.bearer_token:", "begins or ends with a space");
    let header = format!("{ACCOUNT}headers = {{ x-key = \"a\\nb\" }}\n");
    assert_problem(&header, "wa.toml:7: accounts.headers.x-key:", "has a line break");
}

#[test]
fn a_problem_never_quotes_a_secret() {
    let text = format!(
        "{CONNECTION}app_secret = [1, \"s3cret\", \"\"]\n{ACCOUNT}url_token = \"s3cret\"\n\
         delivery_report_callback_url = \"ftp://s3cret.example.com/s3cret\"\nbasic_username = \"s3cret:\"\n"
    );
    let found = problems(&text).join("\n");
    assert!(!found.contains("s3cret"), "{found}");
}

#[test]
fn everything_in_a_file_is_new_to_an_empty_database() {
    let file = parse_with(WHOLE, false).expect("nothing is wrong");

    let difference = difference(&Configuration::default(), &file).expect("nothing is in the way");

    let lines: Vec<_> = difference.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "+ connection main",
            "+ account acme",
            "+ sender +919876500001",
            "+ sender +919876500002",
            "+ callbacks with delivery reports of account acme",
            "+ callbacks with inbound messages of account acme",
            "+ callbacks with delivery reports of +919876500002 of account acme",
        ]
    );
}

#[test]
fn a_connection_that_exists_nowhere_is_named() {
    let text = WHOLE.replace("connection = \"main\"", "connection = \"mian\"");
    let file = parse_with(&text, false).expect("it may be in the database");

    let found = difference(&Configuration::default(), &file).expect_err("it is not");

    assert_eq!(found.len(), 2);
    assert!(found[0].to_string().starts_with("wa.toml:36: accounts.senders.connection: there is no connection mian"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,400}") {
        drop(parse_with(&text, false));
    }

    /// Text that looks more like the real thing gets further.
    #[test]
    fn no_damage_to_a_file_makes_the_reader_panic(at in 0usize..WHOLE.len(), cut in 0usize..40, put in "[\\[\\]{}=\"'$\\n.a-z0-9 ]{0,12}") {
        let mut text = WHOLE.to_owned();
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &put);
        if let Err(problems) = parse_with(&text, false) {
            let lines = text.split('\n').count();
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
        }
    }
}

fn account_with(lines: &str) -> String {
    format!("[[accounts]]\nid = \"acme\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\n{lines}")
}

fn policy_of(lines: &str) -> crate::domain::account::AccountPolicy {
    let file = parse_with(&account_with(lines), false).expect("nothing is wrong with the file");
    file.accounts.into_iter().next().expect("it has an account").what.policy
}

#[test]
fn quiet_hours_are_of_marketing_unless_the_file_says_more() {
    let shown = |lines| policy_of(lines).quiet_hours.map(|hours| hours.to_string());

    assert_eq!(shown(""), None);
    assert_eq!(
        shown("quiet_hours = { from = \"21:00\", to = \"09:00\" }").as_deref(),
        Some("21:00 to 09:00 for marketing")
    );
    assert_eq!(
        shown("quiet_hours = { from = \"12:00\", to = \"13:30\", categories = [\"marketing\", \"utility\"] }")
            .as_deref(),
        Some("12:00 to 13:30 for marketing and utility")
    );
}

#[test]
fn quiet_hours_that_nobody_could_keep_are_refused() {
    let hours = |inside: &str| account_with(&format!("quiet_hours = {{ {inside} }}"));

    assert_problem(&hours("from = \"21:00\""), "wa.toml:5: accounts.quiet_hours.to:", "is missing");
    assert_problem(&hours("from = \"9\", to = \"10:00\""), "wa.toml:5: accounts.quiet_hours.from:", "like 21:00");
    assert_problem(&hours("from = \"09:00\", to = \"09:00\""), "wa.toml:5: accounts.quiet_hours.to:", "the same");
    assert_problem(
        &hours("from = \"21:00\", to = \"09:00\", categories = [\"freeform\"]"),
        "wa.toml:5: accounts.quiet_hours.categories:",
        "cannot wait",
    );
}

#[test]
fn the_platforms_own_list_is_told_only_when_asked_and_only_with_credentials() {
    let credentials = "clevertap_account_id = \"A\"\nclevertap_api_passcode = \"p\"\nclevertap_region = \"in1\"\n";
    let policy = policy_of(&format!("{credentials}subscribe_sync = {{ path = \"/2/subscribe\" }}"));

    assert!(!policy_of("").subscribe_sync.enabled);
    assert!(policy.subscribe_sync.enabled && policy.subscribe_sync.path == "/2/subscribe");
    assert_eq!((policy.subscribe_sync.kind.as_str(), policy.platform_region.as_deref()), ("whatsapp", Some("in1")));
    assert_problem(
        &account_with("subscribe_sync = {}"),
        "wa.toml:1: accounts.subscribe_sync:",
        "clevertap_api_passcode",
    );
    assert_problem(
        &account_with("clevertap_region = \"evil.example/\""),
        "wa.toml:5: accounts.clevertap_region:",
        "short name",
    );
}
