//! House rules that a program can check: module headers, line lengths, file sizes, where `unsafe` and processors may be named, pinned actions.
//! Given the sources as git tracks them (in an archive without git: every source file).
//! Promises a list of every place that breaks a rule, not only the first.

use std::fs;
use std::path::{Path, PathBuf};

/// Longer lines are read with a finger on the screen. String literals and rows of tables may be longer.
const LINE: usize = 150;
/// More lines than a reader holds in mind. Tests may be longer: they are lists.
const LINES: usize = 660;

/// Where `unsafe` may stand: intrinsics, raw pointers in loops over them, memory maps, uninitialised tensors, memory lent to
/// NumPy, hand-over between threads, and asking a shared library what it is.
const UNSAFE: &[&str] = &[
    "crates/onnx-swish-simd/",
    "crates/onnx-swish-kernels/",
    "crates/onnx-swish-conv/",
    "crates/onnx-swish-threads/src/",
    "crates/onnx-swish-model/src/map.rs",
    "crates/onnx-swish-model/src/save/mod.rs",
    "crates/onnx-swish-python/src/lent.rs",
    "crates/onnx-swish-tract/src/arena/storage.rs",
    "crates/onnx-swish/src/verify/reference/probe.rs",
];

struct Source {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    /// Written by a program.
    fn is_generated(&self) -> bool {
        self.path.ends_with("schema/onnx.rs")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                let hidden = |name: &str| name == "target" || name.starts_with('.');
                if !path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(hidden)
                {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).expect("below the root");
                found.push(Source {
                    path: relative.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path).expect("UTF-8 source"),
                });
            }
        }
    }
    found.retain(|source| !source.is_generated());
    assert!(found.len() > 100, "the sources are not where they were");
    found
}

fn none(broken: Vec<String>, rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

/// The line without comments, for rules on code.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

#[test]
fn a_module_opens_with_what_it_is() {
    let broken = sources().into_iter().filter_map(|source| {
        let first = source.text.lines().next().unwrap_or("");
        (!first.starts_with("//! ") && !source.path.starts_with("tests/fuzz"))
            .then_some(source.path)
    });
    none(
        broken.collect(),
        "a module opens with `//!`: what it is, what it is given, what it promises",
    );
}

#[test]
fn lines_are_readable() {
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > LINE && !line.contains('"') && !line.contains("/ |") {
                broken.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    none(broken, &format!("no line is longer than {LINE} characters"));
}

#[test]
fn files_have_one_subject() {
    let broken = sources().into_iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > LINES && !source.is_test()).then(|| format!("{}: {lines} lines", source.path))
    });
    none(
        broken.collect(),
        &format!("no file is longer than {LINES} lines: split it by subject"),
    );
}

#[test]
fn unsafe_code_stays_where_it_must_be() {
    let broken = sources().into_iter().filter_map(|source| {
        let allowed = UNSAFE.iter().any(|place| source.path.starts_with(place)) || source.is_test();
        let uses = source.text.lines().any(|line| {
            let code = code(line);
            ["unsafe {", "unsafe fn", "unsafe impl"]
                .iter()
                .any(|word| code.contains(word))
        });
        (uses && !allowed).then_some(source.path)
    });
    none(
        broken.collect(),
        "unsafe code stands only in the places that this test lists",
    );
}

#[test]
fn processors_are_named_in_one_crate() {
    let mut architectures = Vec::new();
    let mut sets = Vec::new();
    for source in sources() {
        let outside =
            source.path.starts_with("crates/") && !source.path.contains("onnx-swish-simd/");
        for (number, line) in source.text.lines().enumerate().filter(|_| outside) {
            let place = format!("{}:{}: {}", source.path, number + 1, line.trim());
            if line.contains("target_arch") {
                architectures.push(place.clone());
            }
            if ["Isa::Avx", "Isa::Neon", "Isa::Portable"]
                .iter()
                .any(|set| line.contains(set))
            {
                sets.push(place);
            }
        }
    }
    assert!(
        architectures.len() <= 3 && sets.len() <= 4,
        "`target_arch` and the variants of `Isa` belong into onnx-swish-simd:\n{}\n{}",
        architectures.join("\n"),
        sets.join("\n")
    );
}

#[test]
fn no_unwrap_on_what_a_file_says() {
    // The crates that read files. Tests at the end of a file, behind `#[cfg(test)]`, may.
    let mut broken = Vec::new();
    for source in sources() {
        let reads = [
            "crates/onnx-swish-model/src/",
            "crates/onnx-swish-fuse/src/",
        ]
        .iter()
        .any(|crate_of_files| source.path.starts_with(crate_of_files));
        if !reads || source.is_test() {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                break;
            }
            let code = code(line);
            if code.contains(".unwrap()") || code.contains(".expect(") {
                broken.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    none(
        broken,
        "data from a file is hostile: no `unwrap` and no `expect`",
    );
}

/// A tag of an action can be moved to other code; a commit cannot.
#[test]
fn workflows_name_the_commits_of_their_actions() {
    let folder = root().join(".github/workflows");
    let mut broken = Vec::new();
    let mut actions = 0;
    for entry in fs::read_dir(&folder).expect("a folder of the repository") {
        let path = entry.expect("an entry of it").path();
        let text = fs::read_to_string(&path).expect("UTF-8 workflow");
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            actions += 1;
            let action = action.split_whitespace().next().unwrap_or("");
            let commit = action.split_once('@').map_or("", |(_, commit)| commit);
            if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                broken.push(format!("{}: {action}", path.display()));
            }
        }
    }
    assert!(actions > 5, "the workflows are not where they were");
    none(broken, "a workflow names an action by its commit");
}

/// The folders of our crates with their manifests.
fn manifests() -> Vec<(PathBuf, String)> {
    let crates = fs::read_dir(root().join("crates")).expect("a folder of the repository");
    let crates = crates.map(|entry| entry.expect("an entry of it").path());
    let manifest = |folder: PathBuf| {
        let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        (folder, text)
    };
    let found: Vec<_> = crates.filter(|path| path.is_dir()).map(manifest).collect();
    assert!(found.len() > 8, "the crates are not where they were");
    found
}

#[test]
fn the_repository_s_address_is_filled_in_at_one_place() {
    let broken = manifests().into_iter().filter(|(_, text)| {
        let mut lines = text.lines().filter(|line| line.starts_with("repository"));
        lines.next() != Some("repository.workspace = true")
    });
    none(
        broken
            .map(|(folder, _)| folder.display().to_string())
            .collect(),
        "the address stands in the workspace's Cargo.toml alone, and each crate says `repository.workspace = true`",
    );
}

/// What crates.io shows of a crate has nothing beside it.
#[test]
fn pages_of_published_crates_have_links_that_work_elsewhere() {
    let mut broken = Vec::new();
    for (folder, text) in manifests() {
        if text.lines().any(|line| line == "publish = false") {
            continue;
        }
        if !text.lines().any(|line| line == r#"readme = "README.md""#) {
            broken.push(format!("{}: no page of its own", folder.display()));
            continue;
        }
        let page = fs::read_to_string(folder.join("README.md")).expect("a page");
        let links = page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://") && !link.starts_with('#')) {
            broken.push(format!("{}: {link}", folder.display()));
        }
    }
    none(
        broken,
        "a page on crates.io links to addresses, not to files",
    );
}
