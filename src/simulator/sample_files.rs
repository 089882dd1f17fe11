//! Files that nobody took a picture for: small, valid, and as large as asked.
//!
//! Each begins as its kind must begin, so that whoever looks at the first bytes, or opens it, finds what the type
//! promises. What is missing to the wanted size is filled in where the format allows it to be ignored.

use base64::{Engine, engine::general_purpose::STANDARD};

/// WhatsApp's largest is 100 MB; a little more shows what happens beyond.
pub(super) const FILE_BYTES_MAX: usize = 101 * 1024 * 1024;

/// A file of this type, at least as large as asked unless it is beyond the limit; an unknown type is all padding.
pub(super) fn sample(mime_type: &str, size_bytes: usize) -> Vec<u8> {
    let size = size_bytes.min(FILE_BYTES_MAX);
    match mime_type.split(';').next().unwrap_or_default().trim() {
        "image/png" => png(size),
        "image/jpeg" => jpeg(size),
        "image/webp" => webp(size),
        "video/mp4" | "video/3gpp" => mp4(size),
        "audio/ogg" => ogg(size),
        "audio/mpeg" => padded(vec![0xff, 0xfb, 0x90, 0x64], size),
        "audio/aac" => padded(vec![0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc], size),
        "audio/amr" => padded(b"#!AMR\n".to_vec(), size),
        "application/pdf" => pdf(size),
        "text/plain" => "A line of a file from the simulator.\n".bytes().cycle().take(size.max(37)).collect(),
        _ => padded(Vec::new(), size.max(1)),
    }
}

/// The usual ending of a file of this type.
pub(super) fn extension(mime_type: &str) -> &'static str {
    match mime_type.split(';').next().unwrap_or_default().trim() {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "video/mp4" => "mp4",
        "video/3gpp" => "3gp",
        "audio/ogg" => "ogg",
        "audio/mpeg" => "mp3",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        _ => "bin",
    }
}

fn padded(mut file: Vec<u8>, size: usize) -> Vec<u8> {
    file.resize(file.len().max(size), 0);
    file
}

/// One white pixel; the padding is a private chunk that decoders skip.
fn png(size: usize) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    png_chunk(&mut file, *b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
    // zlib: one stored block with a filter byte and the pixel, and their checksum.
    png_chunk(&mut file, *b"IDAT", &[0x78, 0x01, 0x01, 2, 0, 0xfd, 0xff, 0x00, 0xff, 0x01, 0x01, 0x01, 0x00]);
    const END_BYTES: usize = 12;
    if let Some(missing) = size.checked_sub(file.len() + 2 * END_BYTES) {
        png_chunk(&mut file, *b"paDd", &vec![0; missing]);
    }
    png_chunk(&mut file, *b"IEND", &[]);
    file
}

fn png_chunk(file: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    file.extend(u32::try_from(body.len()).expect("files are limited").to_be_bytes());
    let from = file.len();
    file.extend(kind);
    file.extend(body);
    let checksum = !file[from..].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    file.extend(checksum.to_be_bytes());
}

/// One grey pixel; the padding stands in comments.
fn jpeg(size: usize) -> Vec<u8> {
    let pixel = STANDARD.decode(concat!(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////",
        "////////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAA",
        "AAAAAv/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AT//Z",
    ));
    let pixel = pixel.expect("a constant that a test decodes");
    let (start, rest) = pixel.split_at(2);
    let mut file = start.to_vec();
    const COMMENT_BYTES_MAX: usize = 65_533;
    while let Some(missing) = size.checked_sub(file.len() + rest.len() + 4)
        && missing > 0
    {
        let comment = missing.min(COMMENT_BYTES_MAX);
        file.extend([0xff, 0xfe]);
        file.extend(u16::try_from(comment + 2).expect("it is limited").to_be_bytes());
        file.resize(file.len() + comment, b' ');
    }
    file.extend(rest);
    file
}

/// One pixel, without loss; the padding is a chunk of its own.
fn webp(size: usize) -> Vec<u8> {
    const PIXEL: [u8; 18] = [0x2f, 0, 0, 0, 0, 0x07, 0xd0, 0xff, 0xfe, 0xf7, 0xbf, 0xff, 0x81, 0x88, 0xe8, 0x7f, 0, 0];
    let mut chunks = b"WEBPVP8L".to_vec();
    // The last byte only makes it even.
    chunks.extend(17_u32.to_le_bytes());
    chunks.extend(PIXEL);
    if let Some(missing) = size.checked_sub(8 + chunks.len() + 8) {
        let even = missing + missing % 2;
        chunks.extend(b"PAD ");
        chunks.extend(u32::try_from(even).expect("files are limited").to_le_bytes());
        chunks.resize(chunks.len() + even, 0);
    }
    let mut file = b"RIFF".to_vec();
    file.extend(u32::try_from(chunks.len()).expect("files are limited").to_le_bytes());
    file.extend(chunks);
    file
}

