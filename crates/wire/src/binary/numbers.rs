use super::bytes::{Reader, push_varint};
use crate::error::Result;

/// Writes a column of numbers in the shorter of its two forms. How many there are is known to the reader.
pub(super) fn push_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    let plain_bytes: usize = numbers.iter().map(|number| varint_bytes(*number)).sum();
    let runs = numbers.chunk_by(|a, b| a == b);
    let run_bytes: usize = runs.map(|run| varint_bytes(run[0]) + varint_bytes(run.len() as u64)).sum();
    if run_bytes < plain_bytes {
        out.push(FORM_RUNS);
        for run in numbers.chunk_by(|a, b| a == b) {
            push_varint(out, run[0]);
            push_varint(out, run.len() as u64);
        }
    } else {
        out.push(FORM_PLAIN);
        numbers.iter().for_each(|number| push_varint(out, *number));
    }
}

/// Reads a column of `count` numbers. The caller has bounded the count.
pub(super) fn read_numbers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>> {
    match reader.byte()? {
        FORM_PLAIN => {
            if count > reader.remaining() {
                return Err(reader.malformed("it ends too early"));
            }
            (0..count).map(|_| reader.varint()).collect()
        }
        FORM_RUNS => {
            let mut numbers = Vec::with_capacity(count);
            while numbers.len() < count {
                let number = reader.varint()?;
                let length = reader.varint()?;
                if length == 0 || length > (count - numbers.len()) as u64 {
                    return Err(reader.malformed("a run of equal numbers is empty or too long"));
                }
                numbers.resize(numbers.len() + length as usize, number);
            }
            Ok(numbers)
        }
        _ => Err(reader.malformed("a column has an unknown form")),
    }
}

fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

const FORM_PLAIN: u8 = 0;
const FORM_RUNS: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(numbers: &[u64]) -> usize {
        let mut out = Vec::new();
        push_numbers(&mut out, numbers);
        let mut reader = Reader::new(&out);
        assert_eq!(read_numbers(&mut reader, numbers.len()).as_deref(), Ok(numbers));
        assert_eq!(reader.finish(), Ok(()));
        out.len()
    }

    #[test]
    fn the_shorter_form_is_taken() {
        assert_eq!(round_trip(&[]), 1);
        assert_eq!(round_trip(&[1, 2, 3]), 4);
        assert_eq!(round_trip(&[7; 1000]), 4);
        assert_eq!(round_trip(&[u64::MAX, 0, 128]), 14);
    }

    #[test]
    fn runs_that_do_not_fill_the_column_exactly_are_refused() {
        for bytes in [&[1, 5, 0][..], &[1, 5, 4], &[1, 5, 2], &[2, 1, 1, 1], &[0, 1, 1], &[]] {
            assert!(read_numbers(&mut Reader::new(bytes), 3).is_err(), "{bytes:?}");
        }
    }
}
