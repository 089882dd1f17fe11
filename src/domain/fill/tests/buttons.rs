//! Which button gets what, and what none takes.

use super::*;

fn buttons(buttons: &[ButtonContent]) -> TemplateContent {
    TemplateContent { buttons: buttons.to_vec(), ..TemplateContent::default() }
}

fn payload(position: usize, payload: &str) -> FilledComponent {
    FilledComponent::Button { position, value: FilledButton::QuickReplyPayload(payload.to_owned()) }
}

#[test]
fn a_dynamic_url_gets_the_end_of_it_also_when_the_whole_is_given() {
    let needs = with_buttons(&[(tracking(), "Track")]);
    let given = |value| buttons(&[button(ButtonContentKind::DynamicUrl, "Track", 0, value)]);

    assert_eq!(filled(&needs, &given("A-17")), [suffix(0, "A-17")]);
    for whole in ["https://shop.example/o/A-17", "http://shop.example/o/A-17", "shop.example/o/A-17"] {
        assert_eq!(filled(&needs, &given(whole)), [suffix(0, "A-17")]);
    }
    // Some templates lead through a redirect, whose variable is an address.
    assert_eq!(filled(&needs, &given("https://other.example/A-17")), [suffix(0, "https://other.example/A-17")]);
}

#[test]
fn a_dynamic_url_without_its_end_is_refused() {
    let needs = with_buttons(&[(TemplateButtonKind::QuickReply, "Stop"), (tracking(), "Track")]);
    let missing = "button 2 (\"Track\"): template order_ready needs the part of its URL that follows \
                   \"https://shop.example/o/\"; add it to the button";

    assert_eq!(refusal(&needs, &TemplateContent::default()), missing);
    for value in ["", "https://shop.example/o/"] {
        assert_eq!(refusal(&needs, &buttons(&[button(ButtonContentKind::DynamicUrl, "Track", 1, value)])), missing);
    }
}

#[test]
fn a_url_that_still_holds_its_variable_is_refused_unless_it_is_a_check() {
    let needs = template(with_buttons(&[(tracking(), "Track")]));
    let content = buttons(&[button(ButtonContentKind::DynamicUrl, "Track", 0, "https://shop.example/o/{{1}}")]);

    let refusal = fill(&needs, &content, strict()).expect_err("a variable is no value");
    assert_eq!(
        refusal.message,
        "button 1 (\"Track\"): template order_ready got the URL \"{{1}}\" with its variable in it; replace that by a value"
    );
    assert!(fill(&needs, &content, FillRules { tolerate_placeholders: true, ..strict() }).is_ok());
}

#[test]
fn a_forbidden_value_in_a_url_is_refused() {
    assert_eq!(
        refusal(
            &with_buttons(&[(tracking(), "Track")]),
            &buttons(&[button(ButtonContentKind::DynamicUrl, "", 0, "a\nb")])
        ),
        "button 1 (\"Track\"): the end of the URL of template order_ready contains a line break, which WhatsApp forbids; remove it"
    );
}

#[test]
fn buttons_find_their_place_by_kind_then_label_then_order() {
    let reply = || TemplateButtonKind::QuickReply;
    let needs = with_buttons(&[(reply(), "Yes"), (reply(), "No"), (reply(), "Later"), (tracking(), "Track")]);
    let quick = |text, index, value| button(ButtonContentKind::QuickReply, text, index, value);

    let by_label = buttons(&[
        quick("no", 1, "n"),
        button(ButtonContentKind::DynamicUrl, "", 1, "A-17"),
        quick("Yes ", 1, "y"),
        quick("Later", 1, "l"),
    ]);
    assert_eq!(filled(&needs, &by_label), [payload(0, "y"), payload(1, "n"), payload(2, "l"), suffix(3, "A-17")]);

    let by_order = buttons(&[
        quick("", 0, "first"),
        quick("", 0, "second"),
        quick("Yes", 0, "y"),
        button(ButtonContentKind::DynamicUrl, "Renamed", 0, "A-17"),
    ]);
    assert_eq!(
        filled(&needs, &by_order),
        [payload(0, "y"), payload(1, "first"), payload(2, "second"), suffix(3, "A-17")]
    );

    let by_index = buttons(&[quick("", 2, "l"), button(ButtonContentKind::DynamicUrl, "", 9, "A-17")]);
    assert_eq!(
        filled(&needs, &by_index),
        [payload(2, "l"), suffix(3, "A-17")],
        "an index decides when nothing else does"
    );
}

#[test]
fn a_button_that_the_template_lacks_is_refused_when_something_would_be_lost() {
    let needs = with_buttons(&[(TemplateButtonKind::StaticUrl { url: "https://shop.example".to_owned() }, "Shop")]);

    for (kind, word) in [
        (ButtonContentKind::DynamicUrl, "URL button with a variable"),
        (ButtonContentKind::QuickReply, "quick reply"),
        (ButtonContentKind::CopyCode, "copy-code button"),
        (ButtonContentKind::Other("flow".to_owned()), "flow"),
    ] {
        assert_eq!(
            refusal(&needs, &buttons(&[button(kind, "Shop", 0, "value")])),
            format!(
                "button \"Shop\": template order_ready has no {word} left for it; \
                 remove it, or save the template again as WhatsApp has it"
            )
        );
    }
    for kind in [ButtonContentKind::StaticUrl, ButtonContentKind::CallPhone] {
        assert_eq!(filled(&needs, &buttons(&[button(kind, "Old label", 3, "https://shop.example")])), []);
    }
}

