//! The style and the layers of this repository, kept by a test.
//!
//! Each rule is a function from files to complaints. `the_repository_keeps_the_rules` runs them
//! all on the repository; beside it, each rule is seen to find a small bad example.

#[path = "tidy/each_rule_can_fail.rs"]
mod each_rule_can_fail;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use tests::source::{Source, sources};

/// Longest function, signature and braces included.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file before its tests. The aim is 500; the rest is room for what reads better whole,
/// such as the one file that knows protobuf.
const FILE_LINES_MAX: usize = 600;
/// The packages, in the order of their dependencies.
const PACKAGES: [&str; 4] = ["proto", "node", "client", "tests"];
/// All that may stand at the top of the repository beside dot files.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE",
    "docs",
    "proto",
    "node",
    "client",
    "tests",
    "deploy",
];
/// Names that say nothing about what is in a file.
const EMPTY_NAMES: [&str; 8] = [
    "utils", "util", "common", "helpers", "helper", "types", "manager", "misc",
];
/// Beginnings of function names that say nothing about what the function promises.
const EMPTY_VERBS: [&str; 3] = ["get_", "process_", "handle_"];
/// Functions whose names are the schema's, where `Get` is the standard method's name, or those of
/// an interface of the ordering engine.
const NAMED_BY_OTHERS: [(&str, &str); 8] = [
    ("node/src/engine/log_store.rs", "get_log_reader"),
    ("node/src/engine/log_store.rs", "get_log_state"),
    ("node/src/engine/machine.rs", "get_current_snapshot"),
    ("node/src/engine/machine.rs", "get_snapshot_builder"),
    ("node/src/service/log.rs", "get_catalogue"),
    ("node/src/service/log.rs", "get_checkpoint"),
    ("node/src/service/log.rs", "get_entry"),
    ("node/src/service/log.rs", "get_roster"),
];

/// Where a path may be named: at these places alone, or everywhere but at these places.
struct Layer {
    /// Paths that are named, such as `sled`.
    names: &'static [&'static str],
    /// The files it applies to.
    within: &'static str,
    /// The beginnings of the files that may name it all the same.
    except: &'static [&'static str],
    /// Why.
    because: &'static str,
}

const LAYERS: &[Layer] = &[
    Layer {
        names: &["node", "client", "tests"],
        within: "proto/",
        except: &[],
        because: "proto imports no other package",
    },
    Layer {
        names: &["node", "tests"],
        within: "client/",
        except: &[],
        because: "the client knows the protocol, not the server",
    },
    Layer {
        names: &["tests"],
        within: "node/",
        except: &[],
        because: "nothing imports tests",
    },
    Layer {
        names: &["client"],
        within: "node/",
        except: &["node/src/demo"],
        because: "only the demo plays a till",
    },
    Layer {
        names: &["prost", "tonic", "tonic_prost"],
        within: "proto/src/",
        except: &["proto/src/wire"],
        because: "only `wire` knows protobuf",
    },
    Layer {
        names: &["blake3"],
        within: "",
        except: &["proto/src/hash.rs", "tests/"],
        because: "every hash and every context string stands in proto/src/hash.rs",
    },
    Layer {
        names: &["sled"],
        within: "",
        except: &["node/src/store", "tests/"],
        because: "only the store knows the database",
    },
    Layer {
        names: &["openraft"],
        within: "",
        except: &["node/src/engine", "tests/"],
        because: "only `engine` knows openraft",
    },
    Layer {
        names: &[
            "SystemTime::now",
            "std::time::SystemTime::now",
            "Timestamp::now",
            "Zoned::now",
        ],
        within: "node/src/",
        except: &["node/src/clock.rs"],
        because: "the node reads the time in one place",
    },
    Layer {
        names: &[
            "std::fs",
            "std::thread",
            "std::env",
            "std::process",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "SystemTime",
            "Instant",
            "std::time::Instant",
            "std::time::SystemTime",
            "Timestamp::now",
            "Zoned::now",
            "getrandom",
            "OsRng",
            "rand_core::OsRng",
            "thread_rng",
            "tokio",
        ],
        within: "proto/src/",
        except: &[],
        because: "proto has no socket, file, clock or global randomness",
    },
];

