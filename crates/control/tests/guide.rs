//! Holds the guide and the examples to the program: keys and defaults of the configuration.

use control::config::{parse, to_toml};

const GUIDE: &str = include_str!("../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../conf/rvsd.toml");
const MINIMAL: &str = include_str!("../../../conf/minimal.toml");

/// `(table, key, value)` of each line that the program writes for a configuration.
fn written(text: &str) -> Vec<(String, String, String)> {
    let config = parse("f", text).config.expect("it is valid");
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in to_toml(&config).lines().map(str::trim) {
        if line.starts_with('[') {
            line.clone_into(&mut table);
        } else if let Some((key, value)) = line.split_once(" = ") {
            lines.push((table.clone(), key.to_owned(), value.trim_matches('"').to_owned()));
        }
    }
    lines
}

/// What the guide says under a table's heading.
fn section<'g>(table: &str) -> &'g str {
    let heading = format!("\n## `{table}`");
    let (_, rest) = GUIDE.split_once(&heading).unwrap_or_else(|| panic!("no section {table}"));
    rest.split("\n## ").next().unwrap()
}

#[test]
fn the_examples_are_good_without_a_warning() {
    for (name, text) in [("conf/rvsd.toml", EXAMPLE), ("conf/minimal.toml", MINIMAL)] {
        let parsed = parse(name, text);
        assert!(parsed.diagnostics.is_empty(), "{:#?}", parsed.diagnostics);
    }
}

#[test]
fn every_key_is_in_its_section_of_the_guide() {
    for (table, key, _) in written(EXAMPLE) {
        assert!(section(&table).contains(&format!("`{key}`")), "{table} {key}");
    }
}

#[test]
fn the_defaults_in_the_guide_are_the_programs() {
    let mut checked = 0;
    for (table, key, value) in written(MINIMAL).iter().filter(|(table, ..)| !table.starts_with("[[")) {
        let names_key =
            |row: &&str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{key}`")));
        let row = section(table).lines().find(names_key).unwrap_or_else(|| panic!("{table} {key}: no row"));
        let default = row.rsplit('|').nth(2).unwrap_or_default().trim().trim_matches('`');
        assert_eq!(default, value, "{table} {key}");
        checked += 1;
    }
    assert!(checked >= 15, "{checked} defaults were compared");
}