#[test]
fn a_quick_reply_needs_no_payload_but_a_given_one_must_come_back_whole() {
    let needs = with_buttons(&[(TemplateButtonKind::QuickReply, "Yes")]);
    let given = |value: &str| buttons(&[button(ButtonContentKind::QuickReply, "Yes", 0, value)]);

    assert_eq!(filled(&needs, &TemplateContent::default()), []);
    assert_eq!(filled(&needs, &given("")), []);
    assert_eq!(filled(&needs, &given(&"é".repeat(PAYLOAD_CHARS_MAX))).len(), 1);
    assert_eq!(
        refusal(&needs, &given(&"é".repeat(PAYLOAD_CHARS_MAX + 1))),
        "button 1 (\"Yes\"): template order_ready takes a payload of at most 128 characters; shorten it"
    );
}

#[test]
fn a_copy_code_button_needs_its_code() {
    let needs = with_buttons(&[(TemplateButtonKind::CopyCode, "Copy")]);

    assert_eq!(
        filled(&needs, &buttons(&[button(ButtonContentKind::CopyCode, "", 0, "SAVE20")])),
        [FilledComponent::Button { position: 0, value: FilledButton::CouponCode("SAVE20".to_owned()) }]
    );
    assert_eq!(
        refusal(&needs, &TemplateContent::default()),
        "button 1 (\"Copy\"): template order_ready needs its coupon code; add it to the button"
    );
}

#[test]
fn a_one_time_password_goes_into_the_button_too() {
    let otp = with_buttons(&[(TemplateButtonKind::OneTimePassword, "Copy code")]);
    let needs = TemplateComponents { body: text("*{{1}}* is your code."), ..otp.clone() };

    let code = FilledComponent::Body(vec![FilledText { name: None, text: "482913".to_owned() }]);
    assert_eq!(filled(&needs, &body(&["482913"])), [code.clone(), suffix(0, "482913")]);
    let twice =
        TemplateContent { buttons: vec![button(ButtonContentKind::CopyCode, "", 0, "482913")], ..body(&["482913"]) };
    assert_eq!(filled(&needs, &twice), [code, suffix(0, "482913")]);
    assert_eq!(
        refusal(&otp, &TemplateContent::default()),
        "button 1 (\"Copy code\"): template order_ready needs the one-time password as the first parameter of its body; add it"
    );
}

#[test]
fn codes_are_no_longer_than_whatsapp_takes() {
    let coupon = with_buttons(&[(TemplateButtonKind::CopyCode, "Copy")]);
    let given = |code: &str| buttons(&[button(ButtonContentKind::CopyCode, "", 0, code)]);
    assert_eq!(filled(&coupon, &given(&"A".repeat(COUPON_CODE_CHARS_MAX))).len(), 1);
    assert_eq!(
        refusal(&coupon, &given(&"A".repeat(COUPON_CODE_CHARS_MAX + 1))),
        "button 1 (\"Copy\"): template order_ready takes a coupon code of at most 20 characters; shorten it"
    );

    let password = TemplateComponents {
        body: text("*{{1}}* is your code."),
        ..with_buttons(&[(TemplateButtonKind::OneTimePassword, "Copy code")])
    };
    assert_eq!(filled(&password, &body(&[&"1".repeat(PASSWORD_CHARS_MAX)])).len(), 2);
    assert_eq!(
        refusal(&password, &body(&[&"1".repeat(PASSWORD_CHARS_MAX + 1)])),
        "button 1 (\"Copy code\"): template order_ready takes a one-time password of at most 15 characters; shorten it"
    );
}

#[test]
fn a_button_that_needs_what_platforms_do_not_have_is_refused() {
    let other = |word: &str| with_buttons(&[(TemplateButtonKind::Other { word: word.to_owned() }, "Buy")]);

    assert_eq!(
        refusal(&other("MPM"), &TemplateContent::default()),
        "button 1 (\"Buy\"): template order_ready has a button of kind MPM, which cannot be sent from here; use another"
    );
    assert_eq!(filled(&other("FLOW"), &TemplateContent::default()), [], "a flow can do without data");
    assert_eq!([can_be_filled(&other("MPM")), can_be_filled(&other("FLOW"))], [false, true]);
    let card = |word: &str| TemplateCard { buttons: other(word).buttons, ..TemplateCard::default() };
    let cards = |word: &str| TemplateComponents { carousel: Some(vec![card(word)]), ..TemplateComponents::default() };
    assert_eq!([can_be_filled(&cards("SPM")), can_be_filled(&cards("FLOW"))], [false, true]);
}
