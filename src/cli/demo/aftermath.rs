//! What no campaign shows, for those who stay to look: people who send files and places, a reply that CleverTap refuses and so is dead,
//! and parts of webhooks that nobody understands. It is played when the campaign is over and counted, and goes the way that everything goes.

use serde_json::json;
use wabridge::simulator::{CallbackRule, Endpoint, Inbound, InboundContent, InboundMedia, NotPossible};

use super::{
    provider::DemoProvider,
    world::{PHONE_NUMBER_ID, WABA_ID, World},
};

/// A blue kettle with a crack, drawn for this.
const KETTLE: &[u8] = include_bytes!("kettle.png");

const PEOPLE: [&str; 5] = ["+919811012345", "+919822023456", "+919833034567", "+919844045678", "+919855056789"];

/// What is said in the reply that CleverTap does not take.
const REFUSED_TEXT: &str = "Where is my order A-1007?";

pub(super) fn play(world: &World) -> Result<(), NotPossible> {
    let desk = world.simulator.handle();
    desk.add_callback_rule(CallbackRule {
        endpoint: Some(Endpoint::Inbound),
        body_contains: Some(REFUSED_TEXT.to_owned()),
        answer_status: 400,
        ..CallbackRule::default()
    });
    let picture = InboundMedia {
        media_id: Some(desk.add_media(PHONE_NUMBER_ID, "image/png", KETTLE)),
        mime_type: Some("image/png".to_owned()),
        caption: Some("It came with a crack. Can I send it back?".to_owned()),
        ..InboundMedia::default()
    };
    let bill = InboundMedia {
        mime_type: Some("application/pdf".to_owned()),
        filename: Some("bill-A-1012.pdf".to_owned()),
        caption: Some("The bill you asked for".to_owned()),
        ..InboundMedia::default()
    };
    let home = InboundContent::Location {
        latitude: 19.0596,
        longitude: 72.8295,
        name: Some("Home".to_owned()),
        address: Some("14 Hill Road, Bandra West, Mumbai".to_owned()),
    };
    let text = |body: &str| InboundContent::Text { body: body.to_owned() };
    let said = [
        text("Is the blue kettle still on offer?"),
        InboundContent::Image(picture),
        InboundContent::Document(bill),
        home,
        text(REFUSED_TEXT),
    ];
    for (from, content) in PEOPLE.into_iter().zip(said) {
        desk.inbound(&Inbound {
            from: from.to_owned(),
            phone_number_id: PHONE_NUMBER_ID.to_owned(),
            context_wamid: None,
            content,
        })?;
    }
    // In Meta's shape, which the others do not share.
    if world.provider == DemoProvider::Meta {
        let metadata = json!({"display_phone_number": "918880110022", "phone_number_id": PHONE_NUMBER_ID});
        let of_another = json!({
            "id": "wamid.OTE5ODExMDEyMzQ1LXNvbWVib2R5LWVsc2U=", "status": "delivered", "timestamp": "1795000000",
            "recipient_id": "919811012345",
        });
        let hologram =
            json!({"from": "919866067890", "id": "wamid.SG9sb2dyYW0=", "timestamp": "yesterday", "type": "hologram"});
        let change =
            |part: &str, entry| json!({"messaging_product": "whatsapp", "metadata": metadata.clone(), part: [entry]});
        desk.send_change(WABA_ID, "messages", change("statuses", of_another));
        desk.send_change(WABA_ID, "messages", change("messages", hologram));
    }
    Ok(())
}
