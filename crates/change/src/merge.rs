use crate::SENTINEL;
use std::cmp::Ordering;

/// What one database knows of a row and of one of its cells before a change is merged into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Causal length of the row: what its sentinel says; 1 when it has cells but no sentinel; 0 when it is unknown.
    pub causal_length: i64,
    /// The cell's col_version; none when nothing was ever recorded for the cell.
    pub col_version: Option<i64>,
}

/// The part of an incoming change that decides its merge, its value aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving<'a> {
    /// Name of the column, or [`SENTINEL`].
    pub column: &'a str,
    /// Lamport counter of the cell.
    pub col_version: i64,
    /// Causal length of the row at its author.
    pub causal_length: i64,
}

/// What merging a change does to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: what is here is newer, or the same.
    Ignore,
    /// The row goes; its causal length becomes the incoming one and all its cells are forgotten.
    Delete,
    /// The row comes to life, or starts a new life, at the incoming causal length. Cells that it had keep their values
    /// with col_version 0, so that any write of the new life wins against them.
    Revive,
    /// The cell takes the incoming value.
    Write {
        /// True where the row is revived first, as in [`Verdict::Revive`].
        revive: bool,
    },
}

/// How two writes of one cell with equal col_versions compare: the incoming one with the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The values, in the order of [`crate::ValueRef::merge_order`].
    pub values: Ordering,
    /// The authors' site ids by their bytes, where equal values are merged; else equal.
    pub sites: Ordering,
}

