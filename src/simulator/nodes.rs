//! Numbers and business accounts as things that can be asked, and where their webhooks go.
//!
//! `GET /{id}` of a number or a business account gives the fields that are asked for, from a list that a control can
//! change. `subscribed_apps` says whether the app hears of an account at all; an override of an account, or of a number,
//! sends the `messages` field elsewhere ([`overrides`]).

mod overrides;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::overrides::{delete_subscribed_apps, get_subscribed_apps, post_node, post_subscribed_apps};
use super::{
    SimulatedSender,
    graph::{self, Permission, refusal, unknown_object},
    media::{self, MediaQuery},
    payloads::Update,
    rules::Refusal,
    state::World,
};

const NUMBER_FIELDS_DEFAULT: &str = "verified_name,code_verification_status,display_phone_number,quality_rating,\
                                     platform_type,throughput,webhook_configuration";
const WABA_FIELDS_DEFAULT: &str = "name,timezone_id,message_template_namespace";
const PAGE_ENTRIES_DEFAULT: usize = 25;
const APP_ID: &str = "300000000000001";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    const NODE: &str = r"/{version:v\d+\.\d+}/{id}";
    app.route(r"/{version:v\d+\.\d+}/me/permissions", web::get().to(get_permissions));
    app.route(&format!("{NODE}/subscribed_apps"), web::get().to(get_subscribed_apps))
        .route(&format!("{NODE}/subscribed_apps"), web::post().to(post_subscribed_apps))
        .route(&format!("{NODE}/subscribed_apps"), web::delete().to(delete_subscribed_apps))
        .route(&format!("{NODE}/phone_numbers"), web::get().to(get_phone_numbers))
        .route(NODE, web::get().to(get_node))
        .route(NODE, web::post().to(post_node))
        .route(NODE, web::delete().to(delete_node));
}

/// What was changed by hand, and who listens where.
#[derive(Default)]
pub(super) struct Nodes {
    /// Fields beside the built-in ones, by the node's id; a null hides a built-in one.
    changed: HashMap<String, Map<String, Value>>,
    number_overrides: HashMap<String, Arc<str>>,
    waba_overrides: HashMap<String, Arc<str>>,
    unsubscribed: HashSet<String>,
    messaging_limit: MessagingLimit,
}

/// How many people the portfolio may message in 24 hours outside of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum MessagingLimit {
    #[default]
    Unlimited,
    People(usize),
}

impl MessagingLimit {
    const TIERS: [(&str, Self); 7] = [
        ("TIER_50", Self::People(50)),
        ("TIER_250", Self::People(250)),
        ("TIER_1K", Self::People(1_000)),
        ("TIER_2K", Self::People(2_000)),
        ("TIER_10K", Self::People(10_000)),
        ("TIER_100K", Self::People(100_000)),
        ("TIER_UNLIMITED", Self::Unlimited),
    ];

    fn tier(self) -> &'static str {
        Self::TIERS.iter().find(|(_, limit)| *limit == self).map_or("TIER_NOT_SET", |(tier, _)| tier)
    }
}

/// Where a webhook goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the knob's URL.
    App,
    Override(Arc<str>),
    /// The app is not subscribed.
    Nowhere,
}

impl Nodes {
    pub(super) fn route(&self, update: &Update) -> Route {
        // Ordinary runs change nothing here, and have many webhooks.
        if self.unsubscribed.is_empty() && self.waba_overrides.is_empty() && self.number_overrides.is_empty() {
            return Route::App;
        }
        let (waba_id, number_id) = match update {
            Update::Status { message, .. } => (&message.sender.waba_id, Some(message.sender.phone_number_id.as_str())),
            Update::Inbound { sender, .. } => (&sender.waba_id, Some(sender.phone_number_id.as_str())),
            // Only messages go to overrides.
            Update::Change { waba_id, field, value } => (
                waba_id,
                (field == "messages").then(|| value["metadata"]["phone_number_id"].as_str().unwrap_or_default()),
            ),
        };
        if self.unsubscribed.contains(waba_id) {
            return Route::Nowhere;
        }
        let Some(number_id) = number_id else { return Route::App };
        let elsewhere = self.number_overrides.get(number_id).or_else(|| self.waba_overrides.get(waba_id));
        elsewhere.map_or(Route::App, |url| Route::Override(Arc::clone(url)))
    }

    /// Sets fields of a number or a business account.
    pub(super) fn change(&mut self, id: &str, fields: Map<String, Value>) {
        self.changed.entry(id.to_owned()).or_default().extend(fields);
    }

    pub(super) fn subscribe(&mut self, waba_id: &str, subscribed: bool) {
        if subscribed {
            self.unsubscribed.remove(waba_id);
        } else {
            self.unsubscribed.insert(waba_id.to_owned());
            self.waba_overrides.remove(waba_id);
        }
    }

