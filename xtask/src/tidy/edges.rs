//! Which of our crates may depend on which.

use super::Complaint;
use crate::Outcome;
use serde_json::Value;

/// What each crate of the product may name in its normal and build dependencies, by folder name.
/// Tests may name anything, and so may the crates in [`FREE`].
const ALLOWED: &[(&str, &[&str])] = &[
    ("change", &[]),
    ("wire", &["change"]),
    ("protocol", &["change", "wire"]),
    ("bridge", &[]),
    ("engine", &["change", "bridge"]),
    ("streams", &["change", "wire", "bridge"]),
    ("node", &["change", "wire", "protocol", "streams"]),
    ("rejoin", &["change", "wire", "protocol", "bridge", "engine", "streams", "node"]),
    ("cli", &["rejoin"]),
    ("extension", &["engine", "streams", "bridge"]),
];

/// Crates that are no part of the product.
const FREE: &[&str] = &["bench-compare", "bench-original", "bench-throughput", "conformance", "xtask"];

/// The crate that depends on nothing at all: it binds SQLite by itself.
const ALONE: &str = "bridge";

/// Checks the workspace that `cargo metadata --no-deps` describes.
pub fn check(metadata: &Value) -> Outcome<Vec<Complaint>> {
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let folder = folder_of(name);
        if FREE.contains(&folder) {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == folder) else {
            complaints.push(Complaint::new(
                name,
                0,
                "is not in the list of allowed edges: add it to ALLOWED in xtask/src/tidy/edges.rs",
            ));
            continue;
        };
        let dependencies = package["dependencies"].as_array();
        for dependency in dependencies.into_iter().flatten() {
            if dependency["kind"] == "dev" {
                continue;
            }
            let other = dependency["name"].as_str().unwrap_or_default();
            if folder == ALONE {
                complaints.push(Complaint::new(name, 0, format!("depends on {other}, and may depend on no crate")));
            } else if names.contains(&other) && !allowed.contains(&folder_of(other)) {
                complaints.push(Complaint::new(
                    name,
                    0,
                    format!("depends on {other}: that edge is not allowed (ARCHITECTURE.md)"),
                ));
            }
        }
    }
    Ok(complaints)
}

/// Packages are named rejoin-FOLDER; `rejoin` and `xtask` are their own folders' names.
fn folder_of(package: &str) -> &str {
    package.strip_prefix("rejoin-").unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace(package: &str, dependency: &str, kind: Value) -> Value {
        json!({"packages": [
            {"name": package, "dependencies": [{"name": dependency, "kind": kind}]},
            {"name": "rejoin-engine", "dependencies": []},
            {"name": "rejoin-change", "dependencies": []},
        ]})
    }

    #[test]
    fn streams_may_not_name_engine() {
        let found = check(&workspace("rejoin-streams", "rejoin-engine", Value::Null)).expect("reads");
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("rejoin-engine"), "{found:?}");
    }

    #[test]
    fn a_build_dependency_counts_and_a_test_dependency_does_not() {
        let count = |kind| check(&workspace("rejoin-streams", "rejoin-engine", kind)).expect("reads").len();
        assert_eq!(count(json!("build")), 1);
        assert_eq!(count(json!("dev")), 0);
    }

    #[test]
    fn an_allowed_edge_and_a_foreign_crate_pass() {
        for other in ["rejoin-change", "serde_json"] {
            let found = check(&workspace("rejoin-streams", other, Value::Null)).expect("reads");
            assert_eq!(found, []);
        }
    }

    #[test]
    fn bridge_may_name_no_crate_at_all() {
        let found = check(&workspace("rejoin-bridge", "libc", Value::Null)).expect("reads");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_crate_that_nobody_knows_is_refused() {
        let found = check(&workspace("rejoin-helpers", "serde_json", Value::Null)).expect("reads");
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("not in the list"));
    }
}
