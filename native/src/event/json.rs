//! A JSON reader that borrows: strings without escapes are slices of the body, numbers keep their exact text.
//!
//! Accepts exactly the language of RFC 8259 that `serde_json` accepts (a test holds the two against each other), with one
//! difference in what a string is: a lone surrogate spoils its own value, not the body around it.
//!
//! The steps of the hot path are `inline(always)`: returned through memory, their results cost a quarter of reading an event.

use super::syntax::{Broken, Open, Read, Shape, Syntax, Value, DEPTH_MAX};
use std::borrow::Cow;

pub struct Json<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Json<'a> {
    pub fn new(text: &'a str) -> Self {
        Json { text, bytes: text.as_bytes(), pos: 0 }
    }

    #[inline]
    fn broken<T>(&self, what: &'static str) -> Read<T> {
        Err(Broken { at: self.pos, what })
    }

    /// The next byte after white space; 0, which no JSON token starts with, at the end.
    #[inline(always)]
    fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.pos) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pos += 1,
                Some(&b) => return b,
                None => return 0,
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, what: &'static str) -> Read<()> {
        if self.peek() != byte {
            return self.broken(what);
        }
        self.pos += 1;
        Ok(())
    }

    /// Steps over the separator before a member; `false` at the closing byte, which is consumed.
    #[inline(always)]
    fn member(&mut self, open: &mut Open, close: u8) -> Read<bool> {
        let next = self.peek();
        if next == close {
            self.pos += 1;
            return Ok(false);
        }
        if open.first {
            open.first = false;
        } else if next == b',' {
            self.pos += 1;
            if self.peek() == close {
                return self.broken("a trailing comma");
            }
        } else {
            return self.broken("expected a comma or the end of a container");
        }
        Ok(true)
    }

    fn literal(&mut self, word: &'static str) -> Read<()> {
        if !self.bytes[self.pos..].starts_with(word.as_bytes()) {
            return self.broken("expected a value");
        }
        self.pos += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.pos;
        while self.bytes.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
        if self.pos == start {
            return self.broken("expected a digit");
        }
        Ok(())
    }

    fn number(&mut self) -> Read<&'a str> {
        let start = self.pos;
        if self.bytes[self.pos] == b'-' {
            self.pos += 1;
        }
        if self.bytes.get(self.pos) == Some(&b'0') {
            self.pos += 1;
            if self.bytes.get(self.pos).is_some_and(u8::is_ascii_digit) {
                return self.broken("a number with a leading zero");
            }
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.bytes.get(self.pos), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.pos])
    }

    /// The string whose opening quote is next.
    #[inline(always)]
    fn string(&mut self) -> Read<Value<'a>> {
        self.pos += 1;
        let start = self.pos;
        self.plain();
        match self.bytes.get(self.pos) {
            Some(b'"') => {
                let s = &self.text[start..self.pos];
                self.pos += 1;
                Ok(Value::Text(Cow::Borrowed(s)))
            }
            Some(b'\\') => self.escaped(start),
            Some(_) => self.broken("a control character in a string"),
            None => self.broken("a string without an end"),
        }
    }

    /// Moves to the next byte of a string that means something: a quote, a backslash, a control character.
    #[inline(always)]
    fn plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let zero_bytes = |v: u64| v.wrapping_sub(ONES) & !v;
        // Eight bytes at a time: the lowest marked bit is exact, a borrow can only mark bytes above it.
        while let Some(chunk) = self.bytes[self.pos..].first_chunk::<8>() {
            let v = u64::from_le_bytes(*chunk);
            let control = v.wrapping_sub(ONES * 0x20) & !v;
            let found = control | zero_bytes(v ^ (ONES * u64::from(b'"'))) | zero_bytes(v ^ (ONES * u64::from(b'\\')));
            let marks = found & (ONES << 7);
            if marks != 0 {
                self.pos += (marks.trailing_zeros() / 8) as usize;
                return;
            }
            self.pos += 8;
        }
        let rest = &self.bytes[self.pos..];
        self.pos += rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(rest.len());
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Read<Value<'a>> {
        let mut out = String::from(&self.text[start..self.pos]);
        let mut lone = false;
        loop {
            let from = self.pos;
            self.plain();
            out.push_str(&self.text[from..self.pos]);
            match self.bytes.get(self.pos) {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(if lone { Value::BadText } else { Value::Text(Cow::Owned(out)) });
                }
                Some(b'\\') => match self.escape()? {
                    Some(c) => out.push(c),
                    None => lone = true,
                },
                Some(_) => return self.broken("a control character in a string"),
                None => return self.broken("a string without an end"),
            }
        }
    }

    /// One escape, the backslash being next; `None` for a lone surrogate.
    fn escape(&mut self) -> Read<Option<char>> {
        let Some(&kind) = self.bytes.get(self.pos + 1) else {
            return self.broken("a string without an end");
        };
        let c = match kind {
            b'"' | b'\\' | b'/' => kind as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.broken("an unknown escape"),
        };
        self.pos += 2;
        Ok(Some(c))
    }

    fn unicode(&mut self) -> Read<Option<char>> {
        let high = self.hex4()?;
        if (0xd800..0xdc00).contains(&high) && self.bytes[self.pos..].starts_with(b"\\u") {
            let back = self.pos;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                return Ok(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)));
            }
            self.pos = back;
        }
        Ok(char::from_u32(high))
    }

    fn hex4(&mut self) -> Read<u32> {
        let mut v = 0;
        for i in 2..6 {
            match self.bytes.get(self.pos + i).and_then(|b| (*b as char).to_digit(16)) {
                Some(d) => v = v * 16 + d,
                None => return self.broken("an escape without four hex digits"),
            }
        }
        self.pos += 6;
        Ok(v)
    }

    fn skip_at(&mut self, depth: usize) -> Read<()> {
        let next = self.peek();
        if next != b'{' && next != b'[' {
            return self.value().map(|_| ());
        }
        if depth == DEPTH_MAX {
            return self.broken("nested too deeply");
        }
        let mut open = self.open()?;
        if next == b'{' {
            while self.key(&mut open)?.is_some() {
                self.skip_at(depth + 1)?;
            }
        } else {
            while self.element(&mut open)? {
                self.skip_at(depth + 1)?;
            }
        }
        Ok(())
    }
}