/// A container with nothing to play.
fn mp4(size: usize) -> Vec<u8> {
    let mut file = Vec::new();
    mp4_box(&mut file, *b"ftyp", b"isom\0\0\x02\0isomiso2mp41");
    let mut header = vec![0; 100];
    header[15] = 1; // a time scale of nothing would be a division by it
    header[99] = 1;
    let mut movie = Vec::new();
    mp4_box(&mut movie, *b"mvhd", &header);
    mp4_box(&mut file, *b"moov", &movie);
    let missing = size.saturating_sub(file.len() + 8);
    mp4_box(&mut file, *b"mdat", &vec![0; missing]);
    file
}

fn mp4_box(file: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    file.extend(u32::try_from(body.len() + 8).expect("files are limited").to_be_bytes());
    file.extend(kind);
    file.extend(body);
}

/// Opus, mono, silent; the padding is a comment.
fn ogg(size: usize) -> Vec<u8> {
    let mut file = Vec::new();
    ogg_page(&mut file, 2, 0, 0, b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0");
    let mut tags = b"OpusTags\x09\0\0\0simulator\0\0\0\0".to_vec();
    // Larger tags would need several pages each; players skip what comes after the tags.
    tags.resize(tags.len().max(size.saturating_sub(file.len() + 400).min(60_000)), 0);
    ogg_page(&mut file, 0, 0, 1, &tags);
    let mut number = 2;
    let silence = [0xf8, 0xff, 0xfe];
    while size.saturating_sub(file.len()) > 60_500 {
        let mut packet = silence.to_vec();
        packet.resize(60_000, 0);
        ogg_page(&mut file, 0, u64::from(number) * 960, number, &packet);
        number += 1;
    }
    let mut packet = silence.to_vec();
    packet.resize(packet.len().max(size.saturating_sub(file.len() + 280)), 0);
    ogg_page(&mut file, 4, u64::from(number) * 960, number, &packet);
    file
}

fn ogg_page(file: &mut Vec<u8>, flags: u8, position: u64, number: u32, packet: &[u8]) {
    let from = file.len();
    file.extend(b"OggS\0");
    file.push(flags);
    file.extend(position.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(number.to_le_bytes());
    file.extend([0; 4]);
    let full = packet.len() / 255;
    file.push(u8::try_from(full + 1).expect("a packet is smaller than 65,025 bytes"));
    file.resize(file.len() + full, 255);
    file.push(u8::try_from(packet.len() % 255).expect("it is a remainder"));
    file.extend(packet);
    let checksum = file[from..].iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    file[from + 22..from + 26].copy_from_slice(&checksum.to_le_bytes());
}

/// An empty page; the padding is a comment before the trailer.
fn pdf(size: usize) -> Vec<u8> {
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
    ];
    let mut file = String::from("%PDF-1.4\n");
    let mut places = Vec::new();
    for (number, object) in (1..).zip(objects) {
        places.push(file.len());
        file.push_str(&format!("{number} 0 obj{object}endobj\n"));
    }
    if let Some(missing) = size.checked_sub(file.len() + 200) {
        file.push('%');
        file.push_str(&" ".repeat(missing));
        file.push('\n');
    }
    let table = file.len();
    file.push_str("xref\n0 4\n0000000000 65535 f \n");
    for place in places {
        file.push_str(&format!("{place:010} 00000 n \n"));
    }
    file.push_str(&format!("trailer<</Size 4/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n"));
    let mut file = file.into_bytes();
    file.resize(file.len().max(size), b'\n');
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_begins_as_it_must_and_is_as_large_as_asked() {
        for (mime_type, start) in [
            ("image/png", b"\x89PNG\r\n\x1a\n".as_slice()),
            ("image/jpeg", b"\xff\xd8\xff"),
            ("image/webp", b"RIFF"),
            ("video/mp4", b"\0\0\0\x1cftypisom"),
            ("audio/ogg; codecs=opus", b"OggS"),
            ("audio/mpeg", b"\xff\xfb"),
            ("audio/amr", b"#!AMR"),
            ("application/pdf", b"%PDF-1."),
            ("text/plain", b"A line"),
        ] {
            for size in [0, 5_000, 200_000] {
                let file = sample(mime_type, size);
                assert!(file.starts_with(start), "{mime_type}");
                assert!(
                    file.len() + 2_000 >= size && file.len() <= size + 2_000,
                    "{mime_type}: {} bytes instead of {size}",
                    file.len()
                );
            }
        }
    }

    #[test]
    fn a_picture_carries_right_checksums() {
        let file = png(0);
        // The published checksum of an empty IEND chunk.
        assert!(file.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]));
    }
}
