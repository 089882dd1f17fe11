//! A bucket that speaks enough of S3 for files to be put (whole and in parts), read (whole and in ranges) and deleted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};

const NAME: &str = "/files/";

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: HashMap<String, BTreeMap<u32, Vec<u8>>>,
    unsigned: usize,
}

type Shared = web::Data<Mutex<Contents>>;

/// A running one. It stops when it is dropped.
pub(crate) struct Bucket {
    pub(crate) url: String,
    contents: Shared,
    server: ServerHandle,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let contents = Shared::new(Mutex::default());
        let shared = contents.clone();
        let server = HttpServer::new(move || {
            let everything = web::PayloadConfig::new(usize::MAX);
            App::new().app_data(shared.clone()).app_data(everything).default_service(web::to(answer))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("loopback has a free port");
        let url = format!("http://{}", server.addrs().first().expect("it is bound"));
        let running = server.run();
        let server = running.handle();
        tokio::spawn(running);
        Self { url, contents, server }
    }

    /// What lies in it.
    pub(crate) fn names(&self) -> Vec<String> {
        self.contents.lock().expect("no holder can panic").objects.keys().cloned().collect()
    }

    pub(crate) fn unsigned(&self) -> usize {
        self.contents.lock().expect("no holder can panic").unsigned
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, contents: Shared) -> HttpResponse {
    let mut contents = contents.lock().expect("no holder can panic");
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=an-id/") {
        contents.unsigned += 1;
    }
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string()).expect("a query");
    let name = request.path().strip_prefix(NAME).unwrap_or_default().to_owned();
    match (request.method().as_str(), query.get("uploadId"), query.get("partNumber")) {
        ("POST", None, _) if query.contains_key("uploads") => {
            let id = format!("upload-{}", contents.uploads.len());
            contents.uploads.insert(id.clone(), BTreeMap::new());
            xml(&format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
        }
        ("POST", None, _) if query.contains_key("delete") => {
            let text = String::from_utf8_lossy(&body).into_owned();
            let keys = text.split("<Key>").skip(1).filter_map(|part| part.split("</Key>").next());
            keys.for_each(|key| drop(contents.objects.remove(key)));
            xml("<DeleteResult></DeleteResult>")
        }
        ("PUT", Some(upload), Some(part)) => {
            let parts = contents.uploads.get_mut(upload).expect("the upload was begun");
            parts.insert(part.parse().expect("parts have numbers"), body.to_vec());
            HttpResponse::Ok().insert_header(("ETag", format!("\"{part}\""))).finish()
        }
        ("POST", Some(upload), _) => {
            let parts = contents.uploads.remove(upload).expect("the upload was begun");
            contents.objects.insert(name, parts.into_values().flatten().collect());
            xml("<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>")
        }
        ("PUT", None, _) => {
            contents.objects.insert(name, body.to_vec());
            HttpResponse::Ok().insert_header(("ETag", "\"whole\"")).finish()
        }
        ("DELETE", ..) => {
            contents.objects.remove(&name);
            HttpResponse::NoContent().finish()
        }
        ("GET", ..) => match contents.objects.get(&name) {
            Some(object) => read(object, header("range")),
            None => HttpResponse::NotFound().finish(),
        },
        (method, ..) => HttpResponse::NotImplemented().body(format!("{method} {}", request.uri())),
    }
}

fn read(object: &[u8], range: &str) -> HttpResponse {
    let told = [("ETag", "\"whole\""), ("Last-Modified", "Sat, 21 Nov 2026 06:00:00 GMT")];
    let asked = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((first, last)) = asked.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?))) else {
        return HttpResponse::Ok().insert_header(told[0]).insert_header(told[1]).body(object.to_vec());
    };
    let (first, last): (usize, usize) = (first, last);
    let range = ("Content-Range", format!("bytes {first}-{last}/{}", object.len()));
    let mut response = HttpResponse::PartialContent();
    response.insert_header(told[0]).insert_header(told[1]).insert_header(range).body(object[first..=last].to_vec())
}

fn xml(text: &str) -> HttpResponse {
    HttpResponse::Ok().content_type("application/xml").body(text.to_owned())
}
