use domain::Clock;

use super::Authority;

/// The shape of a load's requests.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Pairs of numbers, and so conversations, over which messages are spread; 1 is one hot conversation.
    pub(crate) pairs: u32,
    /// Whether each request has an idempotency key of its own.
    pub(crate) keys: bool,
    /// A bearer token, if the server wants one.
    pub(crate) api_key: Option<String>,
    /// Makes the keys of this run differ from those of other runs.
    pub(crate) run: u64,
}

/// Characters of a body: one SMS.
const BODY_CHARS: usize = 160;
/// The second digits of a timestamp start here: `2026-11-21T10:00:00`, then `.123456Z`.
const SECONDS_LEN: usize = 19;

/// A prepared request, in which only the digits that differ are overwritten.
pub(crate) struct Requests {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    timestamp: usize,
    key: Option<usize>,
    /// The second the timestamp shows now.
    second: i64,
    pairs: u32,
}

impl Requests {
    pub(crate) fn new(authority: &Authority, shape: &Shape) -> Self {
        let text: String = "The train to the harbour leaves from platform nine. "
            .chars()
            .cycle()
            .take(BODY_CHARS)
            .collect();
        let body = format!(
            "{{\"from\":\"+12020000000\",\"to\":\"+13030000000\",\"type\":\"sms\",\"body\":\"{text}\",\
             \"timestamp\":\"0000-00-00T00:00:00.000000Z\"}}"
        );
        let mut head = format!(
            "POST /api/messages/sms HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            authority.as_str(),
            body.len()
        );
        if let Some(api_key) = &shape.api_key {
            head.push_str(&format!("authorization: Bearer {api_key}\r\n"));
        }
        let mut key = None;
        if shape.keys {
            head.push_str(&format!("idempotency-key: {:016x}-", shape.run));
            key = Some(head.len());
            head.push_str("0000000000000000\r\n");
        }
        head.push_str("\r\n");
        let body_at = head.len();
        let at = |what: &str| body_at + body.find(what).expect("the body was written above");
        Self {
            from: at("+1202") + 5,
            to: at("+1303") + 5,
            timestamp: at("0000-"),
            key,
            second: i64::MIN,
            pairs: shape.pairs.max(1),
            bytes: [head.as_bytes(), body.as_bytes()].concat(),
        }
    }

    /// The request with this number, at this moment.
    pub(crate) fn nth(&mut self, number: u64, clock: &dyn Clock) -> &[u8] {
        // Spread: as in real traffic, messages of one batch lie far apart in the index.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let pair = spread % u64::from(self.pairs);
        digits(&mut self.bytes[self.from..self.from + 7], pair, 10);
        digits(&mut self.bytes[self.to..self.to + 7], pair, 10);
        if let Some(key) = self.key {
            digits(&mut self.bytes[key..key + 16], number, 16);
        }
        self.stamp(clock);
        &self.bytes
    }

    fn stamp(&mut self, clock: &dyn Clock) {
        let now = clock.now();
        let micros = now.as_micros();
        let (second, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        if second != self.second {
            let shown = now.to_string();
            self.bytes[self.timestamp..self.timestamp + SECONDS_LEN]
                .copy_from_slice(&shown.as_bytes()[..SECONDS_LEN]);
            self.second = second;
        }
        let fraction = self.timestamp + SECONDS_LEN + 1;
        digits(&mut self.bytes[fraction..fraction + 6], rest.unsigned_abs(), 10);
    }
}

/// Writes a number with leading zeros over all of `place`.
fn digits(place: &mut [u8], mut number: u64, base: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % base) as usize];
        number /= base;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::Timestamp;

    use super::*;

    #[derive(Debug)]
    struct Fixed(Timestamp);

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            self.0
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn request(shape: &Shape, number: u64, now: &str) -> (String, serde_json::Value) {
        let authority = "http://localhost:1".parse().unwrap();
        let mut requests = Requests::new(&authority, shape);
        let clock = Fixed(Timestamp::parse(now).unwrap());
        requests.nth(number + 7, &clock);
        let bytes = requests.nth(number, &clock).to_vec();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn requests_are_well_formed_and_dated_now() {
        let shape = Shape {
            pairs: 1,
            keys: true,
            api_key: None,
            run: 1,
        };
        let (head, body) = request(&shape, 255, "2026-11-21T10:00:00.000042Z");
        assert!(head.ends_with("idempotency-key: 0000000000000001-00000000000000ff"));
        assert_eq!(body["timestamp"], "2026-11-21T10:00:00.000042Z");
        assert_eq!(body["body"].as_str().unwrap().chars().count(), 160);
        assert_eq!(body["from"], "+12020000000");
        let (head, body) = request(&shape, 1, "2026-11-21T10:00:00Z");
        assert!(!head.contains("authorization"));
        assert_eq!(body["timestamp"], "2026-11-21T10:00:00.000000Z");
    }

    #[test]
    fn messages_are_spread_over_all_pairs() {
        let shape = Shape {
            pairs: 20,
            keys: false,
            api_key: Some("secret".to_owned()),
            run: 1,
        };
        let recipients = (0..400).map(|number| {
            let (head, body) = request(&shape, number, "2026-11-21T10:00:00Z");
            assert!(head.contains("authorization: Bearer secret"));
            body["to"].as_str().unwrap().to_owned()
        });
        assert_eq!(recipients.collect::<std::collections::BTreeSet<_>>().len(), 20);
    }
}
