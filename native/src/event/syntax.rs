//! What JSON and msgpack have in common: a walk over objects, arrays and scalars.
//!
//! A reader borrows from the body and never trusts a length it was told; nothing here knows what an event is.

use std::borrow::Cow;

/// Deeper than this is refused as malformed, in every syntax: the rejected text is read again by others.
pub const DEPTH_MAX: usize = 128;

/// The body cannot be read further. Small, because every step of the hot path returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    pub at: usize,
    pub what: &'static str,
}

pub type Read<T> = Result<T, Broken>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Object,
    Array,
    Scalar,
}

/// One value, as far as an event cares: the inside of a container that does not belong there is skipped.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// Any other number, as its exact JSON text.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// A string that is not Unicode text (a lone surrogate, bytes that are not UTF-8).
    BadText,
    /// An array, an object, or what JSON has no word for.
    Other,
}

/// Where a walk stands in an object or array: members still to come for msgpack, whether one was seen for JSON.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    pub left: u32,
    pub first: bool,
}

pub trait Syntax<'a> {
    /// What comes next, without consuming it.
    fn shape(&mut self) -> Read<Shape>;
    /// Consumes the head of the object or array that `shape` announced.
    fn open(&mut self) -> Read<Open>;
    /// The next key of an object; `None` consumes its end. A key that is not text is `Value::BadText` or another scalar.
    fn key(&mut self, open: &mut Open) -> Read<Option<Value<'a>>>;
    /// Whether an array has one more element; `false` consumes its end.
    fn element(&mut self, open: &mut Open) -> Read<bool>;
    fn value(&mut self) -> Read<Value<'a>>;
    fn skip(&mut self) -> Read<()>;
    /// Byte position of the next value.
    fn at(&mut self) -> usize;
    fn seek(&mut self, at: usize);
    /// Refuses anything after the value.
    fn end(&mut self) -> Read<()>;
    /// The value between two positions as JSON text.
    fn json(&self, from: usize, to: usize) -> Vec<u8>;
}
