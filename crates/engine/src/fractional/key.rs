//! Keys that sort between others: pure text, no SQL.
//!
//! A key is an integer part and a fraction, both in the 95 printable characters of ASCII as digits, the space being 0,
//! so that keys sort as their bytes do. The first character says how long the integer part is: `a` 2 characters up to
//! `z` 27 for those from zero on, `Z` 2 down to `A` 27 below zero. Zero is `a` and a space.

/// A key that sorts after `after` and before `before`; an open end where one of them is missing.
///
/// # Errors
/// A sentence that says what is wrong with a key, or that `after` does not come before `before`.
pub(crate) fn key_between(after: Option<&[u8]>, before: Option<&[u8]>) -> Result<String, String> {
    let after = after.map(Key::read).transpose()?;
    let before = before.map(Key::read).transpose()?;
    let key = match (after, before) {
        (None, None) => ZERO.to_vec(),
        (None, Some(before)) => key_below(before)?,
        (Some(after), None) => match increment(after.integer) {
            Some(integer) => integer,
            None => after.and_fraction(None),
        },
        (Some(after), Some(before)) => {
            if after.whole >= before.whole {
                return Err("key_between - a must be before b".to_owned());
            }
            if after.integer == before.integer {
                after.and_fraction(Some(before.fraction))
            } else {
                let next = increment(after.integer).ok_or("Cannot increment anymore")?;
                if next.as_slice() < before.whole { next } else { after.and_fraction(None) }
            }
        }
    };
    Ok(key.into_iter().map(char::from).collect())
}

fn key_below(before: Key<'_>) -> Result<Vec<u8>, String> {
    if is_smallest(before.integer) {
        return Ok(before.with_fraction(&midpoint(b"", Some(before.fraction))));
    }
    if !before.fraction.is_empty() {
        return Ok(before.integer.to_vec());
    }
    let mut integer = decrement(before.integer).ok_or("cannot decrement anymore")?;
    if is_smallest(&integer) {
        // It is no key by itself, since nothing could come before it.
        integer.extend(midpoint(b"", None));
    }
    Ok(integer)
}

#[derive(Clone, Copy)]
struct Key<'a> {
    whole: &'a [u8],
    integer: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Key<'a> {
    fn read(key: &'a [u8]) -> Result<Key<'a>, String> {
        let head = *key.first().ok_or("a key is not empty")?;
        if !key.iter().all(|character| (FIRST_DIGIT..=LAST_DIGIT).contains(character)) {
            return Err("a key is made of printable ASCII characters only".to_owned());
        }
        if is_smallest(key) {
            return Err("Key is too small".to_owned());
        }
        let length = integer_length(head).ok_or("head is out of range")?;
        let (integer, fraction) = key.split_at_checked(length).ok_or("integer part of key is too long")?;
        if fraction.last() == Some(&FIRST_DIGIT) {
            return Err("Fractional part should not end with ' ' (space)".to_owned());
        }
        Ok(Key { whole: key, integer, fraction })
    }

    fn with_fraction(self, fraction: &[u8]) -> Vec<u8> {
        [self.integer, fraction].concat()
    }

    /// The same integer part, with a fraction between the own one and `before`.
    fn and_fraction(self, before: Option<&[u8]>) -> Vec<u8> {
        self.with_fraction(&midpoint(self.fraction, before))
    }
}

const FIRST_DIGIT: u8 = b' ';
const LAST_DIGIT: u8 = b'~';
const ZERO: &[u8] = b"a ";

/// The length of an integer part with that first character.
fn integer_length(head: u8) -> Option<usize> {
    match head {
        b'a'..=b'z' => Some(usize::from(head - b'a') + 2),
        b'A'..=b'Z' => Some(usize::from(b'Z' - head) + 2),
        _ => None,
    }
}

fn is_smallest(integer: &[u8]) -> bool {
    integer.len() == 27 && integer[0] == b'A' && integer[1..].iter().all(|digit| *digit == FIRST_DIGIT)
}

/// The next greater integer part; none after the greatest.
fn increment(integer: &[u8]) -> Option<Vec<u8>> {
    let mut next = integer.to_vec();
    for digit in next[1..].iter_mut().rev() {
        if *digit < LAST_DIGIT {
            *digit += 1;
            return Some(next);
        }
        *digit = FIRST_DIGIT;
    }
    match next[0] {
        b'Z' => return Some(ZERO.to_vec()),
        b'z' => return None,
        head => next[0] = head + 1,
    }
    if next[0] > b'a' {
        next.push(FIRST_DIGIT);
    } else {
        next.pop();
    }
    Some(next)
}

/// The next smaller integer part; none before the smallest.
fn decrement(integer: &[u8]) -> Option<Vec<u8>> {
    let mut next = integer.to_vec();
    for digit in next[1..].iter_mut().rev() {
        if *digit > FIRST_DIGIT {
            *digit -= 1;
            return Some(next);
        }
        *digit = LAST_DIGIT;
    }
    match next[0] {
        b'a' => return Some(vec![b'Z', LAST_DIGIT]),
        b'A' => return None,
        head => next[0] = head - 1,
    }
    if next[0] < b'Z' {
        next.push(LAST_DIGIT);
    } else {
        next.pop();
    }
    Some(next)
}

