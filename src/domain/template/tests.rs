use super::*;
use crate::domain::failure::Refusal;

fn template(name: &str, language: &str, status: TemplateStatus) -> Template {
    Template {
        provider_id: "1".to_owned(),
        name: name.to_owned(),
        language: language.to_owned(),
        status,
        category: TemplateCategory::Utility,
        components: TemplateComponents::default(),
        time_to_live_s: None,
    }
}

fn approved(languages: &[&str]) -> Vec<Template> {
    languages.iter().map(|language| template("order_ready", language, TemplateStatus::Approved)).collect()
}

/// The language that was found and whether it stands in for another one, or the refusal's text.
fn resolved(templates: &[Template], name: &str, language: &str) -> Result<(String, bool), String> {
    resolve(templates, name, language)
        .map(|found| (found.template.language.clone(), found.substituted))
        .map_err(|why| Refusal::from(why).message)
}

#[test]
fn every_spelling_of_a_language_finds_it() {
    let templates = approved(&["en", "en_US", "en_GB", "pt_BR"]);
    for (asked, found) in [
        ("en", "en"),
        (" en_US ", "en_US"),
        ("en(us)", "en_US"),
        ("en(UK)", "en_GB"),
        ("en_uk", "en_GB"),
        ("pt-br", "pt_BR"),
        ("PT (BR)", "pt_BR"),
    ] {
        assert_eq!(resolved(&templates, "order_ready", asked), Ok((found.to_owned(), false)), "{asked}");
    }
}

#[test]
fn the_only_translation_of_the_same_base_language_stands_in_and_says_so() {
    let templates = approved(&["en_US", "hi"]);

    assert_eq!(resolved(&templates, "order_ready", "en"), Ok(("en_US".to_owned(), true)));
    assert_eq!(resolved(&templates, "order_ready", "en_GB"), Ok(("en_US".to_owned(), true)));
}

#[test]
fn a_language_that_is_not_there_is_answered_with_those_that_are() {
    assert_eq!(
        resolved(&approved(&["en_US", "en_GB"]), "order_ready", "hi"),
        Err("template order_ready: not approved in \"hi\"; choose one of its approved languages: en_US, en_GB"
            .to_owned())
    );
    assert!(resolved(&approved(&["en_US", "en_GB"]), "order_ready", "en").is_err(), "two candidates are no answer");
    assert!(resolved(&approved(&["uk"]), "order_ready", "en(UK)").is_err(), "Ukrainian is not British English");
    assert_eq!(
        resolved(&[template("order_ready", "en", TemplateStatus::Pending)], "order_ready", "hi"),
        Err("template order_ready: not approved in \"hi\"; no language of it is approved yet".to_owned())
    );
}

#[test]
fn a_capitalised_name_is_found_unless_one_is_spelled_so() {
    let templates = approved(&["en"]);
    assert!(resolved(&templates, "Order_Ready", "en").is_ok());

    let both = [
        template("Order_Ready", "hi", TemplateStatus::Approved),
        template("order_ready", "en", TemplateStatus::Approved),
    ];
    assert_eq!(resolved(&both, "Order_Ready", "hi"), Ok(("hi".to_owned(), false)));
}

#[test]
fn an_unknown_name_is_refused() {
    assert_eq!(
        resolved(&approved(&["en"]), "order_redy", "en"),
        Err("template order_redy: this WhatsApp account has none of that name; check the spelling, or create it there"
            .to_owned())
    );
}

#[test]
fn a_template_that_is_not_approved_says_its_status() {
    for (status, word) in [
        (TemplateStatus::Paused, "paused"),
        (TemplateStatus::Disabled, "disabled"),
        (TemplateStatus::Pending, "pending"),
        (TemplateStatus::Rejected, "rejected"),
        (TemplateStatus::Other("IN_APPEAL".to_owned()), "IN_APPEAL"),
    ] {
        let templates =
            [template("order_ready", "en", status), template("order_ready", "en_US", TemplateStatus::Approved)];
        assert_eq!(
            resolved(&templates, "order_ready", "en"),
            Err(format!("template order_ready (en): its status is {word}; only approved templates can be sent"))
        );
    }
}

#[test]
fn an_approved_translation_wins_over_its_deleted_predecessor() {
    let gone = TemplateStatus::Other("DELETED".to_owned());
    for order in [[gone.clone(), TemplateStatus::Approved], [TemplateStatus::Approved, gone]] {
        let templates = order.map(|status| template("order_ready", "en", status));
        assert!(resolved(&templates, "order_ready", "en").is_ok());
    }
}

fn variables(text: &str) -> Vec<Variable> {
    TemplateText::parse(text.to_owned()).variables
}

#[test]
fn a_variable_counts_once_and_in_order_of_appearance() {
    let position = Variable::Position;
    assert_eq!(variables("{{2}} and {{1}}, again {{2}}"), [position(2), position(1)]);
    assert_eq!(
        variables("Hi {{ first_name }}, {{code}}"),
        ["first_name", "code"].map(|name| Variable::Name(name.to_owned()))
    );
}

#[test]
fn other_braces_are_text() {
    for text in ["", "{{}}", "{1}", "{{1}", "{{a b}}", "}}{{"] {
        assert_eq!(variables(text), [], "{text}");
    }
}
