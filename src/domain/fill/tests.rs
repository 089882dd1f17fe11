mod buttons;

use super::*;
use crate::domain::template::{
    ButtonContent, ButtonContentKind, FilledButton, TemplateButtonKind, TemplateCategory, TemplateComponents,
    TemplateStatus,
};

fn template(components: TemplateComponents) -> Template {
    Template {
        provider_id: "1".to_owned(),
        name: "order_ready".to_owned(),
        language: "en".to_owned(),
        status: TemplateStatus::Approved,
        category: TemplateCategory::Utility,
        components,
        time_to_live_s: None,
    }
}

static NO_POLICY: SenderPolicy = SenderPolicy { location_name: None, location_address: None };

fn strict() -> FillRules<'static> {
    FillRules { tolerate_placeholders: false, white_space: ForbiddenWhiteSpace::Refuse, sender: &NO_POLICY }
}

fn text(text: &str) -> TemplateText {
    TemplateText::parse(text.to_owned())
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn with_header(header: TemplateHeader) -> TemplateComponents {
    TemplateComponents { header: Some(header), ..TemplateComponents::default() }
}

fn with_body(body: &str) -> TemplateComponents {
    TemplateComponents { body: text(body), ..TemplateComponents::default() }
}

fn with_buttons(buttons: &[(TemplateButtonKind, &str)]) -> TemplateComponents {
    let buttons = buttons.iter().map(|(kind, text)| TemplateButton { kind: kind.clone(), text: (*text).to_owned() });
    TemplateComponents { buttons: buttons.collect(), ..TemplateComponents::default() }
}

fn header(header: HeaderContent) -> TemplateContent {
    TemplateContent { header: Some(header), ..TemplateContent::default() }
}

fn media(kind: MediaKind, url: &str) -> TemplateContent {
    header(HeaderContent::Media { kind, url: url.to_owned(), filename: Some("invoice.pdf".to_owned()) })
}

fn place(latitude: &str, longitude: &str) -> Location {
    Location { latitude: latitude.to_owned(), longitude: longitude.to_owned(), ..Location::default() }
}

fn body(texts: &[&str]) -> TemplateContent {
    TemplateContent { body: strings(texts), ..TemplateContent::default() }
}

fn button(kind: ButtonContentKind, text: &str, index: i64, value: &str) -> ButtonContent {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ButtonContent { kind, index: Some(index), text: some(text), value: some(value) }
}

fn filled(needs: &TemplateComponents, content: &TemplateContent) -> Vec<FilledComponent> {
    fill(&template(needs.clone()), content, strict()).expect("the content fills the template").components
}

fn refusal(needs: &TemplateComponents, content: &TemplateContent) -> String {
    let refusal =
        fill(&template(needs.clone()), content, strict()).expect_err("the content does not fill the template");
    assert_eq!(refusal.kind, RefusalKind::Template);
    refusal.message
}

fn tracking() -> TemplateButtonKind {
    TemplateButtonKind::DynamicUrl { prefix: "https://shop.example/o/".to_owned() }
}

fn suffix(position: usize, suffix: &str) -> FilledComponent {
    FilledComponent::Button { position, value: FilledButton::UrlSuffix(suffix.to_owned()) }
}

#[test]
fn a_filled_template_carries_whatsapps_spelling_and_not_the_platforms() {
    let content = TemplateContent { name: "Order_Ready".to_owned(), language: "EN".to_owned(), ..body(&["Asha"]) };

    let filled = fill(&template(with_body("Hi {{1}}")), &content, strict()).expect("the content fills the template");

    assert_eq!((filled.name.as_str(), filled.language.as_str()), ("order_ready", "en"));
    assert_eq!(filled.components, [FilledComponent::Body(vec![FilledText { name: None, text: "Asha".to_owned() }])]);
}

#[test]
fn a_template_without_variables_needs_nothing() {
    let needs = TemplateComponents { header: Some(TemplateHeader::Text(text("Hello"))), ..with_body("Bye") };

    assert_eq!(filled(&needs, &TemplateContent::default()), []);
    assert_eq!(filled(&needs, &header(HeaderContent::Text { parameters: vec![] })), []);
}

#[test]
fn a_wrong_number_of_parameters_is_refused_with_both_numbers() {
    let needs = with_body("{{1}} {{2}} {{3}}, again {{1}}");

    assert_eq!(
        refusal(&needs, &body(&["a", "b"])),
        "body: template order_ready needs 3 parameters, got 2; add what is missing"
    );
    assert_eq!(
        refusal(&with_body("Hi {{1}}"), &body(&["a", "b"])),
        "body: template order_ready needs 1 parameter, got 2; remove what is too much"
    );
    assert_eq!(
        refusal(&with_header(TemplateHeader::Text(text("Hi {{1}}"))), &TemplateContent::default()),
        "header: template order_ready needs 1 parameter, got 0; add what is missing"
    );
}

#[test]
fn named_variables_get_the_parameters_in_order_of_appearance() {
    let filled = filled(&with_body("{{name}}, {{code}} for {{name}}"), &body(&["Asha", "A-17"]));

    let named = |name: &str, text: &str| FilledText { name: Some(name.to_owned()), text: text.to_owned() };
    assert_eq!(filled, [FilledComponent::Body(vec![named("name", "Asha"), named("code", "A-17")])]);
}

#[test]
fn values_that_whatsapp_forbids_are_refused() {
    for (value, trouble) in [
        ("", "is empty; give it a value, or a default for people without one"),
        (" ", "is empty; give it a value, or a default for people without one"),
        ("a\nb", "contains a line break, which WhatsApp forbids; remove it"),
        ("a\r\nb", "contains a line break, which WhatsApp forbids; remove it"),
        ("a\tb", "contains a tab, which WhatsApp forbids; remove it"),
        ("a     b", "contains too many spaces in a row, which WhatsApp forbids; leave at most four"),
    ] {
        assert_eq!(
            refusal(&with_body("{{1}} {{2}}"), &body(&["fine", value])),
            format!("body: parameter 2 of template order_ready {trouble}")
        );
    }
    filled(&with_body("{{1}}"), &body(&["a    b"]));
}

#[test]
fn forbidden_white_space_is_cleaned_where_the_account_wants_it() {
    let rules = FillRules { white_space: ForbiddenWhiteSpace::Clean, ..strict() };
    let needs =
        TemplateComponents { buttons: with_buttons(&[(tracking(), "Track")]).buttons, ..with_body("{{1}} {{2}}") };
    let content = TemplateContent {
        buttons: vec![button(ButtonContentKind::DynamicUrl, "", 0, "A-17\n")],
        ..body(&["1 Hill Road\r\n\tMumbai", "a    b"])
    };

    let filled = fill(&template(needs.clone()), &content, rules).expect("what WhatsApp forbids is cleaned away");

    let value = |text: &str| FilledText { name: None, text: text.to_owned() };
    let expected = FilledComponent::Body(vec![value("1 Hill Road Mumbai"), value("a    b")]);
    assert_eq!(filled.components, [expected, suffix(0, "A-17")]);
    let nothing = fill(&template(with_body("{{1}}")), &body(&["\n\t"]), rules).expect_err("nothing is left of it");
    assert!(nothing.message.starts_with("body: parameter 1 of template order_ready is empty"), "{}", nothing.message);
}

#[test]
fn named_variables_of_header_and_body_are_filled_apart() {
    let needs = TemplateComponents {
        header: Some(TemplateHeader::Text(text("For {{name}}"))),
        ..with_body("{{day}}, {{name}}")
    };
    let content = TemplateContent {
        header: Some(HeaderContent::Text { parameters: strings(&["Asha"]) }),
        ..body(&["Monday", "Ravi"])
    };

    let named = |name: &str, text: &str| FilledText { name: Some(name.to_owned()), text: text.to_owned() };
    assert_eq!(
        filled(&needs, &content),
        [
            FilledComponent::Header(FilledHeader::Text(named("name", "Asha"))),
            FilledComponent::Body(vec![named("day", "Monday"), named("name", "Ravi")]),
        ]
    );
}

#[test]
fn a_media_header_must_be_of_the_kind_that_was_approved() {
    let needs = with_header(TemplateHeader::Media(MediaKind::Document));

    let FilledComponent::Header(FilledHeader::Media { kind, url, filename }) =
        &filled(&needs, &media(MediaKind::Document, "https://cdn.example/1.pdf"))[0]
    else {
        panic!("a media header was asked for")
    };
    assert_eq!(
        (*kind, url.as_str(), filename.as_deref()),
        (MediaKind::Document, "https://cdn.example/1.pdf", Some("invoice.pdf"))
    );

    assert_eq!(
        refusal(&needs, &media(MediaKind::Image, "https://cdn.example/1.png")),
        "header: template order_ready needs a document header, got an image header; change the header of the message"
    );
    assert_eq!(
        refusal(&needs, &TemplateContent::default()),
        "header: template order_ready needs a document header, got none; change the header of the message"
    );
    assert_eq!(
        refusal(&TemplateComponents::default(), &media(MediaKind::Image, "https://cdn.example/1.png")),
        "header: template order_ready has no header; remove it from the message"
    );
    assert_eq!(
        refusal(&with_header(TemplateHeader::Text(text("Hi"))), &header(HeaderContent::Location(place("1", "2")))),
        "header: template order_ready needs a text header, got a location header; change the header of the message"
    );
}

#[test]
fn only_a_document_has_a_file_name() {
    let filled = filled(
        &with_header(TemplateHeader::Media(MediaKind::Image)),
        &media(MediaKind::Image, "https://cdn.example/1"),
    );

    let expected =
        FilledHeader::Media { kind: MediaKind::Image, url: "https://cdn.example/1".to_owned(), filename: None };
    assert_eq!(filled, [FilledComponent::Header(expected)]);
}

#[test]
fn media_without_a_web_address_is_refused() {
    for url in ["", "https://", "ftp://cdn.example/1", "https://cdn.example/a b"] {
        assert_eq!(
            refusal(&with_header(TemplateHeader::Media(MediaKind::Image)), &media(MediaKind::Image, url)),
            "header: template order_ready needs the address of its media, beginning with https://; correct the media URL",
            "{url}"
        );
    }
}

#[test]
fn a_location_must_be_on_earth() {
    let needs = with_header(TemplateHeader::Location);

    assert_eq!(filled(&needs, &header(HeaderContent::Location(place("19.0760", "-72.8777")))).len(), 1);
    for (latitude, longitude) in [("", ""), ("north", "0"), ("91", "0"), ("0", "-181"), ("NaN", "0")] {
        assert_eq!(
            refusal(&needs, &header(HeaderContent::Location(place(latitude, longitude)))),
            "header: template order_ready needs latitude and longitude in degrees, such as 19.0760 and 72.8777; correct the location"
        );
    }
}

#[test]
fn a_location_without_name_or_address_gets_the_numbers_own() {
    let needs = template(with_header(TemplateHeader::Location));
    let policy = SenderPolicy {
        location_name: Some("Acme".to_owned()),
        location_address: Some("1 Hill Road, Mumbai".to_owned()),
    };
    let filled = |location: Location| {
        let rules = FillRules { sender: &policy, ..strict() };
        let filled = fill(&needs, &header(HeaderContent::Location(location)), rules).expect("it is on earth");
        let [FilledComponent::Header(FilledHeader::Location(location))] = filled.components.as_slice() else {
            panic!("a location header was asked for")
        };
        (location.name.clone().unwrap_or_default(), location.address.clone().unwrap_or_default())
    };

    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(filled(place("19.0760", "72.8777")), pair("Acme", "1 Hill Road, Mumbai"));
    let named = |name: &str| Location { name: Some(name.to_owned()), ..place("19.0760", "72.8777") };
    assert_eq!(filled(named("Shop")), pair("Shop", "1 Hill Road, Mumbai"));
    assert_eq!(filled(named(" ")), pair("Acme", "1 Hill Road, Mumbai"));
}

#[test]
fn a_header_that_nobody_could_fill_is_refused() {
    assert!(!can_be_filled(&with_header(TemplateHeader::Other("PRODUCT".to_owned()))));
    assert_eq!(
        refusal(&with_header(TemplateHeader::Other("PRODUCT".to_owned())), &TemplateContent::default()),
        "header: template order_ready has a header of kind PRODUCT, which cannot be sent from here; use another template"
    );
}

#[test]
fn a_limited_time_offer_needs_its_end() {
    let needs =
        TemplateComponents { limited_time_offer: Some("Ends soon".to_owned()), ..TemplateComponents::default() };
    let ends = |offer_expires_at_ms| TemplateContent { offer_expires_at_ms, ..TemplateContent::default() };

    let expires_at_ms = 1_790_000_000_000;
    assert_eq!(filled(&needs, &ends(Some(expires_at_ms))), [FilledComponent::LimitedTimeOffer { expires_at_ms }]);
    for missing in [None, Some(0)] {
        assert_eq!(
            refusal(&needs, &ends(missing)),
            "limited-time offer: template order_ready needs the time at which the offer ends, in milliseconds since 1970; add it"
        );
    }
    assert_eq!(
        refusal(&TemplateComponents::default(), &ends(Some(expires_at_ms))),
        "limited-time offer: template order_ready has none; remove it from the message"
    );
}

#[test]
fn a_carousel_is_filled_card_by_card() {
    let card = TemplateCard { body: text("{{1}} off"), ..TemplateCard::default() };
    let needs = TemplateComponents { carousel: Some(vec![card.clone(), card]), ..TemplateComponents::default() };
    let cards = |bodies: &[&[&str]]| {
        let cards = bodies.iter().map(|body| CardContent { body: strings(body), ..CardContent::default() });
        TemplateContent { carousel: Some(cards.collect()), ..TemplateContent::default() }
    };

    let off = |text: &str| vec![FilledComponent::Body(vec![FilledText { name: None, text: text.to_owned() }])];
    assert_eq!(
        filled(&needs, &cards(&[&["10%"], &["20%"]])),
        [FilledComponent::Carousel(vec![off("10%"), off("20%")])]
    );
    assert_eq!(
        refusal(&needs, &cards(&[&["10%"], &[]])),
        "card 2, body: template order_ready needs 1 parameter, got 0; add what is missing"
    );
    assert_eq!(
        refusal(&needs, &cards(&[&["10%"]])),
        "carousel: template order_ready needs 2 cards, got 1; send as many as were approved"
    );
    assert_eq!(
        refusal(&TemplateComponents::default(), &cards(&[&["10%"]])),
        "carousel: template order_ready has none; remove it from the message"
    );
}

#[test]
fn freeform_messages_keep_whatsapps_limits() {
    let text = |body: &str| Freeform::Text { body: body.to_owned() };
    let media = |url: &str, caption: &str| Freeform::Media {
        kind: MediaKind::Image,
        url: url.to_owned(),
        caption: Some(caption.to_owned()),
        filename: None,
    };
    let check = |message: Freeform| check_freeform(&message).map_err(|refusal| refusal.message);

    assert_eq!(check(text("Line 1\n\tLine 2")), Ok(()));
    assert_eq!(check(text(&"é".repeat(FREEFORM_TEXT_CHARS_MAX))), Ok(()));
    assert_eq!(check(media("https://cdn.example/1.png", &"é".repeat(CAPTION_CHARS_MAX))), Ok(()));
    assert_eq!(check(Freeform::Location(place("19.0760", "72.8777"))), Ok(()));

    for (message, trouble) in [
        (text(" "), "text: the message is empty; give it a text"),
        (text(&"é".repeat(FREEFORM_TEXT_CHARS_MAX + 1)), "text: WhatsApp takes at most 4096 characters; shorten it"),
        (
            media("", ""),
            "media: its address is missing or no web address; give the full media URL, beginning with https://",
        ),
        (
            media("https://cdn.example/1.png", &"é".repeat(CAPTION_CHARS_MAX + 1)),
            "media: WhatsApp takes at most 1024 characters as its caption; shorten it",
        ),
        (
            Freeform::Location(place("19.0760", "")),
            "location: latitude and longitude are needed in degrees, such as 19.0760 and 72.8777; correct them",
        ),
    ] {
        assert_eq!(check(message), Err(trouble.to_owned()));
    }
}