/// Decides a merge. It is the only place where that is done.
///
/// The longer causal length wins; a deletion beats everything of the lives before it. Inside one life the greater
/// col_version wins; of equal ones the greater value. Of equal values the one that is stored stays, unless equal values
/// are merged as well: then the greater site id wins.
///
/// `tie` says how the incoming write compares with the stored one. It is asked at most once and only when everything
/// else is equal, because the answer needs a look into the user's table.
pub fn decide<E>(
    standing: Standing,
    arriving: Arriving<'_>,
    tie: impl FnOnce() -> Result<Tie, E>,
) -> Result<Verdict, E> {
    let (here, there) = (standing.causal_length, arriving.causal_length);
    if there < here {
        return Ok(Verdict::Ignore);
    }
    if there % 2 == 0 {
        return Ok(if there == here { Verdict::Ignore } else { Verdict::Delete });
    }
    if arriving.column == SENTINEL {
        return Ok(if there == here { Verdict::Ignore } else { Verdict::Revive });
    }
    if there > here {
        // A row's first life needs no sentinel: it is implied by its cells.
        let first_life = here == 0 && there == 1;
        return Ok(Verdict::Write { revive: !first_life });
    }
    let wins = match standing.col_version.map(|stored| arriving.col_version.cmp(&stored)) {
        None | Some(Ordering::Greater) => true,
        Some(Ordering::Less) => false,
        Some(Ordering::Equal) => {
            let tie = tie()?;
            tie.values.then(tie.sites) == Ordering::Greater
        }
    };
    Ok(if wins { Verdict::Write { revive: false } } else { Verdict::Ignore })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// A row as a database keeps it, which executes verdicts.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Row {
        sentinel: Option<i64>,
        cells: BTreeMap<&'static str, (i64, Value)>,
    }

    #[derive(Clone, Debug)]
    struct Record {
        column: &'static str,
        value: Value,
        col_version: i64,
        causal_length: i64,
    }

    impl Row {
        fn causal_length(&self) -> i64 {
            self.sentinel.unwrap_or(if self.cells.is_empty() { 0 } else { 1 })
        }

        fn merge(&mut self, record: &Record) {
            let standing = Standing {
                causal_length: self.causal_length(),
                col_version: self.cells.get(record.column).map(|cell| cell.0),
            };
            let arriving = Arriving {
                column: record.column,
                col_version: record.col_version,
                causal_length: record.causal_length,
            };
            let verdict = decide(standing, arriving, || {
                let values = record.value.merge_order(&self.cells[record.column].1);
                Ok::<_, Infallible>(Tie { values, sites: Ordering::Equal })
            });
            match verdict.unwrap() {
                Verdict::Ignore => {}
                Verdict::Delete => *self = Row { sentinel: Some(record.causal_length), cells: BTreeMap::new() },
                Verdict::Revive => self.revive(record.causal_length),
                Verdict::Write { revive } => {
                    if revive {
                        self.revive(record.causal_length);
                    }
                    self.cells.insert(record.column, (record.col_version, record.value.clone()));
                }
            }
        }

        fn revive(&mut self, causal_length: i64) {
            self.cells.values_mut().for_each(|cell| cell.0 = 0);
            self.sentinel = Some(causal_length);
        }

        /// What users can tell apart: the life, and the cells written in it.
        fn seen(&self) -> (i64, Vec<(&'static str, i64, Value)>) {
            let cells = self.cells.iter().filter(|(_, cell)| cell.0 > 0);
            (self.causal_length(), cells.map(|(column, cell)| (*column, cell.0, cell.1.clone())).collect())
        }
    }

    /// The slow model: what all records ever seen mean together, in no order.
    fn meaning(records: &[Record]) -> (i64, Vec<(&'static str, i64, Value)>) {
        let life = records.iter().map(|record| record.causal_length).max().unwrap_or(0);
        let mut winners: BTreeMap<&'static str, (i64, Value)> = BTreeMap::new();
        let of_this_life =
            |record: &&Record| record.causal_length == life && life % 2 == 1 && record.column != SENTINEL;
        for record in records.iter().filter(of_this_life) {
            let candidate = (record.col_version, record.value.clone());
            match winners.get(record.column) {
                Some(best) if best.0.cmp(&candidate.0).then(best.1.merge_order(&candidate.1)).is_ge() => {}
                _ => drop(winners.insert(record.column, candidate)),
            }
        }
        (life, winners.into_iter().map(|(column, (version, value))| (column, version, value)).collect())
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let value = prop_oneof![
            Just(Value::Null),
            (-1i64..3).prop_map(Value::Integer),
            Just(Value::Real(0.5)),
            Just(Value::Text(b"a".to_vec())),
            Just(Value::Blob(vec![9])),
        ];
        let life = prop_oneof![3 => Just(1i64), 1 => 1i64..6];
        (0usize..3, value, 1i64..4, life).prop_map(|(column, value, col_version, causal_length)| {
            let deleted = causal_length % 2 == 0;
            match ["b", "c", SENTINEL][column] {
                column if deleted || column == SENTINEL => {
                    Record { column: SENTINEL, value: Value::Null, col_version: causal_length, causal_length }
                }
                column => Record { column, value, col_version, causal_length },
            }
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_give_the_meaning_of_all_records(
            records in prop::collection::vec(any_record(), 0..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let mut row = Row::default();
            if !records.is_empty() {
                order.iter().for_each(|index| row.merge(index.get(&records)));
            }
            records.iter().rev().for_each(|record| row.merge(record));
            prop_assert_eq!(row.seen(), meaning(&records));
        }

        #[test]
        fn what_was_merged_once_is_ignored_afterwards(records in prop::collection::vec(any_record(), 1..12)) {
            let mut row = Row::default();
            records.iter().for_each(|record| row.merge(record));
            let settled = row.clone();
            records.iter().for_each(|record| row.merge(record));
            prop_assert_eq!(row, settled);
        }
    }

    fn verdict(causal_length: i64, col_version: Option<i64>, column: &str, arriving: (i64, i64)) -> Option<Verdict> {
        decide(
            Standing { causal_length, col_version },
            Arriving { column, col_version: arriving.0, causal_length: arriving.1 },
            || Err(()),
        )
        .ok()
    }

    #[test]
    fn a_first_cell_needs_no_sentinel_but_a_later_life_does() {
        assert_eq!(verdict(0, None, "b", (1, 1)), Some(Verdict::Write { revive: false }));
        assert_eq!(verdict(0, None, "b", (4, 3)), Some(Verdict::Write { revive: true }));
        assert_eq!(verdict(2, None, "b", (1, 3)), Some(Verdict::Write { revive: true }));
        assert_eq!(verdict(3, Some(7), "b", (1, 5)), Some(Verdict::Write { revive: true }));
    }

    #[test]
    fn a_deletion_counts_whatever_the_column_says() {
        assert_eq!(verdict(1, Some(3), "no_such_column", (1, 2)), Some(Verdict::Delete));
        assert_eq!(verdict(0, None, SENTINEL, (2, 2)), Some(Verdict::Delete));
        assert_eq!(verdict(2, None, SENTINEL, (2, 2)), Some(Verdict::Ignore));
        assert_eq!(verdict(3, None, SENTINEL, (2, 2)), Some(Verdict::Ignore));
    }

    #[test]
    fn lengths_that_no_row_can_have_are_ignored() {
        assert_eq!(verdict(0, None, "b", (1, 0)), Some(Verdict::Ignore));
        assert_eq!(verdict(0, None, "b", (1, -1)), Some(Verdict::Ignore));
        assert_eq!(verdict(0, None, SENTINEL, (i64::MIN, i64::MIN)), Some(Verdict::Ignore));
    }

    #[test]
    fn values_are_compared_only_in_a_tie() {
        assert_eq!(verdict(1, Some(3), "b", (4, 1)), Some(Verdict::Write { revive: false }));
        assert_eq!(verdict(1, Some(3), "b", (2, 1)), Some(Verdict::Ignore));
        assert_eq!(verdict(1, None, "b", (0, 1)), Some(Verdict::Write { revive: false }));
        assert_eq!(verdict(1, Some(3), "b", (3, 1)), None, "the tie asks for the values");
    }
}
