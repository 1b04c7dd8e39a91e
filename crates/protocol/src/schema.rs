//! Whether two databases can replicate with each other, and which tables one has to take over from the other.

use rejoin_wire::message::{Refusal, RefusalCode, TableShape};
use std::cmp::Ordering;

/// Tables that only one side has.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Difference {
    /// The other side has them.
    pub(crate) lacking: Vec<String>,
    /// This side has them.
    pub(crate) offering: Vec<String>,
}

/// Compares the replicated tables of two databases. Fails where a table of the same name has other columns, and where
/// there is no table at all.
pub(crate) fn compare(room: &[TableShape], guest: &[TableShape], this_side: ThisSide) -> Result<Difference, Refusal> {
    let (mut only_room, mut only_guest) = (Vec::new(), Vec::new());
    let (mut room_rest, mut guest_rest) = (room, guest);
    loop {
        let order = match (room_rest.first(), guest_rest.first()) {
            (Some(one), Some(other)) => one.name.cmp(&other.name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        match order {
            Ordering::Less => only_room.push(room_rest[0].name.clone()),
            Ordering::Greater => only_guest.push(guest_rest[0].name.clone()),
            Ordering::Equal => same_columns(&room_rest[0], &guest_rest[0])?,
        }
        room_rest = if order.is_le() { &room_rest[1..] } else { room_rest };
        guest_rest = if order.is_ge() { &guest_rest[1..] } else { guest_rest };
    }
    if room.is_empty() && guest.is_empty() {
        return Err(Refusal {
            code: RefusalCode::Room,
            reason: "neither the room nor the database that joins it has a table that replicates".to_owned(),
            advice: "make tables replicate first, with `rejoin track` or SELECT crsql_as_crr('table')".to_owned(),
        });
    }
    Ok(match this_side {
        ThisSide::Room => Difference { lacking: only_guest, offering: only_room },
        ThisSide::Guest => Difference { lacking: only_room, offering: only_guest },
    })
}

/// Whose view a comparison takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThisSide {
    Room,
    Guest,
}

/// True where names rise strictly, as the comparison needs.
pub(crate) fn is_sorted(tables: &[TableShape]) -> bool {
    tables.is_sorted_by(|a, b| a.name < b.name)
        && tables.iter().all(|table| table.columns.is_sorted_by(|a, b| a.name < b.name))
}

fn same_columns(room: &TableShape, guest: &TableShape) -> Result<(), Refusal> {
    if room.columns == guest.columns {
        return Ok(());
    }
    let only_in = |one: &TableShape, other: &TableShape| -> Vec<String> {
        let lacks = |name: &String| !other.columns.iter().any(|column| column.name == *name);
        one.columns.iter().map(|column| &column.name).filter(|name| lacks(name)).cloned().collect()
    };
    let (extra_room, extra_guest) = (only_in(room, guest), only_in(guest, room));
    let mut differences = Vec::new();
    if !extra_room.is_empty() {
        differences.push(format!("only the room has {}", extra_room.join(", ")));
    }
    if !extra_guest.is_empty() {
        differences.push(format!("only the database that joins it has {}", extra_guest.join(", ")));
    }
    if differences.is_empty() {
        differences.push("their primary keys are not the same".to_owned());
    }
    Err(Refusal {
        code: RefusalCode::Schema,
        reason: format!("the table {} is not the same on both sides: {}", room.name, differences.join(", ")),
        advice: "change one of them so that both have the same columns and the same primary key (on a table that \
                 replicates: between crsql_begin_alter and crsql_commit_alter)"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_wire::message::ColumnShape;

    fn table(name: &str, columns: &[(&str, u16)]) -> TableShape {
        let columns =
            columns.iter().map(|(name, key_place)| ColumnShape { name: (*name).to_owned(), key_place: *key_place });
        TableShape { name: name.to_owned(), columns: columns.collect() }
    }

    #[test]
    fn each_side_learns_what_it_lacks_and_what_it_has_to_offer() {
        let room = [table("a", &[("id", 1)]), table("c", &[("id", 1)]), table("d", &[("id", 1)])];
        let guest = [table("b", &[("id", 1)]), table("c", &[("id", 1)])];
        let seen_from_room = compare(&room, &guest, ThisSide::Room).unwrap();
        assert_eq!(seen_from_room.lacking, ["b"]);
        assert_eq!(seen_from_room.offering, ["a", "d"]);
        let seen_from_guest = compare(&room, &guest, ThisSide::Guest).unwrap();
        assert_eq!(seen_from_guest.lacking, seen_from_room.offering);
        assert_eq!(seen_from_guest.offering, seen_from_room.lacking);
    }

    #[test]
    fn a_table_with_other_columns_is_refused_and_the_columns_are_named() {
        let room = [table("todo", &[("done", 0), ("id", 1)])];
        let guest = [table("todo", &[("due", 0), ("id", 1)])];
        let refusal = compare(&room, &guest, ThisSide::Room).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Schema);
        for word in ["todo", "done", "due"] {
            assert!(refusal.reason.contains(word), "{}", refusal.reason);
        }
    }

    #[test]
    fn a_table_with_another_key_is_refused() {
        let room = [table("todo", &[("id", 1), ("list", 2)])];
        let guest = [table("todo", &[("id", 2), ("list", 1)])];
        let refusal = compare(&room, &guest, ThisSide::Guest).unwrap_err();
        assert!(refusal.reason.contains("primary keys"), "{}", refusal.reason);
    }

    #[test]
    fn two_databases_without_tables_have_nothing_to_say() {
        assert_eq!(compare(&[], &[], ThisSide::Room).unwrap_err().code, RefusalCode::Room);
    }
}
