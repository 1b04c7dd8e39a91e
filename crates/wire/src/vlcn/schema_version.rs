/// The number that stands for a schema's text: a hash of its UTF-16 code units. Two texts that differ in one character
/// or line ending are two versions.
pub fn schema_version(text: &str) -> i64 {
    let mut first: u32 = 0xdead_beef;
    let mut second: u32 = 0x41c6_ce57;
    for unit in text.encode_utf16() {
        first = (first ^ u32::from(unit)).wrapping_mul(2_654_435_761);
        second = (second ^ u32::from(unit)).wrapping_mul(1_597_334_677);
    }
    first = (first ^ first >> 16).wrapping_mul(2_246_822_507);
    first ^= (second ^ second >> 13).wrapping_mul(3_266_489_909);
    second = (second ^ second >> 16).wrapping_mul(2_246_822_507);
    second ^= (first ^ first >> 13).wrapping_mul(3_266_489_909);
    // A sum of signed halves: a negative low half takes one from the high half.
    (i64::from(second as i32) << 32).wrapping_add(i64::from(first as i32))
}
