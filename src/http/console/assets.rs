//! Styles and scripts, part of the program. Their addresses change with their contents, so browsers keep them for ever.

use std::{io::Write as _, sync::LazyLock};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

use super::{Trouble, nothing_here};

/// A file and where it is.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    compressed: Vec<u8>,
    hash: String,
}

const STYLE: &str = concat!(include_str!("assets/console.css"), include_str!("assets/charts.css"));

/// The addresses for pages.
pub(super) struct Addresses {
    pub(super) icon: String,
    pub(super) style: String,
    pub(super) htmx: String,
    pub(super) script: String,
    pub(super) charts: String,
}

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        asset("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
        asset("console.css", "text/css; charset=utf-8", STYLE.as_bytes()),
        asset("htmx.js", "text/javascript; charset=utf-8", include_bytes!("assets/htmx.min.js")),
        asset("console.js", "text/javascript; charset=utf-8", include_bytes!("assets/console.js")),
        asset("charts.js", "text/javascript; charset=utf-8", include_bytes!("assets/charts.js")),
    ]
});

pub(super) static ADDRESSES: LazyLock<Addresses> = LazyLock::new(|| {
    let [icon, style, htmx, script, charts] =
        std::array::from_fn(|index| format!("/console/assets/{}/{}", ASSETS[index].hash, ASSETS[index].name));
    Addresses { icon, style, htmx, script, charts }
});

fn asset(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    const HASH_BYTES: usize = 8;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it");
    let hash = hex::encode(&Sha256::digest(bytes)[..HASH_BYTES]);
    Asset { name, content_type, bytes, compressed, hash }
}

/// `GET /console/assets/{hash}/{name}`
pub(super) async fn serve(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, Trouble> {
    let (hash, name) = path.into_inner();
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name && asset.hash == hash) else {
        return nothing_here().await;
    };
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(asset.content_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((header::VARY, "Accept-Encoding"));
    let accepted = request.headers().get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    Ok(if accepted.is_some_and(|encodings| encodings.contains("gzip")) {
        answer.insert_header((header::CONTENT_ENCODING, "gzip")).body(asset.compressed.as_slice())
    } else {
        answer.body(asset.bytes)
    })
}
