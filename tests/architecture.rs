//! Who may know whom. The direction is main → app → {http, worker} → services → {platforms, providers, net,
//! store} → domain; the simulator knows nothing of the bridge. Read from the source, line by line.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules by layer, the lowest first. A module may use those of lower layers, and itself.
const LAYERS: [&[&str]; 8] = [
    &["domain"],
    &["settings"],
    &["clock", "pulse", "sabotage", "telemetry"],
    &["net", "platforms", "profiles", "store"],
    // A provider is a client of the outside world.
    &["providers"],
    &["services"],
    &["http", "worker"],
    &["app"],
];

/// Uses within a layer, or against the direction, that have a reason.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// Crates that belong to a few modules.
const CRATES: [(&str, &[&str]); 6] = [
    // Has a door of its own to the outside, to a place that the operator named.
    ("object_store", &["store"]),
    // Shapes of messages; they travel by net.
    ("opentelemetry_proto", &["net", "services"]),
    ("actix_web", &["http", "simulator", "app", "bench", "cli"]),
    ("sea_orm", &["store"]),
    ("migrations", &["store"]),
    ("reqwest", &["net", "simulator", "bench", "cli"]),
];

/// Modules beside the bridge: they use it from outside, or not at all.
const BESIDE: [&str; 3] = ["bench", "cli", "simulator"];

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let mut offences = Vec::new();
    for file in sources() {
        for used in &file.modules {
            // The simulator must not share the bridge's misunderstandings.
            let below = file.module != "simulator" && layer(&used.name) < layer(&file.module);
            let excepted = EXCEPTIONS.iter().any(|(user, name, _)| *user == file.module && *name == used.name);
            if used.name != file.module && !below && !excepted {
                offences.push(format!("{}:{}: {} must not use {}", file.path, used.line, file.module, used.name));
            }
        }
    }
    assert!(offences.is_empty(), "the direction of uses is broken:\n{}", offences.join("\n"));
}

#[test]
fn each_special_crate_is_used_where_it_belongs() {
    let mut offences = Vec::new();
    for file in sources() {
        for (name, homes) in CRATES {
            for (number, line) in file.lines.iter().enumerate() {
                if mentions(line, &format!("{name}::")) && !homes.contains(&file.module.as_str()) {
                    let homes = homes.join(", ");
                    offences.push(format!("{}:{}: {name} belongs to {homes}", file.path, number + 1));
                }
            }
        }
    }
    assert!(offences.is_empty(), "a crate is used outside of its place:\n{}", offences.join("\n"));
}

#[test]
fn what_is_pure_asks_neither_clock_nor_dice_nor_network() {
    let mut offences = Vec::new();
    for file in sources().into_iter().filter(|file| ["domain", "platforms", "profiles"].contains(&file.module.as_str()))
    {
        for (number, line) in file.lines.iter().enumerate() {
            let impure = ["std::fs", "std::net", "tokio::", "SystemTime::now", "Instant::now", "Utc::now", "rand::"];
            if let Some(what) = impure.iter().find(|what| mentions(line, what)) {
                offences.push(format!("{}:{}: {} is pure, and {what} is not", file.path, number + 1, file.module));
            }
        }
    }
    assert!(offences.is_empty(), "what must be pure is not:\n{}", offences.join("\n"));
}

#[test]
fn http_changes_nothing_by_itself() {
    let mut offences = Vec::new();
    for file in sources().into_iter().filter(|file| file.module == "http") {
        for (number, line) in file.lines.iter().enumerate() {
            let writing =
                ["Committer", "store::batch", "store.hold_", "store.release_", "store.change_", "store.replace_"];
            if let Some(what) = writing.iter().find(|what| line.contains(*what)) {
                offences.push(format!("{}:{}: {what}: ask a service", file.path, number + 1));
            }
        }
    }
    assert!(offences.is_empty(), "a handler writes past the services:\n{}", offences.join("\n"));
}

/// A file of the bridge, without its comments and its tests.
struct Source {
    path: String,
    /// The first part of its path: `store` for `src/store/mod.rs`.
    module: String,
    lines: Vec<String>,
    modules: Vec<Used>,
}

/// A module of ours that a file names after `crate::`.
struct Used {
    name: String,
    line: usize,
}

fn layer(module: &str) -> usize {
    match LAYERS.iter().position(|layer| layer.contains(&module)) {
        Some(layer) => layer,
        None => {
            assert!(BESIDE.contains(&module) || ["lib", "main"].contains(&module), "which layer is {module}?");
            LAYERS.len()
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source is here") {
            let path = entry.expect("the source can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(read(&root, path));
            }
        }
    }
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    sources
}

fn read(root: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("source is text");
    let inside = path.strip_prefix(root).expect("it was found there");
    let first = inside.components().next().expect("a file has a name").as_os_str().to_string_lossy();
    let module = first.trim_end_matches(".rs").to_owned();
    let body = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let lines: Vec<String> = body.lines().map(code).collect();
    let modules = used_modules(&lines);
    Source { path: format!("src/{}", inside.display()), module, lines, modules }
}

/// `crate::store::Store`, `use crate::store`, and each head inside of `use crate::{…}`.
fn used_modules(lines: &[String]) -> Vec<Used> {
    let mut used = Vec::new();
    let mut depth = 0;
    for (number, line) in lines.iter().enumerate() {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut rest = line.as_str();
        while depth == 0
            && let Some(at) = rest.find("crate::")
        {
            rest = &rest[at + "crate::".len()..];
            if rest.starts_with('{') {
                depth = 1;
                rest = &rest[1..];
            } else {
                names.insert(head(rest));
            }
        }
        if depth > 0 {
            for part in split_keeping(rest) {
                match part {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    part if depth == 1 => names.extend(part.split(',').map(head)),
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        let ours = |name: &String| {
            LAYERS.iter().any(|layer| layer.contains(&name.as_str())) || BESIDE.contains(&name.as_str())
        };
        used.extend(names.into_iter().filter(ours).map(|name| Used { name, line: number + 1 }));
    }
    used
}

/// The text between braces, and the braces.
fn split_keeping(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['{', '}']).flat_map(|part| {
        let (before, brace) = part.split_at(part.len() - usize::from(part.ends_with(['{', '}'])));
        [before, brace]
    })
}

/// The first word of a path.
fn head(text: &str) -> String {
    text.trim().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// Whether a line names this path, and not one that only ends so.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|character: char| character.is_alphanumeric() || character == '_' || character == ':')
    })
}
