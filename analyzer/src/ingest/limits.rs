//! What a sender may ask of us: caps that real senders do not meet and hostile ones do.

use std::borrow::Cow;

/// A request's body, compressed or not: four times what collectors send at most by default.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A body after decompression. Spans shrink to a quarter; what shrinks to less than an eighth is a bomb.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Attributes of one span, event, link or resource: twice OpenTelemetry's default limit.
pub(super) const ATTRIBUTES_MAX: usize = 256;

/// Events, and links, of one span: twice OpenTelemetry's default limit.
pub(super) const EVENTS_MAX: usize = 256;

/// Bytes of a text, name or byte value. Long enough for a query or a stack trace worth reading.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a name of a span, scope, service or attribute.
pub(super) const NAME_BYTES_MAX: usize = 1024;

/// Values in all lists and maps of one span together.
pub(super) const VALUES_MAX: usize = 4096;

/// Lists in lists.
pub(super) const DEPTH_MAX: usize = 8;

/// Cuts a text to a length, between two characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

/// The same for a text that is owned.
pub(super) fn cut_owned(mut text: String, bytes_max: usize) -> Cow<'static, str> {
    text.truncate(text.floor_char_boundary(bytes_max));
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!([cut("grün", 2), cut("grün", 3), cut("grün", 4), cut("grün", 99)], ["gr", "gr", "grü", "grün"]);
        assert_eq!(cut_owned("grün".into(), 3), "gr");
    }
}
