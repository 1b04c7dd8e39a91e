//! What happens in the simulation, step by step, as data: a script is made from a seed, can be printed, and can be cut
//! down to the part that matters. Numbers beyond what there is count from the beginning again.

use crate::files::Schema;
use crate::random::Random;
use rejoin_streams::{Atomic, Order, PACKAGE_BYTES_DEFAULT};

/// The beginning of a simulation and what happens in it.
#[derive(Clone, Debug)]
pub struct Script {
    pub databases: Vec<Schema>,
    pub shape: Shape,
    /// How inbound streams take packages until something else is said.
    pub receive: (Order, Atomic),
    pub steps: Vec<Step>,
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Chain,
    Ring,
    Star,
    /// Two stars, joined at their middles.
    StarOfStars,
    Mesh,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A transaction of the application; `elsewhere` in a connection that knows nothing of the streams' one.
    Write {
        database: usize,
        write: Write,
        key: usize,
        value: usize,
        elsewhere: bool,
    },
    /// Several packages in a row, and the receiver's receipt the other way. Nothing of it has arrived yet.
    Send {
        link: usize,
        back: bool,
        changes_max: usize,
        packages: usize,
        bytes_max: usize,
    },
    /// A message arrives; with `again` it will arrive once more.
    Deliver {
        at: usize,
        again: bool,
        inside: Inside,
    },
    Lose {
        at: usize,
    },
    /// A message that has arrived arrives once more, however old.
    Late {
        at: usize,
    },
    /// Both ways until nothing follows, with nothing lost.
    Level {
        link: usize,
    },
    /// The sender hears where the receiver stands; where both say that they are in sync they must be.
    Compare {
        link: usize,
        back: bool,
    },
    Backup {
        database: usize,
    },
    Restore {
        backup: usize,
        how: Restore,
    },
    /// The file is copied while it is open, and the copy lives on with neighbours of its own.
    Clone {
        database: usize,
        how: Copying,
        neighbours: [usize; 2],
    },
    /// The file is deleted and made anew.
    Wipe {
        database: usize,
        keeps_id: bool,
    },
    Reopen {
        database: usize,
    },
    SetBack {
        link: usize,
        back: bool,
        version: usize,
    },
    Filter {
        link: usize,
        back: bool,
        filter: FilterKind,
    },
    /// The receiver opens its stream with other options.
    Receive {
        link: usize,
        back: bool,
        order: Order,
        atomic: Atomic,
        tables: Option<&'static [&'static str]>,
    },
    Grow {
        database: usize,
        what: Growth,
    },
    /// The history of a table is given up, and begun anew.
    Remake {
        database: usize,
        table: usize,
    },
    /// The connection counts a version that is never stored.
    Burn {
        database: usize,
    },
    /// A package is asked for inside a transaction that has written, which is then rolled back.
    ReadInTransaction {
        link: usize,
        back: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Write {
    Insert,
    Replace,
    UpdateOne,
    UpdateMany,
    /// A value that small packages carry in parts.
    UpdateLarge,
    Delete,
    MoveKey,
    BothTables,
    Third,
}

/// In which transaction a package is applied.
#[derive(Clone, Copy, Debug)]
pub enum Inside {
    Own,
    /// The caller's, which also writes and commits.
    Callers,
    /// The caller's, which is rolled back; the message stays on its way.
    RolledBack,
}

#[derive(Clone, Copy, Debug)]
pub enum Restore {
    /// The file is put in place while nobody has it open.
    Closed,
    /// Through SQLite's backup interface, into the connection that is open.
    Open,
}

#[derive(Clone, Copy, Debug)]
pub enum Copying {
    File,
    VacuumInto,
}

#[derive(Clone, Copy, Debug)]
pub enum FilterKind {
    All,
    LocalOnly,
    /// Without the changes of one database.
    Exclude(usize),
    /// One table, or two.
    Tables(&'static [&'static str]),
}

#[derive(Clone, Copy, Debug)]
pub enum Growth {
    /// Column d of table t, where it is missing; filled for some rows while the triggers are off.
    Column { filled: bool },
    /// Table w.
    Table,
    /// An alteration that changes no column.
    Nothing,
}

impl Script {
    pub fn of(seed: u64) -> Script {
        let mut random = Random::seeded(seed);
        let shape = random.of(&[Shape::Chain, Shape::Ring, Shape::Star, Shape::Mesh, Shape::StarOfStars]);
        let databases = match shape {
            Shape::StarOfStars => 4 + random.below(2),
            _ => random.of(&[2, 2, 3, 3, 3, 4]),
        };
        let databases = (0..databases).map(|_| if random.percent(30) { Schema::Old } else { Schema::New }).collect();
        let receive = (random.of(&[Order::Strict, Order::Any]), random.of(&[Atomic::Transaction, Atomic::Package]));
        let steps = 15 + random.below(55);
        let steps = (0..steps).map(|_| Step::random(&mut random)).collect();
        Script { databases, shape, receive, steps }
    }
}