fn layers(files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for layer in LAYERS {
        let bound = files.iter().filter(|file| {
            file.path.starts_with(layer.within)
                && !layer
                    .except
                    .iter()
                    .any(|except| file.path.starts_with(except))
        });
        for file in bound {
            for name in layer.names {
                for line in paths_from(file, name) {
                    complaints.push(format!("{}:{line}: {name}: {}", file.path, layer.because));
                }
            }
        }
    }
    complaints
}

/// Where a package or path is named as one: `client::`, `use client;`, and not a variable.
fn paths_from(file: &Source, name: &str) -> Vec<usize> {
    let lines: Vec<&str> = file.code.lines().collect();
    let is_path = |line: &usize| {
        let text = lines.get(line - 1).copied().unwrap_or_default();
        let is_type = name.contains("::") || name.chars().any(char::is_uppercase);
        is_type
            || text.contains(&format!("{name}::"))
            || text.contains(&format!("use {name};"))
            || text.contains(&format!("use {name} as"))
    };
    file.lines_naming(name)
        .into_iter()
        .filter(is_path)
        .collect()
}

/// In proto a module imports only modules that lib.rs declares above it.
fn module_order(files: &[Source]) -> Vec<String> {
    let Some(lib) = files.iter().find(|file| file.path == "proto/src/lib.rs") else {
        return vec!["proto/src/lib.rs is missing".to_owned()];
    };
    let declared: Vec<&str> = lib
        .code
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "))
        .filter_map(|name| name.strip_suffix(';'))
        .collect();
    let place = |module: &str| declared.iter().position(|name| *name == module);
    let mut complaints = Vec::new();
    for file in files {
        let Some(inside) = file.path.strip_prefix("proto/src/") else {
            continue;
        };
        let module = inside.split(['/', '.']).next().unwrap_or_default();
        for (line, imported) in file.crate_imports() {
            if place(&imported) > place(module) {
                complaints.push(format!(
                    "{}:{line}: {module} imports {imported}, which lib.rs declares below it",
                    file.path
                ));
            }
        }
    }
    complaints
}

fn lengths(files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let lines = file.lines_before_tests();
        if lines > FILE_LINES_MAX {
            let path = &file.path;
            complaints.push(format!(
                "{path}: {lines} lines before its tests, at most {FILE_LINES_MAX}"
            ));
        }
        for function in file
            .functions()
            .iter()
            .filter(|f| f.lines > FUNCTION_LINES_MAX)
        {
            complaints.push(format!(
                "{}:{}: {} has {} lines, at most {FUNCTION_LINES_MAX}",
                file.path, function.line, function.name, function.lines
            ));
        }
    }
    complaints
}

fn names(files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for part in file.path.trim_end_matches(".rs").split('/') {
            if EMPTY_NAMES.contains(&part) {
                complaints.push(format!(
                    "{}: {part} says nothing about what is in it",
                    file.path
                ));
            }
        }
        for (number, line) in file.code.lines().enumerate() {
            let module = line.trim().trim_start_matches("pub ").strip_prefix("mod ");
            let module = module.map(|name| name.trim_end_matches([';', '{', ' ']));
            if module.is_some_and(|module| EMPTY_NAMES.contains(&module)) {
                complaints.push(format!(
                    "{}:{}: a module with an empty name",
                    file.path,
                    number + 1
                ));
            }
        }
        for function in file.functions() {
            if EMPTY_VERBS
                .iter()
                .any(|verb| function.name.starts_with(verb))
                && !NAMED_BY_OTHERS.contains(&(file.path.as_str(), function.name.as_str()))
            {
                let (line, name) = (function.line, &function.name);
                complaints.push(format!(
                    "{}:{line}: {name}: name what it promises",
                    file.path
                ));
            }
        }
    }
    complaints
}

/// BLAKE3's context strings stand in one file; what uses the hash is kept by [`LAYERS`].
fn context_strings(files: &[Source]) -> Vec<String> {
    let elsewhere = files.iter().filter(|file| {
        file.path != "proto/src/hash.rs"
            && !file.path.starts_with("tests/tidy")
            && file.words.contains("\"vitrail 20")
    });
    elsewhere
        .map(|file| {
            format!(
                "{}: a context string belongs to proto/src/hash.rs",
                file.path
            )
        })
        .collect()
}

fn top_level(entries: &[String]) -> Vec<String> {
    let strange = entries.iter().filter(|entry| {
        !entry.starts_with('.') && *entry != "target" && !TOP_LEVEL.contains(&entry.as_str())
    });
    strange
        .map(|entry| format!("{entry} does not belong to the top level"))
        .collect()
}