impl<'a> Syntax<'a> for Json<'a> {
    #[inline]
    fn shape(&mut self) -> Read<Shape> {
        Ok(match self.peek() {
            b'{' => Shape::Object,
            b'[' => Shape::Array,
            _ => Shape::Scalar,
        })
    }

    #[inline]
    fn open(&mut self) -> Read<Open> {
        self.pos += 1;
        Ok(Open { left: 0, first: true })
    }

    #[inline(always)]
    fn key(&mut self, open: &mut Open) -> Read<Option<Value<'a>>> {
        if !self.member(open, b'}')? {
            return Ok(None);
        }
        if self.peek() != b'"' {
            return self.broken("expected a key in quotes");
        }
        let key = self.string()?;
        self.expect(b':', "expected a colon after a key")?;
        Ok(Some(key))
    }

    #[inline]
    fn element(&mut self, open: &mut Open) -> Read<bool> {
        self.member(open, b']')
    }

    #[inline(always)]
    fn value(&mut self) -> Read<Value<'a>> {
        match self.peek() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => Ok(Value::Number(Cow::Borrowed(self.number()?))),
            b't' => self.literal("true").map(|()| Value::Bool(true)),
            b'f' => self.literal("false").map(|()| Value::Bool(false)),
            b'n' => self.literal("null").map(|()| Value::Null),
            b'{' | b'[' => self.skip_at(0).map(|()| Value::Other),
            _ => self.broken("expected a value"),
        }
    }

    fn skip(&mut self) -> Read<()> {
        self.skip_at(0)
    }

    fn at(&mut self) -> usize {
        self.peek();
        self.pos
    }

    fn seek(&mut self, at: usize) {
        self.pos = at;
    }

    fn end(&mut self) -> Read<()> {
        self.peek();
        if self.pos < self.bytes.len() {
            return self.broken("something after the value");
        }
        Ok(())
    }

    fn json(&self, from: usize, to: usize) -> Vec<u8> {
        self.bytes[from..to].trim_ascii_end().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Read<Value<'_>> {
        let mut json = Json::new(text);
        let value = json.value()?;
        json.end().map(|()| value)
    }

    #[test]
    fn a_string_without_escapes_is_borrowed_and_one_with_them_is_decoded() {
        assert!(matches!(read("\"aé\""), Ok(Value::Text(Cow::Borrowed("aé")))));
        assert_eq!(
            read(r#" "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z" "#),
            Ok(Value::Text("\"\\/\u{8}\u{c}\n\r\té😀z".into())),
        );
    }

    #[test]
    fn a_lone_surrogate_spoils_its_own_value_only() {
        for text in [r#""\ud800""#, r#""\udc00x""#, r#""\ud800\u0041""#, r#""\ud800\ud800\udc00""#] {
            assert_eq!(read(text), Ok(Value::BadText), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in ["0", "-0", "1.50", "1e5", "-1.0E+07", "123456789012345678901234567890", "1e999"] {
            assert_eq!(read(text), Ok(Value::Number(text.into())));
        }
        for text in ["01", "-", "1.", ".5", "+1", "1e", "0x1", "NaN", "Infinity", "1 2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn containers_are_skipped_to_a_bounded_depth() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&nested(DEPTH_MAX)), Ok(Value::Other));
        let too_deep = Broken { at: DEPTH_MAX, what: "nested too deeply" };
        assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(too_deep));
        assert_eq!(read(&"[{\"a\":".repeat(500_000)).unwrap_err().what, "nested too deeply");
    }

    #[test]
    fn what_is_broken_is_named_with_its_place() {
        for (text, at, what) in [
            ("", 0, "expected a value"),
            ("tru", 0, "expected a value"),
            ("[1,]", 3, "a trailing comma"),
            ("[1 2]", 3, "expected a comma or the end of a container"),
            ("{\"a\" 1}", 5, "expected a colon after a key"),
            ("{a:1}", 1, "expected a key in quotes"),
            ("\"a", 2, "a string without an end"),
            ("\"a\nb\"", 2, "a control character in a string"),
            (r#""\x""#, 1, "an unknown escape"),
            (r#""\u12g4""#, 1, "an escape without four hex digits"),
            ("1 }", 2, "something after the value"),
        ] {
            assert_eq!(read(text), Err(Broken { at, what }), "{text}");
        }
    }
}