/// A fraction between two, the second of which may be open. Neither ends in a 0, and `after` sorts before `before`.
fn midpoint(after: &[u8], before: Option<&[u8]>) -> Vec<u8> {
    let digit_of = |fraction: &[u8], at: usize| fraction.get(at).map_or(0, |character| character - FIRST_DIGIT);
    let mut middle = Vec::new();
    let mut before = before;
    let mut at = 0;
    if let Some(end) = before {
        while at < end.len() && digit_of(after, at) == digit_of(end, at) {
            middle.push(end[at]);
            at += 1;
        }
    }
    loop {
        let low = digit_of(after, at);
        let high = before.filter(|end| at < end.len()).map_or(DIGITS, |end| digit_of(end, at));
        if high > low + 1 {
            middle.push(FIRST_DIGIT + (low + high).div_ceil(2));
            return middle;
        }
        if let Some(end) = before.filter(|end| end.len() > at + 1) {
            middle.push(end[at]);
            return middle;
        }
        middle.push(FIRST_DIGIT + low);
        before = None;
        at += 1;
    }
}

const DIGITS: u8 = LAST_DIGIT - FIRST_DIGIT + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn between(after: Option<&str>, before: Option<&str>) -> Result<String, String> {
        key_between(after.map(str::as_bytes), before.map(str::as_bytes))
    }

    /// Observed on the original.
    #[test]
    fn keys_are_those_of_the_original() {
        let smallest = format!("A{}", " ".repeat(26));
        let greatest = format!("z{}", "~".repeat(26));
        for (after, before, expected) in [
            (None, None, "a "),
            (Some("a "), Some("a!"), "a P"),
            (None, Some("a "), "Z~"),
            (Some("a0"), Some("a1"), "a0P"),
            (Some("a0V"), Some("a1"), "a0k"),
            (Some("Z~"), Some("a "), "Z~P"),
            (None, Some("Y  "), "X~~~"),
            (Some("b~~"), None, "c   "),
            (Some("a0"), Some("a0V"), "a0;"),
            (Some("a0"), Some("a0G"), "a04"),
            (Some("b125"), Some("b129"), "b127"),
            (Some("a0"), Some("a1V"), "a1"),
            (None, Some("a0V"), "a0"),
            (None, Some(&format!("{smallest}!")), &format!("{smallest} P")),
            (Some(&greatest), None, &format!("{greatest}P")),
            (Some("a P"), Some("a!"), "a h"),
            (Some("a h"), Some("a!"), "a t"),
        ] {
            assert_eq!(between(after, before).as_deref(), Ok(expected), "{after:?} {before:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_an_error_and_so_is_a_wrong_order() {
        for (after, before, expected) in [
            (Some("5"), None, "head is out of range"),
            (Some("a"), None, "integer part of key is too long"),
            (None, Some("b1"), "integer part of key is too long"),
            (Some("a0 "), None, "Fractional part should not end with ' ' (space)"),
            (None, Some(&*format!("A{}", " ".repeat(26))), "Key is too small"),
            (Some(""), None, "a key is not empty"),
            (None, Some(""), "a key is not empty"),
            (Some("aé"), None, "a key is made of printable ASCII characters only"),
            (Some("a0é"), Some("a1"), "a key is made of printable ASCII characters only"),
            (Some("a1"), Some("a0"), "key_between - a must be before b"),
            (Some("a1"), Some("a1"), "key_between - a must be before b"),
        ] {
            assert_eq!(between(after, before), Err(expected.to_owned()), "{after:?} {before:?}");
        }
    }

    #[test]
    fn below_the_last_integer_there_are_fractions() {
        let low = format!("A{}!", " ".repeat(25));
        let lower = between(None, Some(&low)).unwrap();
        let lowest = between(None, Some(&lower)).unwrap();
        assert!(lowest < lower && lower < low, "{lowest} {lower} {low}");
    }

    #[test]
    fn a_long_key_is_no_trouble() {
        let (low, high) = (format!("a {}", "~".repeat(100_000)), format!("a {}!", "~".repeat(100_000)));
        let middle = between(Some(&low), Some(&high)).unwrap();
        assert!(low < middle && middle < high);
    }

    fn valid_key() -> impl Strategy<Value = String> {
        let digits = prop_oneof![Just(b' '), Just(b'!'), Just(b'}'), Just(b'~'), b' '..=b'~'];
        let head = prop_oneof![b'a'..=b'z', b'A'..=b'Z', Just(b'Z'), Just(b'a'), Just(b'A'), Just(b'z')];
        (head, prop::collection::vec(digits, 26..40), 0..6_usize).prop_filter_map(
            "a key",
            |(head, digits, fraction)| {
                let length = integer_length(head)? - 1;
                let key: Vec<u8> = std::iter::once(head).chain(digits.into_iter().take(length + fraction)).collect();
                Key::read(&key).ok()?;
                String::from_utf8(key).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn a_key_lies_between_its_neighbours_and_is_a_neighbour_itself(one in valid_key(), other in valid_key()) {
            let (low, high) = if one <= other { (one, other) } else { (other, one) };
            if low < high {
                let middle = between(Some(&low), Some(&high)).expect("two keys in order");
                prop_assert!(low < middle && middle < high, "{low:?} {middle:?} {high:?}");
                prop_assert!(Key::read(middle.as_bytes()).is_ok(), "{middle:?}");
            }
            let above = between(Some(&high), None).expect("there is always a key after");
            let below = between(None, Some(&low)).expect("there is always a key before");
            prop_assert!(high < above && below < low, "{below:?} {low:?} {high:?} {above:?}");
            prop_assert!(Key::read(above.as_bytes()).is_ok() && Key::read(below.as_bytes()).is_ok());
        }

        #[test]
        fn no_bytes_whatever_are_more_than_an_error(a in prop::collection::vec(any::<u8>(), 0..40), b in ".{0,8}") {
            let _ = key_between(Some(&a), Some(b.as_bytes()));
            let _ = key_between(None, Some(&a));
            let _ = key_between(Some(&a), None);
        }
    }
}
