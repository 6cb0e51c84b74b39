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

/// All pages of the workspace, by their path from its root.
fn pages(root: &Path) -> BTreeSet<String> {
    let mut pages = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules"
            {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let path = path.strip_prefix(root).unwrap();
                pages.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    pages
}

/// What stands behind the three ticks of each block of code, and the block.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, open)) = rest.split_once("```") {
        let (info, block) = open.split_once('\n').unwrap();
        let (block, after) = block.split_once("```").expect("the block has an end");
        blocks.push((info, block));
        rest = after;
    }
    blocks
}

/// `tests/src/snippets.rs` makes doc tests of the pages: `cargo test --doc` compiles and runs them.
#[test]
fn each_page_with_rust_is_compiled_and_no_block_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let compiled = include_str!("../src/snippets.rs");
    let mut seen = 0;
    for page in pages(root) {
        let text = fs::read_to_string(root.join(&page)).unwrap();
        for (info, block) in blocks(&text) {
            assert!(!info.is_empty(), "{page}: say the language of:\n{block}");
            if !info.starts_with("rust") {
                continue;
            }
            seen += 1;
            assert!(
                matches!(info, "rust" | "rust,no_run"),
                "{page}: {info} is not compiled"
            );
            let listed = format!("\"../../{page}\"");
            assert!(
                compiled.contains(&listed),
                "{page} is not in tests/src/snippets.rs"
            );
        }
    }
    assert!(seen >= 5, "the pages are read wrongly: {seen} blocks");
}

/// Names and features in a manifest that a page shows.
fn manifest_lines(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    for line in block.lines().filter(|line| line.contains("jwt-revoke")) {
        let (name, rest) = line.split_once('=').unwrap();
        let features = rest.split_once("features = [").map_or("", |(_, rest)| rest);
        let features = features.split(']').next().unwrap_or_default();
        let features = features.split(',').map(|f| f.trim().trim_matches('"'));
        found.push((name.trim(), features.filter(|f| !f.is_empty()).collect()));
    }
    found
}

#[test]
fn each_manifest_that_a_page_shows_names_crates_and_features_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = 0;
    for page in pages(root) {
        let text = fs::read_to_string(root.join(&page)).unwrap();
        for (_, block) in blocks(&text).iter().filter(|(info, _)| *info == "toml") {
            for (name, features) in manifest_lines(block) {
                seen += 1;
                let manifest = root.join("crates").join(name).join("Cargo.toml");
                let manifest = fs::read_to_string(&manifest).expect(name);
                for feature in features {
                    let line = format!("\n{feature} = [");
                    assert!(manifest.contains(&line), "{page}: {name} has no {feature}");
                }
            }
        }
    }
    assert!(seen >= 2, "the pages are read wrongly: {seen} crates");
}

/// `cargo run`, `cargo bench` and scripts in the blocks for a shell.
#[test]
fn each_command_that_a_page_shows_names_a_program_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let is_there = |page: &str, path: String| {
        assert!(root.join(&path).exists(), "{page}: there is no {path}");
    };
    let mut seen = 0;
    for page in pages(root) {
        let text = fs::read_to_string(root.join(&page)).unwrap();
        for (_, block) in blocks(&text).iter().filter(|(info, _)| *info == "sh") {
            for line in block.lines() {
                let words: Vec<_> = line.split_whitespace().collect();
                let after = |flag: &str| {
                    let at = words.iter().position(|word| *word == flag)?;
                    words.get(at + 1).copied()
                };
                if line.contains("cargo ") {
                    if let Some(bin) = after("--bin") {
                        is_there(&page, format!("benches/src/bin/{bin}.rs"));
                        seen += 1;
                    } else if let Some(test) = after("--test") {
                        let single = root.join(format!("tests/tests/{test}.rs")).exists();
                        assert!(single || root.join(format!("tests/tests/{test}")).exists());
                        seen += 1;
                    } else if let Some(example) =
                        after("-p").and_then(|p| p.strip_prefix("example-"))
                    {
                        is_there(&page, format!("examples/{example}"));
                        seen += 1;
                    }
                }
                for word in words.iter().filter(|word| word.starts_with("scripts/")) {
                    is_there(&page, (*word).to_owned());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 8, "the pages are read wrongly: {seen} commands");
}

/// What a line of documentation, or of an example, publishes as a secret: literals beside that word, and
/// values of variables with it in their names.
fn published_secrets(line: &str) -> Vec<String> {
    if !line.to_ascii_lowercase().contains("secret") {
        return Vec::new();
    }
    let quoted = line.split('"').skip(1).step_by(2);
    let assigned = line.split("SECRET=").skip(1);
    let assigned = assigned.filter_map(|rest| rest.split([' ', '`', '\'', '"', '\\']).next());
    let is_given = line.contains("from_secret(") || line.contains("confidential(");
    quoted
        .filter(|text| is_given || !text.contains(' '))
        .chain(assigned)
        .filter(|text| text.len() >= 32)
        .map(str::to_owned)
        .collect()
}

#[test]
fn t33_no_secret_that_these_pages_publish_is_accepted() {
    use jwt_revoke_core::verify::{Algorithm, SigningKey};

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = vec![root.to_owned()];
    let (mut lines, mut published) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // The secrets of tests are for no user.
                if !name.starts_with('.') && !["target", "tests", "node_modules"].contains(&&*name)
                {
                    folders.push(path);
                }
                continue;
            }
            let in_examples = path.strip_prefix(root).unwrap().starts_with("examples");
            let is_code = name.ends_with(".rs");
            if !is_code && !name.ends_with(".md") && !in_examples {
                continue;
            }
            // Binary files have no documentation.
            let text = fs::read_to_string(&path).unwrap_or_default();
            for line in text.lines() {
                let is_doc = ["///", "//!"].map(|mark| line.trim_start().starts_with(mark));
                if is_code && !in_examples && !is_doc.contains(&true) {
                    continue;
                }
                lines += 1;
                published.extend(published_secrets(line));
            }
        }
    }
    assert!(lines > 1_000, "{lines} lines read");
    assert!(!published.is_empty(), "the demonstration publishes one");
    for secret in published {
        let key = SigningKey::from_secret(Algorithm::HS256, secret.as_bytes());
        assert!(key.is_err(), "{secret} is published and accepted");
    }
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
