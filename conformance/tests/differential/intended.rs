//! The differences that are meant, each with what is done so that the rest can be compared exactly. A failing run prints
//! them, for whoever has to decide whether it has found another. `docs/compat.md` tells them to users.

/// One difference.
pub struct Intended {
    /// Where it shows.
    pub name: &'static str,
    /// What the originals do, and why the built-in engine does not.
    pub reason: &'static str,
    /// What the comparison does about it.
    pub rule: &'static str,
}

/// Every one of them.
pub const INTENDED: &[Intended] = &[
    Intended {
        name: "versions after updates that change nothing, and after what was undone",
        reason: "the originals keep a version in memory under which nothing is stored, until a commit without tracked writes",
        rule: "such a commit is made at the original after every transaction; all versions are then equal",
    },
    Intended {
        name: "an UPDATE of a key",
        reason: "the originals' moved cells keep versions that peers have passed, so that those never get them",
        rule: "the rule of docs/compat.md is carried out on the original's clock; where one statement changes many keys, \
               rows are compared, and that the databases of the built-in engine end alike",
    },
    Intended {
        name: "impacted rows of what was rolled back or refused",
        reason: "the originals go on counting",
        rule: "the surplus is remembered at the rollback, and expected until a merge is committed",
    },
    Intended {
        name: "a record that is refused",
        reason: "the originals stop recording local writes, keep its key, raise the version and move the last rowid",
        rule: "at the original the bit is reset and the record undone to a savepoint; the version is raised at both",
    },
    Intended {
        name: "the version after crsql_as_table",
        reason: "the originals can give out versions twice",
        rule: "pre_compact_dbversion is raised at the original; its last tracked table is not given up",
    },
    Intended {
        name: "numbers of what nobody has recorded",
        reason: "at the originals seq, and at the snapshot local keys too, follow SQLite's plan for the query",
        rule: "where only these numbers differ, the original is given the others",
    },
    Intended {
        name: "numbers after a statement that failed in a transaction",
        reason: "the originals leave a gap for what it had written",
        rule: "the built-in engine is given the same gap",
    },
    Intended {
        name: "tables tracked or altered in a transaction, or by another connection",
        reason: "the originals look at the schema once in a transaction, and not again for what was only read",
        rule: "commits at the original after each change; a script ends where it cannot write a table made in a transaction",
    },
    Intended {
        name: "a schema change that was rolled back",
        reason: "the originals go on with the schema that is gone",
        rule: "the original's connection is opened anew",
    },
    Intended {
        name: "what is told at the end of an alteration of rows that went or came back unrecorded",
        reason: "the originals leave no tombstone, and a row that has come back stays dead for peers",
        rule: "no table is altered after unrecorded writes; conformance/tests/differences.rs has the case",
    },
    Intended {
        name: "a version that is asked for in a transaction that writes nothing",
        reason: "here it counts for the next one that writes; the originals spend it",
        rule: "scripts ask after a write",
    },
    Intended {
        name: "how often triggers of the application fire in a merge",
        reason: "where a cell brings a row to life, the originals write the row twice",
        rule: "triggers on updates note local writes only",
    },
    Intended {
        name: "the last rowid after a change of the schema",
        reason: "the originals move it",
        rule: "both are given the same",
    },
    Intended {
        name: "marker, comments and white space",
        reason: "0.16.0 and the snapshot mark files with 150000, 0.16.3 with 160300",
        rule: "not compared",
    },
    Intended {
        name: "snapshot only: ties, lives of unknown rows",
        reason: "it breaks ties by site, and forgets the life of a row whose first record is a cell",
        rule: "no two databases write the same cell; a sentinel goes before its cells",
    },
    Intended {
        name: "snapshot only: commits of other connections",
        reason: "it misses some, and then gives out a version twice",
        rule: "commits at the original before each step; transactions begin with the write lock",
    },
];