impl Shape {
    pub fn links(self, databases: usize) -> Vec<(usize, usize)> {
        let star = |middle: usize, outer: std::ops::Range<usize>| outer.map(move |index| (middle, index));
        match self {
            Shape::Chain => (1..databases).map(|index| (index - 1, index)).collect(),
            Shape::Ring if databases > 2 => (0..databases).map(|index| (index, (index + 1) % databases)).collect(),
            Shape::Ring | Shape::Star => star(0, 1..databases).collect(),
            Shape::StarOfStars => {
                let half = 2 + (databases - 2) / 2;
                star(0, 1..half).chain(star(1, half..databases)).collect()
            }
            Shape::Mesh => (0..databases).flat_map(|a| (0..a).map(move |b| (b, a))).collect(),
        }
    }
}

impl Step {
    fn random(random: &mut Random) -> Step {
        let (database, link, back) = (random.below(60), random.below(60), random.percent(50));
        let mut choice = random.below(WEIGHTS.iter().map(|(weight, _)| weight).sum());
        for (weight, make) in WEIGHTS {
            if choice < *weight {
                return make(random, database, link, back);
            }
            choice -= weight;
        }
        Step::Reopen { database }
    }
}

type Make = fn(&mut Random, usize, usize, bool) -> Step;

/// Bytes of a package that holds a part of a large value only.
pub const SMALL: usize = 100;

const TABLES: &[&[&str]] = &[&["t"], &["u"], &["t", "u"], &["u", "w"]];

/// How often each step comes, and what it is.
const WEIGHTS: &[(usize, Make)] = &[
    (300, |random, database, _, _| Step::Write {
        database,
        write: random.of(&[
            Write::Insert,
            Write::Replace,
            Write::UpdateOne,
            Write::UpdateOne,
            Write::UpdateMany,
            Write::UpdateLarge,
            Write::Delete,
            Write::MoveKey,
            Write::BothTables,
            Write::Third,
        ]),
        key: 1 + random.below(4),
        value: random.below(6),
        elsewhere: random.percent(3),
    }),
    (300, |random, _, link, back| Step::Send {
        link,
        back,
        changes_max: 1 + random.below(4),
        packages: random.of(&[1, 1, 1, 2, 3]),
        bytes_max: random.of(&[SMALL, SMALL, PACKAGE_BYTES_DEFAULT]),
    }),
    (320, |random, _, _, _| Step::Deliver {
        at: if random.percent(30) { random.below(8) } else { 0 },
        again: random.percent(10),
        inside: if random.percent(90) { Inside::Own } else { random.of(&[Inside::Callers, Inside::RolledBack]) },
    }),
    (50, |random, _, _, _| Step::Lose { at: random.below(8) }),
    (25, |random, _, _, _| Step::Late { at: random.below(64) }),
    (20, |_, _, link, _| Step::Level { link }),
    (60, |_, _, link, back| Step::Compare { link, back }),
    (30, |_, database, _, _| Step::Backup { database }),
    (14, |random, _, _, _| Step::Restore {
        backup: random.below(60),
        how: random.of(&[Restore::Closed, Restore::Closed, Restore::Open]),
    }),
    (12, |random, database, _, _| Step::Clone {
        database,
        how: random.of(&[Copying::File, Copying::VacuumInto]),
        neighbours: [random.below(60), random.below(60)],
    }),
    (4, |random, database, _, _| Step::Wipe { database, keeps_id: random.percent(30) }),
    (20, |_, database, _, _| Step::Reopen { database }),
    (10, |random, _, link, back| Step::SetBack { link, back, version: random.below(8) }),
    (25, |random, _, link, back| Step::Filter {
        link,
        back,
        filter: match random.below(4) {
            0 => FilterKind::All,
            1 => FilterKind::LocalOnly,
            2 => FilterKind::Exclude(random.below(60)),
            _ => FilterKind::Tables(random.of(TABLES)),
        },
    }),
    (25, |random, _, link, back| Step::Receive {
        link,
        back,
        order: random.of(&[Order::Strict, Order::Any]),
        atomic: random.of(&[Atomic::Transaction, Atomic::Package]),
        tables: random.percent(20).then(|| random.of(TABLES)),
    }),
    (15, |random, database, _, _| Step::Grow {
        database,
        what: match random.below(4) {
            0 => Growth::Table,
            1 => Growth::Nothing,
            _ => Growth::Column { filled: random.percent(60) },
        },
    }),
    (5, |random, database, _, _| Step::Remake { database, table: random.below(2) }),
    (20, |_, database, _, _| Step::Burn { database }),
    (15, |_, _, link, back| Step::ReadInTransaction { link, back }),
];
