//! The house rules that a program can check.
//!
//! Each rule yields one line per place that breaks it, and the test shows them all at once.

use std::fs;
use std::path::{Path, PathBuf};

/// What may lie at the top: the rooms, and what a Rust project needs beside them.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "conf",
    "crates",
    "docs",
    "dpdk-sys",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "target",
    "tests",
    "tools",
];

/// Crates that need unsafe code: foreign functions, raw memory, for decap one system call; ipvs-compat stands in for functions of libc.
const UNSAFE_CRATES: &[&str] =
    &["dpdk-sys", "crates/dpdk", "crates/conntab", "crates/ipvs-compat", "tools/decap"];

/// Longest file, in lines before its tests.
const LINES_MAX: usize = 520;

/// Words that must not be committed in Rust files; written in two parts so that this file does not hold them.
const UNFINISHED: &[(&str, &str)] =
    &[("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[ign", "ore"), ("TO", "DO"), ("FIX", "ME")];

/// Beginnings of paths that exist only where rvs is written.
const WORKPLACE: &[(&str, &str)] = &[("/wo", "rk/"), ("/tmp", "/t-"), ("/ho", "me/"), ("/ro", "ot/wo")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies below the root").to_owned()
}

/// Every file of the repository below `dir`, without build output, by path from the root.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the repository can be read").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != "target" && name != ".git" => dirs.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    texts(|path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// Without the test modules that have a file of their own, which their parent introduces.
fn program_files() -> Vec<(String, String)> {
    rust_files().into_iter().filter(|(name, _)| !name.ends_with("tests.rs")).collect()
}

/// Modules that only tests have (`#[cfg(test)] mod traces;`), by path without `.rs`.
fn test_modules() -> Vec<String> {
    let mut modules = Vec::new();
    for (name, text) in rust_files() {
        let parent = name.strip_suffix(".rs").unwrap_or(&name);
        let is_root = ["mod", "lib", "main"].iter().any(|root| parent.ends_with(&format!("/{root}")));
        let folder = if is_root { parent.rsplit_once('/').map_or("", |(folder, _)| folder) } else { parent };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim() == "#[cfg(test)]"
                && let Some(module) = lines.next().and_then(|next| next.trim().strip_suffix(';'))
                && let Some(module) = module.strip_prefix("mod ")
            {
                modules.push(format!("{folder}/{module}"));
            }
        }
    }
    modules
}

