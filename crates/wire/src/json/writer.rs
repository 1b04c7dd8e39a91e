use rejoin_change::SiteId;

/// Writes JSON text: fields and elements in order, commas by itself.
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    pub fn new() -> Writer {
        Writer { out: String::new() }
    }

    pub fn finish(self) -> String {
        self.out
    }

    pub fn bytes_written(&self) -> usize {
        self.out.len()
    }

    pub fn object(&mut self, members: impl FnOnce(&mut Writer)) {
        self.comma();
        self.out.push('{');
        members(self);
        self.out.push('}');
    }

    pub fn array(&mut self, elements: impl FnOnce(&mut Writer)) {
        self.comma();
        self.out.push('[');
        elements(self);
        self.out.push(']');
    }

    /// The name of the value that is written next. Names need no escapes.
    pub fn name(&mut self, name: &'static str) -> &mut Writer {
        self.comma();
        self.out.extend(["\"", name, "\":"]);
        self
    }

    pub fn string(&mut self, text: &str) {
        self.comma();
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20) {
            self.out.push_str(&rest[..at]);
            match rest.as_bytes()[at] {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                b'\n' => self.out.push_str("\\n"),
                control => self.out.push_str(&format!("\\u{control:04x}")),
            }
            rest = &rest[at + 1..];
        }
        self.out.push_str(rest);
        self.out.push('"');
    }

    /// Text that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.comma();
        self.out.push_str(json);
    }

    pub fn integer(&mut self, integer: i64) {
        self.raw(&integer.to_string());
    }

    pub fn bool(&mut self, bool: bool) {
        self.raw(if bool { "true" } else { "false" });
    }

    pub fn null(&mut self) {
        self.raw("null");
    }

    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Writer, &T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    pub fn hex(&mut self, bytes: &[u8]) {
        self.comma();
        self.out.push('"');
        bytes.iter().for_each(|byte| self.out.extend([hex_digit(byte >> 4), hex_digit(byte & 15)]));
        self.out.push('"');
    }

    pub fn site_id(&mut self, site_id: &SiteId) {
        self.hex(site_id.as_bytes());
    }

    pub fn base64(&mut self, bytes: &[u8]) {
        self.string(&base64_simd::STANDARD.encode_to_string(bytes));
    }

    /// Separates what comes next from what stands before it.
    fn comma(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(',');
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).expect("four bits are one hexadecimal digit")
}
