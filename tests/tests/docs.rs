//! The documents keep up with the code.

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
