//! Server-sent events out of pieces of a stream
//! ([HTML standard, 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

/// Longest line, in bytes: a report of thousands of wheels is one.
const LONGEST: usize = 256 << 20;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Option<u64>,
    pub(super) data: String,
}

/// What has come of lines that are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    message: Message,
}

impl Parser {
    /// The events that `piece` makes whole. Fails on a line without end.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Message>, String> {
        let mut messages = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LONGEST {
                return Err("a line of the stream of events does not end".to_owned());
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                messages.extend(self.line(line.trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(messages)
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return (!message.data.is_empty()).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.message.id = value.parse().ok(),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments, which keep the connection, have an empty name.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let text = "retry: 2000\n\nid: 1\ndata: {\"a\":\ndata: 1}\n\n: still here\n\nid: 2\r\ndata:x\r\n\r\ndata: é\n\nid: 9\ndata: half";
        for size in [1, 2, 3, 7, text.len()] {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size);
            let messages: Vec<_> = pieces
                .flat_map(|piece| parser.push(piece).unwrap())
                .map(|message| (message.id, message.data))
                .collect();
            assert_eq!(
                messages,
                [
                    (Some(1), "{\"a\":\n1}".to_owned()),
                    (Some(2), "x".to_owned()),
                    (None, "é".to_owned())
                ]
            );
        }
    }
}
