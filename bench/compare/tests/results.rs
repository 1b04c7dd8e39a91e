//! The comparing program, with few rows: its results must be the same everywhere. Times are not looked at.

use std::process::Command;

#[test]
fn the_original_and_the_built_in_engine_come_to_the_same_results() {
    let output = Command::new(env!("CARGO_BIN_EXE_rejoin-bench-compare"))
        .args(["--rows", "100", "--rounds", "1", "--json"])
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    if told["original"] == false {
        let required = std::env::var("REJOIN_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|word| word == "oracle"), "the original must be there: {errors}");
        println!("skipped: the original is not there; `cargo xtask oracle` makes it");
    }
    for setting in told["settings"].as_array().expect("a list") {
        for workload in setting["workloads"].as_array().expect("a list") {
            for system in workload["systems"].as_array().expect("a list") {
                assert_eq!(system["cpu_ns"].as_array().map(Vec::len), Some(1), "{workload}");
            }
        }
        let workloads = setting["workloads"].as_array().map(Vec::len);
        assert_eq!(workloads, Some(19));
    }
}

#[test]
fn a_work_that_is_not_there_is_refused_with_those_that_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_rejoin-bench-compare"))
        .args(["--only", "nothing"])
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("conflicts-rows"));
}