    pub(super) fn set_messaging_limit(&mut self, tier: &str) -> Result<(), String> {
        let known = MessagingLimit::TIERS.iter().find(|(name, _)| *name == tier);
        let (_, limit) = known.ok_or_else(|| {
            let names: Vec<&str> = MessagingLimit::TIERS.iter().map(|(name, _)| *name).collect();
            format!("{tier:?} is no tier: write one of {}", names.join(", "))
        })?;
        self.messaging_limit = *limit;
        Ok(())
    }

    /// The word for it.
    pub(super) fn messaging_limit(&self) -> &'static str {
        self.messaging_limit.tier()
    }

    /// `None` for any number.
    pub(super) fn people_max(&self) -> Option<usize> {
        match self.messaging_limit {
            MessagingLimit::Unlimited => None,
            MessagingLimit::People(people) => Some(people),
        }
    }

    fn with_changes(&self, id: &str, mut fields: Map<String, Value>) -> Map<String, Value> {
        fields.extend(self.changed.get(id).cloned().unwrap_or_default());
        fields.retain(|_, value| !value.is_null());
        fields
    }

    /// Everything that a number's node shows.
    pub(super) fn number(&self, sender: &SimulatedSender, app_url: Option<&str>) -> Map<String, Value> {
        let mut configuration = Map::new();
        let places = [
            ("phone_number", self.number_overrides.get(&sender.phone_number_id).map(AsRef::as_ref)),
            ("whatsapp_business_account", self.waba_overrides.get(&sender.waba_id).map(AsRef::as_ref)),
            ("application", app_url),
        ];
        for (place, url) in places {
            configuration.extend(url.map(|url| (place.to_owned(), json!(url))));
        }
        let fields = json!({
            "id": sender.phone_number_id,
            "display_phone_number": shown_number(&sender.display_number),
            "verified_name": "Acme Retail",
            "name_status": "APPROVED",
            "new_name_status": "NONE",
            "code_verification_status": "VERIFIED",
            "quality_rating": "GREEN",
            "status": "CONNECTED",
            "platform_type": "CLOUD_API",
            "account_mode": "LIVE",
            "is_official_business_account": false,
            "is_pin_enabled": true,
            "throughput": {"level": "STANDARD"},
            "whatsapp_business_manager_messaging_limit": self.messaging_limit(),
            "webhook_configuration": configuration,
            "health_status": health("PHONE_NUMBER", &sender.phone_number_id, &sender.waba_id),
        });
        self.with_changes(&sender.phone_number_id, object(fields))
    }

    fn waba(&self, waba_id: &str) -> Map<String, Value> {
        let fields = json!({
            "id": waba_id,
            "name": "Acme Retail",
            "timezone_id": "71",
            "currency": "INR",
            "country": "IN",
            "status": "ACTIVE",
            "message_template_namespace": "00000000_1111_2222_3333_444444444444",
            "account_review_status": "APPROVED",
            "business_verification_status": "verified",
            "ownership_type": "SELF",
            "health_status": health("WABA", waba_id, waba_id),
        });
        self.with_changes(waba_id, object(fields))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Spaced, as Meta shows numbers: nobody should compare these as they are.
fn shown_number(digits: &str) -> String {
    match (digits.get(..2), digits.get(2..7), digits.get(7..)) {
        (Some(country), Some(first), Some(rest)) => format!("+{country} {first} {rest}"),
        _ => digits.to_owned(),
    }
}

fn health(kind: &str, id: &str, waba_id: &str) -> Value {
    let mut ids = BTreeMap::from([("WABA", waba_id), ("BUSINESS", "400000000000001"), ("APP", APP_ID)]);
    ids.insert(kind, id);
    let entities = ids.iter().map(|(kind, id)| json!({"entity_type": kind, "id": id, "can_send_message": "AVAILABLE"}));
    json!({"can_send_message": "AVAILABLE", "entities": entities.collect::<Vec<_>>()})
}

#[derive(Deserialize)]
struct FieldsQuery {
    fields: Option<String>,
}

async fn get_node(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<FieldsQuery>,
    of_media: web::Query<MediaQuery>,
) -> HttpResponse {
    graph::answer(read_node(&world, &request, query.fields.as_deref(), &of_media))
}

fn read_node(
    world: &World,
    request: &HttpRequest,
    fields: Option<&str>,
    of_media: &MediaQuery,
) -> Result<HttpResponse, Refusal> {
    let id = request.match_info().get("id").unwrap_or_default();
    if let Some(asset) = { world.media().find(id) } {
        return media::look_up(world, request, &asset, of_media);
    }
    let knobs = world.knobs();
    graph::authorize(world, request, Permission::Management)?;
    if let Some(template) = world.templates().with_id(id) {
        return Ok(HttpResponse::Ok().json(template));
    }
    let (node, usual, kind) = if world.waba_ids().contains(id) {
        (world.nodes().waba(id), WABA_FIELDS_DEFAULT, "WhatsAppBusinessAccount")
    } else {
        let sender = world.sender(id).ok_or_else(|| unknown_object(id))?;
        let node = world.nodes().number(&sender, knobs.webhook_url.as_deref());
        (node, NUMBER_FIELDS_DEFAULT, "WhatsAppBusinessPhoneNumber")
    };
    world.count(|stats| stats.node_reads += 1);
    Ok(HttpResponse::Ok().json(select(&node, fields, usual, kind)?))
}

/// The fields that were asked for; without a wish the usual ones, as far as there are any.
fn select(
    node: &Map<String, Value>,
    fields: Option<&str>,
    usual: &str,
    kind: &str,
) -> Result<Map<String, Value>, Refusal> {
    let mut selected = Map::new();
    for field in graph::field_names(fields.unwrap_or(usual)) {
        if fields.is_none() && !node.contains_key(&field) {
            continue;
        }
        let value = node.get(&field).ok_or_else(|| {
            refusal(100, format!("Tried accessing nonexisting field ({field}) on node type ({kind})"))
        })?;
        selected.insert(field, value.clone());
    }
    selected.extend(node.get("id").map(|id| ("id".to_owned(), id.clone())));
    Ok(selected)
}

async fn delete_node(world: web::Data<World>, request: HttpRequest, query: web::Query<MediaQuery>) -> HttpResponse {
    let id = request.match_info().get("id").unwrap_or_default();
    let asset = { world.media().find(id) };
    graph::answer(match asset {
        Some(asset) => media::delete(&world, &request, &asset, &query),
        None => Err(unknown_object(id)),
    })
}

#[derive(Deserialize)]
struct PageQuery {
    fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

async fn get_phone_numbers(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<PageQuery>,
) -> HttpResponse {
    graph::answer(list_numbers(&world, &request, &query))
}

fn list_numbers(world: &World, request: &HttpRequest, query: &PageQuery) -> Result<HttpResponse, Refusal> {
    let knobs = world.knobs();
    graph::authorize(world, request, Permission::Management)?;
    let waba_id = known_waba(world, request)?;
    let from: usize = query.after.as_deref().map_or(Ok(0), str::parse).map_err(|_| Refusal::code(131059))?;
    let limit = query.limit.unwrap_or(PAGE_ENTRIES_DEFAULT).max(1);
    let all = world.senders_of(&waba_id);
    let page = all.iter().skip(from).take(limit);
    let data = page
        .map(|sender| {
            let node = world.nodes().number(sender, knobs.webhook_url.as_deref());
            select(&node, query.fields.as_deref(), NUMBER_FIELDS_DEFAULT, "WhatsAppBusinessPhoneNumber")
        })
        .collect::<Result<Vec<_>, _>>()?;
    let end = from + data.len();
    let mut paging = json!({"cursors": {"before": from.to_string(), "after": end.to_string()}});
    if end < all.len() {
        let own = format!("http://{}{}", request.connection_info().host(), request.path());
        paging["next"] = format!("{own}?access_token=…&limit={limit}&after={end}").into();
    }
    Ok(HttpResponse::Ok().json(json!({"data": data, "paging": paging})))
}

fn known_waba(world: &World, request: &HttpRequest) -> Result<String, Refusal> {
    let id = request.match_info().get("id").unwrap_or_default();
    if world.waba_ids().contains(id) { Ok(id.to_owned()) } else { Err(unknown_object(id)) }
}

/// What the token may.
async fn get_permissions(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    let knobs = world.knobs();
    let word = |may: bool| if may { "granted" } else { "declined" };
    // A token without any permission can still be asked.
    if let Err(refused) = graph::authorize(&world, &request, Permission::Management)
        && refused.code == 190
    {
        return graph::refuse(&refused);
    }
    HttpResponse::Ok().json(json!({"data": [
        {"permission": "whatsapp_business_messaging", "status": word(knobs.may_message)},
        {"permission": "whatsapp_business_management", "status": word(knobs.may_manage)},
    ]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(field: &str) -> Update {
        let value = json!({"metadata": {"phone_number_id": "1001"}});
        Update::Change { waba_id: "2001".into(), field: field.into(), value }
    }

    #[test]
    fn a_numbers_override_comes_before_its_accounts_and_only_for_messages() {
        let mut nodes = Nodes::default();
        assert_eq!(nodes.route(&change("messages")), Route::App);

        nodes.waba_overrides.insert("2001".into(), "http://waba/".into());
        assert_eq!(nodes.route(&change("messages")), Route::Override("http://waba/".into()));
        nodes.number_overrides.insert("1001".into(), "http://number/".into());
        assert_eq!(nodes.route(&change("messages")), Route::Override("http://number/".into()));
        assert_eq!(nodes.route(&change("account_update")), Route::App);

        nodes.subscribe("2001", false);
        assert_eq!(nodes.route(&change("messages")), Route::Nowhere);
    }

    #[test]
    fn a_field_that_is_not_there_is_refused() {
        let mut nodes = Nodes::default();
        nodes.change("2001", object(json!({"currency": null, "name": "Other"})));
        let node = nodes.waba("2001");

        assert_eq!(select(&node, Some("name"), "", "x").expect("a field")["name"], "Other");
        assert_eq!(select(&node, Some("currency"), "", "x").expect_err("it is hidden").code, 100);
    }
}
