//! Media: what is uploaded and what people send, kept in memory and fetched by a URL that ends soon.
//!
//! A media id belongs to the number that it was uploaded to, or that received it. Its URL carries its end and a
//! signature, needs the same token as everything else, and answers 404 afterwards, whatever the reason: that is how
//! Meta tells a client to ask for a new one.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    web,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    dialect::Dialect,
    gallabox,
    graph::{self, Permission, refusal, unknown_object},
    knobs::Knobs,
    multipart::{self, Part},
    payloads,
    rules::Refusal,
    sample_files::{self, FILE_BYTES_MAX},
    state::{World, unix_now},
};

/// What is kept; the oldest goes first.
const SHELF_BYTES_MAX: usize = 512 * 1024 * 1024;
const SHELF_FILES_MAX: usize = 100_000;
const MEBIBYTE: usize = 1024 * 1024;
/// Uploads, with room for the rest of the form.
const UPLOAD_BYTES_MAX: usize = FILE_BYTES_MAX + MEBIBYTE;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let upload = web::resource(r"/{version:v\d+\.\d+}/{id}/media")
        .app_data(web::PayloadConfig::new(UPLOAD_BYTES_MAX))
        .route(web::post().to(upload));
    app.service(upload).route("/media/attachments", web::get().to(download));
}

/// One file.
pub(super) struct Asset {
    pub(super) id: String,
    phone_number_id: String,
    pub(super) mime_type: String,
    bytes: Bytes,
}

impl Asset {
    fn digest(&self) -> impl AsRef<[u8]> {
        Sha256::digest(&self.bytes)
    }

    /// As webhooks write it.
    pub(super) fn sha256_base64(&self) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(self.digest())
    }
}

/// All files.
#[derive(Default)]
pub(super) struct MediaShelf {
    assets: HashMap<String, Arc<Asset>>,
    order: VecDeque<String>,
    bytes: usize,
    made: u64,
}

impl MediaShelf {
    /// Keeps a file, and gives it an id.
    pub(super) fn put(&mut self, phone_number_id: &str, mime_type: &str, bytes: Bytes) -> Arc<Asset> {
        self.made += 1;
        let id = (940_000_000_000_000 + self.made).to_string();
        self.bytes += bytes.len();
        let asset = Arc::new(Asset {
            id: id.clone(),
            phone_number_id: phone_number_id.to_owned(),
            mime_type: mime_type.to_owned(),
            bytes,
        });
        self.assets.insert(id.clone(), Arc::clone(&asset));
        self.order.push_back(id);
        while self.bytes > SHELF_BYTES_MAX || self.order.len() > SHELF_FILES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.forget(&oldest);
        }
        asset
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Asset>> {
        self.assets.get(id).cloned()
    }

    /// As if its days were over.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        let Some(asset) = self.assets.remove(id) else { return false };
        self.bytes -= asset.bytes.len();
        // Its place in the order goes when it is the oldest; until then it costs a few bytes.
        true
    }

    /// Whether this number may send it.
    pub(super) fn belongs(&self, id: &str, phone_number_id: &str) -> bool {
        self.assets.get(id).is_some_and(|asset| asset.phone_number_id == phone_number_id)
    }
}

async fn upload(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    graph::answer(take_upload(&world, &request, &body))
}

fn take_upload(world: &World, request: &HttpRequest, body: &Bytes) -> Result<HttpResponse, Refusal> {
    graph::authorize(world, request, Permission::Messaging)?;
    let phone_number_id = request.match_info().get("id").unwrap_or_default();
    let sender = world.sender(phone_number_id).ok_or_else(|| unknown_object(phone_number_id))?;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parts = multipart::read(content_type, body).map_err(|problem| refusal(100, format!("The form: {problem}.")))?;
    let part = |name: &str| parts.iter().find(|part| part.name == name);
    if part("messaging_product").is_none_or(|part| &part.body[..] != b"whatsapp") {
        return Err(refusal(100, "The parameter messaging_product is required."));
    }
    let file = part("file").ok_or_else(|| refusal(100, "The parameter file is required."))?;
    let mime_type = mime_type(file, part("type"))?;
    check_size(&mime_type, file.body.len())?;
    let asset = world.media().put(&sender.phone_number_id, &mime_type, file.body.clone());
    world.count(|stats| stats.media_uploads += 1);
    Ok(HttpResponse::Ok().json(json!({"id": asset.id})))
}

/// The file's own type, which `type` must not contradict.
fn mime_type(file: &Part, declared: Option<&Part>) -> Result<String, Refusal> {
    let own = file.content_type.as_deref().unwrap_or_default();
    let bare = own.split(';').next().unwrap_or_default().trim();
    if file.file_name.is_none() || bare.is_empty() {
        return Err(refusal(100, "file: the part needs a filename and a Content-Type."));
    }
    let declared = declared.map(|part| String::from_utf8_lossy(&part.body).into_owned());
    if declared.is_some_and(|declared| declared.split(';').next().is_some_and(|declared| declared.trim() != bare)) {
        return Err(refusal(100, "type and the Content-Type of file are not the same."));
    }
    Ok(own.to_owned())
}

fn check_size(mime_type: &str, size_bytes: usize) -> Result<(), Refusal> {
    let bare = mime_type.split(';').next().unwrap_or_default().trim();
    let size_bytes_max = match bare {
        "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg" | "video/mp4" | "video/3gpp" => {
            16 * MEBIBYTE
        }
        "image/jpeg" | "image/png" => 5 * MEBIBYTE,
        "image/webp" => 500 * 1024,
        "text/plain" | "application/pdf" => 100 * MEBIBYTE,
        office if office.starts_with("application/vnd.") || office == "application/msword" => 100 * MEBIBYTE,
        other => {
            return Err(refusal(
                100,
                format!("Param file must be a file of a supported type. Received file of type {other:?}."),
            ));
        }
    };
    if size_bytes == 0 || size_bytes > size_bytes_max {
        return Err(refusal(131053, format!("A file of type {bare} has 1 to {size_bytes_max} bytes.")));
    }
    Ok(())
}

