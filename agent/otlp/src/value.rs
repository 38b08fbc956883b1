//! Attributes: borrowed values, and attribute lists encoded once and written many times.
//!
//! A value is borrowed from wherever it already lives and is written at its exact size, so an
//! attribute costs no allocation. It must never own or copy text.
//! Source: `opentelemetry/proto/common/v1/common.proto` (`AnyValue`, `KeyValue`).

use crate::wire::{self, Field, delimited_len, varint_len};

/// Field numbers of `attributes` in the messages that carry them: the `FIELD` of [`Encoded`].
pub mod field {
    /// `Resource.attributes`.
    pub const RESOURCE: u32 = 1;
    /// `InstrumentationScope.attributes`.
    pub const SCOPE: u32 = 3;
    /// `Span.attributes`.
    pub const SPAN: u32 = 9;
    /// `Span.Event.attributes`.
    pub const SPAN_EVENT: u32 = 3;
    /// `Span.Link.attributes`.
    pub const SPAN_LINK: u32 = 4;
    /// `NumberDataPoint.attributes` and `SummaryDataPoint.attributes`.
    pub const NUMBER_POINT: u32 = 7;
    /// `HistogramDataPoint.attributes`.
    pub const HISTOGRAM_POINT: u32 = 9;
    /// `ExponentialHistogramDataPoint.attributes`.
    pub const EXPONENTIAL_POINT: u32 = 1;
    /// `Exemplar.filtered_attributes`.
    pub const EXEMPLAR: u32 = 7;
    /// `LogRecord.attributes`.
    pub const LOG_RECORD: u32 = 6;
}

/// The value of an attribute or the body of a log record (`AnyValue`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value: `null`.
    Empty,
    /// Text.
    Str(&'a str),
    /// A signed integer.
    I64(i64),
    /// A double.
    F64(f64),
    /// A boolean.
    Bool(bool),
    /// Bytes that need not be text.
    Bytes(&'a [u8]),
    /// An array of texts.
    StrSlice(&'a [&'a str]),
    /// An array of values.
    Array(&'a [Value<'a>]),
    /// A list of keys with values. Depth is the caller's to bound: writing recurses once a level.
    Map(&'a [Attribute<'a>]),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Str(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::I64(number)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Value::I64(i64::from(number))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::I64(i64::from(number))
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Value::F64(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl Value<'_> {
    /// Size of the `AnyValue` message.
    #[inline]
    fn encoded_len(self) -> usize {
        match self {
            Value::Empty => 0,
            Value::Str(text) => delimited_len(text.len()),
            Value::Bytes(bytes) => delimited_len(bytes.len()),
            Value::Bool(_) => 2,
            Value::I64(number) => 1 + varint_len(number as u64),
            Value::F64(_) => 9,
            Value::StrSlice(_) | Value::Array(_) | Value::Map(_) => delimited_len(self.list_len()),
        }
    }

    /// Size of the `ArrayValue` or `KeyValueList` message inside; 0 for a scalar.
    fn list_len(self) -> usize {
        match self {
            Value::StrSlice(texts) => texts.iter().map(|text| delimited_len(delimited_len(text.len()))).sum(),
            Value::Array(values) => values.iter().map(|value| delimited_len(value.encoded_len())).sum(),
            Value::Map(pairs) => pairs.iter().map(|pair| delimited_len(pair.encoded_len())).sum(),
            _ => 0,
        }
    }

    /// Appends `field` with this value as an `AnyValue` message.
    #[inline]
    pub(crate) fn write(self, out: &mut Vec<u8>, field: Field) {
        wire::delimited_head(out, field, self.encoded_len());
        match self {
            Value::Empty => {}
            Value::Str(text) => wire::bytes_field(out, 1, text.as_bytes()),
            Value::Bool(truth) => wire::varint_field(out, 2, u64::from(truth)),
            Value::I64(number) => wire::varint_field(out, 3, number as u64),
            Value::F64(number) => wire::fixed64_field(out, 4, number.to_bits()),
            Value::Bytes(bytes) => wire::bytes_field(out, 7, bytes),
            Value::StrSlice(_) | Value::Array(_) => self.write_list(out, 5),
            Value::Map(_) => self.write_list(out, 6),
        }
    }

    fn write_list(self, out: &mut Vec<u8>, field: Field) {
        wire::delimited_head(out, field, self.list_len());
        match self {
            Value::StrSlice(texts) => texts.iter().for_each(|text| Value::Str(text).write(out, 1)),
            Value::Array(values) => values.iter().for_each(|value| value.write(out, 1)),
            Value::Map(pairs) => pairs.iter().for_each(|pair| pair.write(out, 1)),
            _ => {}
        }
    }
}

/// A key with its value (`KeyValue`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attribute<'a> {
    /// Attribute name, as the semantic conventions spell it.
    pub key: &'a str,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// `key` = `value`.
    pub fn new(key: &'a str, value: impl Into<Value<'a>>) -> Self {
        Self { key, value: value.into() }
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        let key = if self.key.is_empty() { 0 } else { delimited_len(self.key.len()) };
        key + delimited_len(self.value.encoded_len())
    }

    /// Appends `field` with this pair as a `KeyValue` message.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, field: Field) {
        wire::delimited_head(out, field, self.encoded_len());
        wire::nonempty_bytes(out, 1, self.key.as_bytes());
        self.value.write(out, 2);
    }
}

/// Appends every attribute as one element of the repeated `field`.
#[inline]
pub(crate) fn write_attributes<'a>(out: &mut Vec<u8>, field: Field, attributes: impl IntoIterator<Item = Attribute<'a>>) {
    for attribute in attributes {
        attribute.write(out, field);
    }
}

/// Attributes encoded once for one kind of message (`FIELD` from [`field`]) and copied into each
/// record: what is constant for a connection or a series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoded<const FIELD: u32>(Vec<u8>);

impl<const FIELD: u32> Encoded<FIELD> {
    /// No attributes.
    pub const EMPTY: &'static Self = &Self(Vec::new());

    /// Encodes `attributes`.
    pub fn new<'a>(attributes: impl IntoIterator<Item = Attribute<'a>>) -> Self {
        let mut encoded = Self::default();
        encoded.extend(attributes);
        encoded
    }

    /// Adds `attributes` behind those already there.
    pub fn extend<'a>(&mut self, attributes: impl IntoIterator<Item = Attribute<'a>>) {
        write_attributes(&mut self.0, FIELD, attributes);
    }

    /// Forgets the attributes and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Size in bytes, for the accounting of memory.
    pub fn encoded_len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