/// Versions stand once, in the workspace; which package may depend on which.
fn manifest(package: &str, text: &str) -> Vec<String> {
    let parsed: toml::Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(_) => return vec![format!("{package}/Cargo.toml is not TOML")],
    };
    let mut complaints = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = parsed.get(section).and_then(toml::Value::as_table) else {
            continue;
        };
        for (name, wanted) in dependencies {
            let inherits = wanted.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if !inherits || wanted.get("version").is_some() {
                complaints.push(format!(
                    "{package}/Cargo.toml: {name} must be `workspace = true`"
                ));
            }
            let allowed: &[&str] = match package {
                "proto" => &[],
                "client" => &["proto"],
                "node" => &["proto", "client"],
                _ => &["proto", "client", "node"],
            };
            if PACKAGES.contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
                complaints.push(format!(
                    "{package}/Cargo.toml: {package} must not depend on {name}"
                ));
            }
        }
    }
    complaints
}

/// The page of the protocol lists the refusal reasons of the code, no more and no fewer.
fn reasons_listed(page: &str) -> Vec<String> {
    use proto::refusal::Reason;
    let mut complaints = Vec::new();
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|'))
        .flat_map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')))
        .filter(|cell| cell.len() > 4 && cell.contains('_'))
        .filter(|cell| cell.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .collect();
    for reason in Reason::ALL {
        if !listed.contains(&reason.code()) {
            complaints.push(format!("docs/protocol.md does not list {}", reason.code()));
        }
    }
    for code in listed {
        if Reason::from_code(code).is_none() {
            complaints.push(format!("docs/protocol.md lists {code}, which is no reason"));
        }
    }
    complaints
}

/// No path of one machine, and no dash that the page of style does without.
fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file keeps its own rule.
    let unwanted = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["\u{20}", "\u{2014}", "\u{20}"].concat(),
    ];
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in unwanted.iter().filter(|word| line.contains(word.as_str())) {
            complaints.push(format!(
                "{path}:{}: `{word}` does not belong in a tracked file",
                number + 1
            ));
        }
    }
    complaints
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn repository_sources() -> Vec<Source> {
    sources(&root(), &PACKAGES).expect("the sources can be read")
}

/// The tracked files; every file outside `target` where there is no git.
fn tracked_files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output();
    match listed {
        Ok(listed) if listed.status.success() => String::from_utf8_lossy(&listed.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => walk(&root(), "").expect("the repository can be read"),
    }
}

fn walk(root: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    for item in fs::read_dir(root.join(folder))? {
        let item = item?;
        let name = item.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        match item.file_type()?.is_dir() {
            true if name == "target" || name == ".git" => {}
            true => paths.extend(walk(root, &path)?),
            false => paths.push(path),
        }
    }
    Ok(paths)
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_repository_keeps_its_layers() {
    assert_none(&layers(&repository_sources()));
}

#[test]
fn proto_modules_import_only_what_is_declared_above_them() {
    assert_none(&module_order(&repository_sources()));
}

#[test]
fn functions_and_files_keep_their_length() {
    assert_none(&lengths(&repository_sources()));
}

#[test]
fn names_say_what_is_in_them() {
    assert_none(&names(&repository_sources()));
}

#[test]
fn context_strings_stand_in_one_file() {
    assert_none(&context_strings(&repository_sources()));
}

#[test]
fn the_top_level_is_fixed() {
    let entries = fs::read_dir(root()).unwrap();
    let entries = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    assert_none(&top_level(&entries.collect::<Vec<_>>()));
}

#[test]
fn versions_stand_once_and_dependencies_point_one_way() {
    for package in PACKAGES {
        let text = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        assert_none(&manifest(package, &text));
    }
}

#[test]
fn the_protocol_page_lists_the_reasons() {
    match fs::read_to_string(root().join("docs/protocol.md")) {
        Ok(page) => assert_none(&reasons_listed(&page)),
        Err(_) => println!("skipped: there is no docs/protocol.md yet"),
    }
}

#[test]
fn tracked_files_name_no_machine() {
    let mut complaints = Vec::new();
    for path in tracked_files() {
        // Binary files are fixtures; they are not read for words.
        if let Ok(text) = fs::read_to_string(root().join(&path)) {
            complaints.extend(machine_paths(&path, &text));
        }
    }
    assert_none(&complaints);
}
