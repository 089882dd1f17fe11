//! Connections in the apply file. What a provider wants to be given is the provider's to say. Pure.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{
    ApplyFile, Stated,
    parse::Surroundings,
    reading::Section,
    values::{ROTATION_MAX, as_copied, limited, slug, web_url},
};
use crate::{
    providers::{self, SettingField},
    store::configuration::ConnectionRecord,
};

pub(super) fn parse_connection(mut section: Section<'_>, surroundings: &Surroundings<'_>, file: &mut ApplyFile) {
    let line = section.line();
    let id = slug(&mut section, "id");
    section.require("provider", "name the WhatsApp provider, for example \"meta\"");
    let provider = section.checked("provider", |name| {
        let found = surroundings.providers.iter().find(|(slug, _)| *slug == name);
        found.copied().ok_or_else(|| {
            let known = surroundings.providers.iter().map(|(slug, _)| *slug).collect::<Vec<_>>().join(", ");
            format!("is not a provider that this build can talk to: use one of {known}")
        })
    });
    // Which other keys there are depends on the provider. When it is wrong, the one was meant whose keys stand there.
    let standing = |fields: &[SettingField]| fields.iter().filter(|field| section.stands(field.name)).count();
    let likely = surroundings.providers.iter().rev().max_by_key(|(_, fields)| standing(fields));
    let meant = provider.or(likely.filter(|(_, fields)| standing(fields) > 0).copied());
    file.providers.extend(id.clone().map(|id| (id, meant.map(|(slug, _)| slug.to_owned()))));
    let Some((provider, fields)) = meant else { return };
    let (mut settings, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for field in fields {
        if field.required {
            section.require(field.name, field.help);
        }
        if field.secret {
            let values = secret_values(&mut section, field, surroundings);
            secrets.extend(values.filter(|values| !values.is_empty()).map(|values| (field.name.to_owned(), values)));
        } else {
            let value = section.checked(field.name, |text| check_setting(field, text, surroundings));
            let value = value.or(field.default.map(str::to_owned));
            settings.extend(value.map(|value| (field.name.to_owned(), value)));
        }
    }
    let together = providers::find(provider).map(|provider| provider.check_settings(&settings, &secrets));
    for (name, message) in together.unwrap_or_default() {
        section.problem(section.offset, name, message);
    }
    section.finish();
    let what = id.map(|id| ConnectionRecord { id, provider: provider.to_owned(), settings, secrets });
    file.connections.extend(what.map(|what| Stated { line, what }));
}

fn check_setting(field: &SettingField, text: &str, surroundings: &Surroundings<'_>) -> Result<String, String> {
    if field.required && text.is_empty() {
        return Err(format!("is empty: {}", field.help));
    }
    if field.name.ends_with("url") && !text.is_empty() {
        return Ok(web_url(text, surroundings)?.trim_end_matches('/').to_owned());
    }
    if let Some(check) = field.check {
        check(text)?;
    }
    Ok(text.to_owned())
}

fn secret_values(
    section: &mut Section<'_>,
    field: &SettingField,
    surroundings: &Surroundings<'_>,
) -> Option<Vec<SecretString>> {
    let most = if field.list { ROTATION_MAX } else { 1 };
    let texts = limited(section, field.name, most)?;
    let mut secrets = Vec::new();
    for text in texts {
        let checked = check_setting(field, &text.value, surroundings);
        match checked.and_then(|value| as_copied(&value).map(|()| value)) {
            Ok(value) => secrets.push(value.into()),
            Err(message) => section.problem(text.offset, field.name, message),
        }
    }
    Some(secrets)
}
