//! The documents keep up with the code.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

use jwt_revoke_core::metrics::ALL;

/// Names such as `t4_a_token_of_another_kind_is_refused`, wherever `before` stands in front.
fn row_tests(text: &str, before: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> Option<String> {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        let (row, claim) = rest[..end].split_once('_')?;
        let number = row.strip_prefix(['t', 's', 'r'])?;
        let is_row = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        (is_row && !claim.is_empty()).then(|| rest[..end].to_owned())
    };
    text.match_indices(before)
        .filter_map(|(at, _)| name(&text[at + before.len()..]))
        .collect()
}

fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(row_tests(&fs::read_to_string(&path).unwrap(), "fn "));
        }
    }
}

#[test]
fn each_test_of_an_attack_is_listed_and_each_listed_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut written = BTreeSet::new();
    for folder in ["crates", "tests", "examples"] {
        sources(&root.join(folder), &mut written);
    }
    let page = fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let listed = row_tests(&page, "- `");
    assert!(
        listed.len() > 100,
        "the page is read wrongly: {} tests",
        listed.len()
    );
    let missing: Vec<_> = written.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "on one side only: {missing:#?}");
}

/// Name, value and what it says, of each constant in `defaults.rs`.
fn table_of_defaults(source: &str) -> String {
    let mut table = String::from(
        "# Defaults\n\nEvery default, from `jwt_revoke_core::defaults`, the one place that has them. A test keeps this \
         page up to date.\n\n| name | value | |\n| --- | --- | --- |\n",
    );
    let mut doc: Vec<&str> = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let mut constant = constant.to_owned();
            while !constant.ends_with(';') {
                constant.push(' ');
                constant.push_str(lines.next().unwrap().trim());
            }
            let (name, rest) = constant.split_once(':').unwrap();
            let value = rest.split_once('=').unwrap().1.trim().trim_end_matches(';');
            let meaning = doc.join(" ");
            table.push_str(&format!("| `{name}` | `{value}` | {} |\n", meaning.trim()));
            doc.clear();
        }
    }
    table
}

#[test]
fn the_page_of_defaults_says_what_the_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let source = fs::read_to_string(root.join("crates/jwt-revoke-core/src/defaults.rs")).unwrap();
    let table = table_of_defaults(&source);
    assert!(
        table.contains("| `LEEWAY` | `Duration::from_secs(0)` |"),
        "{table}"
    );
    let page = root.join("docs/defaults.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &table).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == table,
        "docs/defaults.md is behind: UPDATE_DOCS=1 cargo test -p jwt-revoke-tests --test docs"
    );
}

/// The names of metrics in a text, less what Prometheus puts behind those of histograms.
fn metrics_named(text: &str) -> BTreeSet<&str> {
    let names = text.match_indices("jwt_revoke_").map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let name = &rest[..end.unwrap_or(rest.len())];
        name.strip_suffix("_bucket").unwrap_or(name)
    });
    // `jwt_revoke_core` is a crate.
    names.filter(|name| *name != "jwt_revoke_core").collect()
}

#[test]
fn the_page_of_metrics_says_what_the_code_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let rows = ALL.iter().map(|metric| {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, labels) = (metric.name, labels.join(", "));
        let (kind, unit, meaning) = (metric.kind.as_str(), metric.unit, metric.meaning);
        format!("| `{name}` | {kind} | {labels} | {unit} | {meaning} |\n")
    });
    let rows: String = rows.collect();
    let written = fs::read_to_string(&page).unwrap();
    let head = "| name | kind | labels | unit | meaning |\n| --- | --- | --- | --- | --- |\n";
    let (before, rest) = written.split_once(head).unwrap();
    let (table, after) = rest.split_once("\n\n").unwrap_or(("", rest));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let after = after.trim_start_matches('\n');
        fs::write(&page, format!("{before}{head}{rows}\n{after}")).unwrap();
        return;
    }
    assert!(
        format!("{table}\n") == rows,
        "docs/metrics.md is behind: UPDATE_DOCS=1 cargo test -p jwt-revoke-tests --test docs"
    );
    let known = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(metrics_named(&written), known);
}

/// A name that stands in a second place is one that can differ.
#[test]
fn each_metric_is_named_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut named = Vec::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let quoted = text.match_indices("\"jwt_revoke_");
                named.extend(quoted.filter_map(|(at, _)| {
                    let rest = &text[at + 1..];
                    let name = &rest[..rest.find('"').unwrap()];
                    ALL.iter()
                        .any(|metric| metric.name == name)
                        .then(|| name.to_owned())
                }));
            }
        }
    }
    let unique: BTreeSet<_> = named.iter().collect();
    assert_eq!(
        (named.len(), unique.len()),
        (ALL.len(), ALL.len()),
        "{named:?}"
    );
}

/// Files below `folder` that use the client library of Redis.
fn users_of_fred(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            users_of_fred(&path, found);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("fred::") || text.contains("use fred") {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn the_client_library_of_redis_is_known_in_one_folder_alone() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let folder = Path::new("src/store/redis/client");
    let mut found = Vec::new();
    users_of_fred(&crates, &mut found);
    let inside = format!("jwt-revoke-core/{}/", folder.display());
    let (inside, outside): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|path| path.contains(&inside));
    assert!(!inside.is_empty(), "the sources are read wrongly");
    assert_eq!(outside, Vec::<String>::new());
}
