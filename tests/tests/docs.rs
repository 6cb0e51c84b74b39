//! The documents keep up with the code.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

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
