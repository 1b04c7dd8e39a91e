//! Licences and sources of the crates that are built in, by the lists in deny.toml.
//!
//! cargo-deny checks the same lists and more where it is installed; this check costs nothing and runs everywhere.

use super::Complaint;
use crate::Outcome;
use serde_json::Value;

/// Checks the graph that `cargo metadata` describes against the text of deny.toml.
pub fn check(metadata: &Value, deny: &str) -> Outcome<Vec<Complaint>> {
    let allowed = allowed_licences(deny)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(licence) if is_allowed(licence, &allowed) => {}
            Some(licence) => complaints.push(Complaint::new(
                name,
                0,
                format!("has the licence {licence}, which deny.toml does not allow"),
            )),
            None => complaints.push(Complaint::new(name, 0, "names no licence")),
        }
        if let Some(source) = package["source"].as_str()
            && source != REGISTRY
        {
            complaints.push(Complaint::new(name, 0, format!("comes from {source}, not from crates.io")));
        }
    }
    Ok(complaints)
}

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The strings of `allow = [...]` under `[licenses]`.
fn allowed_licences(deny: &str) -> Outcome<Vec<String>> {
    let section = deny
        .split_once("[licenses]")
        .and_then(|(_, rest)| rest.split_once("allow = ["))
        .and_then(|(_, rest)| rest.split_once(']'))
        .ok_or("deny.toml has no list `allow` under [licenses]")?
        .0;
    Ok(section.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an expression such as `(MIT OR Apache-2.0) AND Unicode-3.0` can be met with the allowed licences.
/// AND binds tighter than OR; the old form `MIT/Apache-2.0` means OR.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&words, &mut at, allowed) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(&word) = words.get(*at) else { return false };
    *at += 1;
    if word == "(" {
        let met = any_of(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    let mut name = word.to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DENY: &str = "[bans]\nallow = [\"x\"]\n[licenses]\nallow = [\n  \"MIT\",\n  \"Unicode-3.0\",\n]\n";

    fn found(licence: Value, source: Value) -> Vec<Complaint> {
        let metadata = json!({"packages": [{"name": "a", "license": licence, "source": source}]});
        check(&metadata, DENY).expect("reads")
    }

    #[test]
    fn an_allowed_licence_from_the_registry_passes() {
        for licence in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND Unicode-3.0"] {
            assert_eq!(found(json!(licence), json!(REGISTRY)), [], "{licence}");
        }
        assert_eq!(found(json!("MIT"), Value::Null), []);
    }

    #[test]
    fn a_licence_that_is_not_allowed_is_found() {
        for licence in ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH Exception", "(MIT", "", "GPL-3.0 OR MIT AND Zlib"] {
            assert_eq!(found(json!(licence), json!(REGISTRY)).len(), 1, "{licence}");
        }
        assert_eq!(found(Value::Null, json!(REGISTRY)).len(), 1);
    }

    #[test]
    fn another_source_is_found() {
        assert_eq!(found(json!("MIT"), json!("git+https://example.org/a")).len(), 1);
    }

    #[test]
    fn a_deny_file_without_the_list_is_an_error() {
        assert!(check(&json!({"packages": []}), "[bans]\n").is_err());
    }
}