/// A file of somebody who sends one: generated, or as given.
pub(super) fn receive(world: &World, phone_number_id: &str, mime_type: &str, size_bytes: usize) -> Arc<Asset> {
    let bytes = Bytes::from(sample_files::sample(mime_type, size_bytes));
    world.media().put(phone_number_id, mime_type, bytes)
}

#[derive(Deserialize)]
pub(super) struct MediaQuery {
    phone_number_id: Option<String>,
}

impl MediaQuery {
    fn fits(&self, asset: &Asset) -> bool {
        self.phone_number_id.as_deref().is_none_or(|id| id == asset.phone_number_id)
    }
}

/// `GET /{media id}`: where it can be fetched for a while.
pub(super) fn look_up(
    world: &World,
    request: &HttpRequest,
    asset: &Asset,
    query: &MediaQuery,
) -> Result<HttpResponse, Refusal> {
    let knobs = world.knobs();
    graph::authorize(world, request, Permission::Messaging)?;
    if !query.fits(asset) {
        return Err(unknown_object(&asset.id));
    }
    world.count(|stats| stats.media_lookups += 1);
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(|host| format!("http://{host}"));
    let size = asset.bytes.len();
    Ok(HttpResponse::Ok().json(json!({
        "messaging_product": "whatsapp",
        "url": url(world, &knobs, asset, host.as_deref()),
        "mime_type": asset.mime_type,
        "sha256": hex::encode(asset.digest()),
        "file_size": if knobs.media_size_as_text { Value::from(size.to_string()) } else { size.into() },
        "id": asset.id,
    })))
}

/// `DELETE /{media id}`.
pub(super) fn delete(
    world: &World,
    request: &HttpRequest,
    asset: &Asset,
    query: &MediaQuery,
) -> Result<HttpResponse, Refusal> {
    graph::authorize(world, request, Permission::Messaging)?;
    if !query.fits(asset) {
        return Err(unknown_object(&asset.id));
    }
    world.media().forget(&asset.id);
    Ok(graph::success())
}

/// A URL that ends. `host` is how the caller reached us; a webhook has no caller.
pub(super) fn url(world: &World, knobs: &Knobs, asset: &Asset, host: Option<&str>) -> String {
    let base = knobs.media_url_base.as_deref().or(host).unwrap_or_else(|| world.own_url());
    let ends_at_ms = unix_now().as_millis() as u64 + knobs.media_url_ms;
    let hash = seal(world, &asset.id, ends_at_ms);
    format!("{}/media/attachments?mid={}&ext={ends_at_ms}&hash={hash}", base.trim_end_matches('/'), asset.id)
}

fn seal(world: &World, id: &str, ends_at_ms: u64) -> String {
    let seal = payloads::signature(&format!("media of {}", world.run()), format!("{id}:{ends_at_ms}").as_bytes());
    seal.trim_start_matches("sha256=").to_owned()
}

#[derive(Deserialize)]
struct DownloadQuery {
    mid: String,
    ext: u64,
    hash: String,
}

async fn download(world: web::Data<World>, request: HttpRequest, query: web::Query<DownloadQuery>) -> HttpResponse {
    let knobs = world.knobs();
    if knobs.media_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(knobs.media_delay_ms)).await;
    }
    // The host of files speaks no Graph: a status, and hardly a word.
    let authorized = graph::authorize(&world, &request, Permission::Messaging).is_ok();
    // GoTallo's URLs of files are shown to nobody else, and ask for nothing.
    let by_url = knobs.dialect == Dialect::Gotallo;
    if !authorized && !by_url && !gallabox::is_authorized(&world, &request) {
        return HttpResponse::Unauthorized().body("Not authorized");
    }
    if let Some(status) = knobs.media_status {
        return HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)).finish();
    }
    let in_time = u128::from(query.ext) > unix_now().as_millis() && seal(&world, &query.mid, query.ext) == query.hash;
    let Some(asset) = world.media().find(&query.mid).filter(|_| in_time) else {
        world.count(|stats| stats.media_downloads_refused += 1);
        return HttpResponse::NotFound().finish();
    };
    world.count(|stats| stats.media_downloads += 1);
    HttpResponse::Ok().content_type(asset.mime_type.as_str()).body(asset.bytes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_forgotten_is_not_there() {
        let mut shelf = MediaShelf::default();
        let kept = shelf.put("1001", "image/png", Bytes::from_static(b"abc"));
        let gone = shelf.put("1001", "image/png", Bytes::from_static(b"abc"));

        assert!(shelf.forget(&gone.id) && !shelf.forget(&gone.id));

        assert!(shelf.find(&kept.id).is_some() && shelf.find(&gone.id).is_none());
        assert!(shelf.belongs(&kept.id, "1001") && !shelf.belongs(&kept.id, "1002"));
        assert_eq!(shelf.bytes, 3);
    }

    #[test]
    fn a_type_has_its_limit() {
        assert!(check_size("image/png", 5 * MEBIBYTE).is_ok());
        assert_eq!(check_size("image/png", 5 * MEBIBYTE + 1).expect_err("too large").code, 131053);
        assert_eq!(check_size("image/gif", 5).expect_err("not a type of WhatsApp").code, 100);
        assert!(check_size("audio/ogg; codecs=opus", 5).is_ok());
    }
}