fn texts(wanted: impl Fn(&Path) -> bool) -> Vec<(String, String)> {
    let root = root();
    let named = files(&root).into_iter().filter(|path| wanted(path)).filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        let name = path.strip_prefix(&root).ok()?.to_string_lossy().into_owned();
        Some((name, text))
    });
    named.collect()
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// The crates, by folder from the root: those whose manifest has a package.
fn crate_folders() -> Vec<String> {
    let manifests = texts(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    let packages = manifests.into_iter().filter(|(_, text)| text.contains("[package]"));
    packages.filter_map(|(name, _)| name.strip_suffix("/Cargo.toml").map(str::to_owned)).collect()
}

#[test]
fn the_top_level_holds_what_it_should() {
    let entries = fs::read_dir(root()).expect("the root can be read").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let broken: Vec<String> = names.filter(|name| !TOP_LEVEL.contains(&name.as_str())).collect();
    report("not of the top level", &broken);
}

#[test]
fn unsafe_code_is_forbidden_outside_its_rooms() {
    let mut broken = Vec::new();
    for folder in crate_folders() {
        if UNSAFE_CRATES.contains(&folder.as_str()) {
            continue;
        }
        for file in ["src/lib.rs", "src/main.rs"] {
            let path = root().join(&folder).join(file);
            if let Ok(text) = fs::read_to_string(path)
                && !text.lines().any(|line| line == "#![forbid(unsafe_code)]")
            {
                broken.push(format!("{folder}/{file}"));
            }
        }
    }
    report("no #![forbid(unsafe_code)]", &broken);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let manifests = texts(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    let packages = manifests.iter().filter(|(_, text)| text.contains("[package]"));
    let broken: Vec<String> = packages
        .filter(|(_, text)| !text.contains("[lints]\nworkspace = true"))
        .map(|(name, _)| name.clone())
        .collect();
    report("no [lints] workspace = true", &broken);
}

#[test]
fn every_file_says_what_it_is_about() {
    let silent = program_files().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    let broken: Vec<String> = silent.map(|(name, _)| name).collect();
    report("no module header (//!) in the first line", &broken);
}

#[test]
fn files_are_short() {
    let tests = test_modules();
    let mut broken = Vec::new();
    for (name, text) in program_files() {
        if tests
            .iter()
            .any(|module| name == format!("{module}.rs") || name.starts_with(&format!("{module}/")))
        {
            continue;
        }
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > LINES_MAX {
            broken.push(format!("{name}: {lines} lines before its tests"));
        }
    }
    report(&format!("longer than {LINES_MAX} lines"), &broken);
}

#[test]
fn nothing_is_unfinished_or_left_out() {
    let broken = containing(&rust_files(), UNFINISHED);
    report("unfinished", &broken);
}

#[test]
fn nothing_names_the_workplace() {
    let ours = texts(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let known = ["rs", "toml", "md", "c", "h", "sh", "service", "yml"];
        path.extension().is_some_and(|extension| known.iter().any(|known| extension == *known))
            || name == "Dockerfile"
            || name == "run"
    });
    // An image has folders of its own, where such names are nobody's.
    let ours: Vec<(String, String)> = ours.into_iter().filter(|(name, _)| name != "Dockerfile").collect();
    report("names a path of the workplace", &containing(&ours, WORKPLACE));
}

fn containing(texts: &[(String, String)], words: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, text) in texts {
        for (number, line) in text.lines().enumerate() {
            for (a, b) in words {
                if line.contains(&format!("{a}{b}")) {
                    broken.push(format!("{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    broken
}

#[test]
fn architecture_names_every_crate() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap_or_default();
    let broken: Vec<String> =
        crate_folders().into_iter().filter(|folder| !text.contains(folder.as_str())).collect();
    report("ARCHITECTURE.md does not mention", &broken);
}

#[test]
fn the_changelog_has_a_place_for_what_is_not_released() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap_or_default();
    let heading = |line: &str| line.starts_with("## ") && line.contains("Unreleased");
    assert!(text.lines().any(heading), "CHANGELOG.md has no section `Unreleased`");
}

#[test]
fn the_examples_of_configuration_are_there() {
    let broken: Vec<String> = ["conf/rvsd.toml", "conf/minimal.toml", "conf/rvsd.service"]
        .iter()
        .filter(|name| !root().join(name).is_file())
        .map(|name| (*name).to_owned())
        .collect();
    report("missing", &broken);
}

#[test]
fn the_unit_gives_rvsd_what_it_needs() {
    let text = fs::read_to_string(root().join("conf/rvsd.service")).unwrap_or_default();
    let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let wanted = [
        "Type=notify",
        "NotifyAccess=main",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "RuntimeDirectory=rvs",
        "LimitMEMLOCK=infinity",
        "Restart=on-failure",
    ];
    let mut broken: Vec<String> = wanted
        .iter()
        .filter(|line| !settings.contains(*line))
        .map(|line| format!("{line} is missing"))
        .collect();
    // TAPs, VFIO and huge pages are devices, and ports are in the host's network.
    let takes_away =
        |line: &&&str| line.starts_with("PrivateDevices=") || line.starts_with("PrivateNetwork=");
    broken
        .extend(settings.iter().filter(takes_away).map(|line| format!("{line} takes away what rvsd needs")));
    report("conf/rvsd.service", &broken);
}
