//! Writes one test for each recorded scenario, so that each is named, run and reported by itself.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=traces/INDEX.txt");
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package's folder");
    let index = Path::new(&manifest).join("traces/INDEX.txt");
    let index = fs::read_to_string(index).expect("the index of the traces can be read");
    let mut tests = String::new();
    for name in index.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name) {
        writeln!(tests, "#[test]\nfn {name}() {{\n    check(\"{name}\");\n}}").expect("memory");
    }
    let out = env::var_os("OUT_DIR").expect("cargo names the output folder");
    fs::write(Path::new(&out).join("scenarios.rs"), tests).expect("the tests can be written");
}
