//! Log lines as JSON. The library's formatter parses the fields of a span again for each line and each new field. That took more
//! time than all other code a message passes through; this formatter only appends.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// A line is an object with the event's fields; `span` has the name and fields of the innermost span.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        line.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut line)?;
        write!(line, "\",\"level\":\"{}\"", metadata.level())?;
        context.format_fields(line.by_ref(), event)?;
        write!(line, ",\"target\":\"{}\"", metadata.target())?;
        let parent = event.parent().and_then(|id| context.span(id));
        if let Some(span) = parent.or_else(|| context.lookup_current()) {
            write!(line, ",\"span\":{{\"name\":\"{}\"", span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.write_str(fields)?;
            }
            line.write_char('}')?;
        }
        line.write_str("}\n")
    }
}

/// Writes each field as `,"name":value`. A field that is recorded twice appears twice.
pub(super) struct Members;

impl<'w> FormatFields<'w> for Members {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Appending(String::with_capacity(MEMBERS_LEN));
        fields.record(&mut members);
        // In one piece: the buffer of a span grows with each write.
        writer.write_str(&members.0)
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// Bytes that the fields of a span or event usually take.
const MEMBERS_LEN: usize = 256;

struct Appending(String);

impl Appending {
    fn append(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, ",\"{}\":{value}", field.name());
    }

    fn append_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let _ = write!(self.0, ",\"{}\":\"", field.name());
        // A value whose formatting fails still gets its closing quote.
        let _ = Escaping(&mut self.0).write_fmt(value);
        self.0.push('"');
    }
}

impl Visit for Appending {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.append(field, format_args!("{value}"));
        } else {
            self.append(field, format_args!("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.append(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.append(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.append(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.append_text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.append_text(field, format_args!("{value:?}"));
    }
}

/// Writes text into a JSON string (RFC 8259, section 7).
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.push_str(&text[plain..at]);
            match byte {
                b'\n' => self.0.push_str("\\n"),
                b'"' | b'\\' => write!(self.0, "\\{}", char::from(byte))?,
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
            plain = at + 1;
        }
        self.0.push_str(&text[plain..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing_subscriber::{fmt, layer::SubscriberExt, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by this, line by line.
    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .event_format(JsonLine)
            .fmt_fields(Members)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(registry().with(layer), log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_has_the_fields_of_the_event_and_of_its_span() {
        let lines = logged(|| {
            let outer = tracing::info_span!("outer", hidden = 1);
            let _outer = outer.enter();
            let span = tracing::info_span!("inner", id = "a", later = tracing::field::Empty);
            span.record("later", tracing::field::display(7));
            span.in_scope(|| {
                tracing::info!(
                    count = 3_u64,
                    less = -3_i64,
                    yes = true,
                    ms = 1.5,
                    none = f64::NAN,
                    "hello"
                );
            });
        });
        let [line] = &lines[..] else {
            panic!("{lines:?}");
        };
        let mut line = line.clone();
        let timestamp = line["timestamp"].take();
        assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
        let expected = json!({
            "timestamp": null, "level": "INFO", "message": "hello",
            "count": 3, "less": -3, "yes": true, "ms": 1.5, "none": null,
            "target": "trunkline::logging::json::tests",
            "span": {"name": "inner", "id": "a", "later": "7"},
        });
        assert_eq!(line, expected);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_line(text in any::<String>()) {
            let lines = logged(|| tracing::info!(text, debug = ?text));
            prop_assert_eq!(&lines[0]["text"], &json!(text));
            prop_assert_eq!(&lines[0]["debug"], &json!(format!("{text:?}")));
        }
    }
}
