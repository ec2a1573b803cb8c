use std::time::Duration;

use crate::{Body, ErrorCode, Participant, ProviderName, ReceiptStatus};

/// What a simulated provider does with the messages to one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// One for each completed attempt; the last repeats. At least one.
    steps: Vec<Step>,
    /// How long each response takes.
    pub latency: Duration,
    /// What happens after the message was taken.
    pub follow_ups: Vec<FollowUp>,
}

/// What a provider does in one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Take,
    /// Refuses the message for good.
    Reject,
    /// Answers 500.
    Fail,
    /// Answers 429.
    PushBack {
        retry_after: Duration,
    },
    /// Never answers.
    Hang,
    /// Takes the message and never answers.
    HangTaken,
}

impl Step {
    /// Whether the provider has the message after it.
    #[must_use]
    pub const fn takes(self) -> bool {
        matches!(self, Self::Take | Self::HangTaken)
    }
}

/// Something that happens outside after a message was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FollowUp {
    /// Counted from when the attempt goes on record.
    pub after: Duration,
    pub action: FollowUpAction,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FollowUpAction {
    /// The provider reports about the message.
    Receipt {
        status: ReceiptStatus,
        error_code: Option<ErrorCode>,
    },
    /// The recipient answers.
    Reply { body: Body },
}

const FOLLOW_UP_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);
const SLOW_LATENCY: Duration = Duration::from_secs(3);

/// The name of the provider that plays scripts.
const PROVIDER: &str = "scripted";

impl Script {
    /// The script of a recipient: of the texts `+1 AAA 555 01NN` and of the emails `WORD@….test` and `WORD.….test`. `None` for all
    /// other participants.
    #[must_use]
    pub fn of(to: &Participant) -> Option<Self> {
        let participant = to.as_str();
        match participant.split_once('@') {
            Some((local, domain)) => {
                domain.strip_suffix(".test")?;
                Self::of_word(local.split('.').next()?)
            }
            None => Self::of_digits(participant.strip_prefix("+1")?),
        }
    }

    /// The provider that plays scripts. No configured provider may have this name.
    #[must_use]
    pub fn provider() -> ProviderName {
        PROVIDER.parse().expect("a provider name")
    }

    /// What happens in the next call.
    #[must_use]
    pub fn step(&self, completed_attempts: u32) -> Step {
        let place = usize::try_from(completed_attempts).unwrap_or(usize::MAX);
        self.steps[place.min(self.steps.len() - 1)]
    }

    /// The digits after `+1`.
    fn of_digits(digits: &str) -> Option<Self> {
        let (area, rest) = digits.split_at_checked(3)?;
        let number = rest.strip_prefix("55501")?;
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(area) {
            return None;
        }
        Self::of_word(match number {
            "50" => "rejected",
            "51" => "error-once",
            "52" => "error-twice",
            "53" => "error-always",
            "54" => "rate-limited-once",
            "55" => "timeout-once",
            "56" => "timeout-taken-once",
            "57" => "delivered",
            "58" => "undelivered",
            "59" => "reply-yes",
            "60" => "reply-stop",
            "61" => "slow",
            _ => return None,
        })
    }

    fn of_word(word: &str) -> Option<Self> {
        use ReceiptStatus::{Delivered, Undelivered};
        use Step::{Fail, Hang, HangTaken, PushBack, Reject, Take};
        let push_back = PushBack {
            retry_after: RETRY_AFTER,
        };
        Some(match word {
            "rejected" => Self::stepping([Reject]),
            "error-once" => Self::stepping([Fail, Take]),
            "error-twice" => Self::stepping([Fail, Fail, Take]),
            "error-always" => Self::stepping([Fail]),
            "rate-limited-once" => Self::stepping([push_back, Take]),
            "timeout-once" => Self::stepping([Hang, Take]),
            "timeout-taken-once" => Self::stepping([HangTaken, Take]),
            "delivered" => Self::taking([receipt(Delivered, None)]),
            "undelivered" => {
                Self::taking([receipt(Undelivered, Some(ErrorCode::of("scripted_undelivered")))])
            }
            "reply-yes" => Self::taking([receipt(Delivered, None), reply("YES")]),
            "reply-stop" => Self::taking([receipt(Delivered, None), reply("STOP")]),
            "slow" => Self {
                latency: SLOW_LATENCY,
                ..Self::stepping([Take])
            },
            _ => return None,
        })
    }

    fn stepping(steps: impl Into<Vec<Step>>) -> Self {
        Self {
            steps: steps.into(),
            latency: Duration::ZERO,
            follow_ups: Vec::new(),
        }
    }

    fn taking(follow_ups: impl Into<Vec<FollowUp>>) -> Self {
        Self {
            follow_ups: follow_ups.into(),
            ..Self::stepping([Step::Take])
        }
    }
}

fn receipt(status: ReceiptStatus, error_code: Option<ErrorCode>) -> FollowUp {
    FollowUp {
        after: FOLLOW_UP_AFTER,
        action: FollowUpAction::Receipt { status, error_code },
    }
}

fn reply(body: &str) -> FollowUp {
    let body = Body::new(body).expect("a short text");
    FollowUp {
        after: FOLLOW_UP_AFTER,
        action: FollowUpAction::Reply { body },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(to: &str) -> Option<Script> {
        Script::of(&Participant::from_stored(to))
    }

    /// The steps of the first four calls.
    fn steps(script: &Script) -> [Step; 4] {
        [0, 1, 2, 3].map(|completed| script.step(completed))
    }

    #[test]
    fn every_row_has_its_steps_latency_and_follow_ups_in_both_spellings() {
        use Step::{Fail, Hang, HangTaken, Reject, Take};
        let push_back = Step::PushBack {
            retry_after: Duration::from_secs(1),
        };
        let taken = [Take; 4];
        let receipt = |status: &'static str| vec![status];
        let rows = [
            (50, "rejected", [Reject; 4], 0, vec![]),
            (51, "error-once", [Fail, Take, Take, Take], 0, vec![]),
            (52, "error-twice", [Fail, Fail, Take, Take], 0, vec![]),
            (53, "error-always", [Fail; 4], 0, vec![]),
            (54, "rate-limited-once", [push_back, Take, Take, Take], 0, vec![]),
            (55, "timeout-once", [Hang, Take, Take, Take], 0, vec![]),
            (56, "timeout-taken-once", [HangTaken, Take, Take, Take], 0, vec![]),
            (57, "delivered", taken, 0, receipt("delivered")),
            (
                58,
                "undelivered",
                taken,
                0,
                receipt("undelivered scripted_undelivered"),
            ),
            (59, "reply-yes", taken, 0, vec!["delivered", "YES"]),
            (60, "reply-stop", taken, 0, vec!["delivered", "STOP"]),
            (61, "slow", taken, 3, vec![]),
        ];
        let shown = |follow_up: &FollowUp| {
            assert_eq!(follow_up.after, Duration::from_secs(1));
            match &follow_up.action {
                FollowUpAction::Receipt { status, error_code } => match error_code {
                    Some(code) => format!("{status} {}", code.as_str()),
                    None => status.to_string(),
                },
                FollowUpAction::Reply { body } => body.as_str().to_owned(),
            }
        };
        for (number, word, expected, latency, follow_ups) in rows {
            for to in [
                format!("+120255501{number}"),
                format!("+199955501{number}"),
                format!("{word}@example.test"),
                format!("{word}.case-7.b@mail.t42.test"),
            ] {
                let script = script(&to).unwrap_or_else(|| panic!("{to} has no script"));
                assert_eq!(steps(&script), expected, "{to}");
                assert_eq!(script.latency, Duration::from_secs(latency), "{to}");
                let actual: Vec<String> = script.follow_ups.iter().map(shown).collect();
                assert_eq!(actual, follow_ups, "{to}");
            }
        }
    }

    #[test]
    fn the_neighbours_of_the_table_are_ordinary_recipients() {
        for number in (0..50).chain(62..100) {
            assert_eq!(script(&format!("+120255501{number:02}")), None, "{number}");
        }
        for to in [
            "+12025550250",
            "+12025560150",
            "+22025550150",
            "+120255501500",
            "+1202555015",
            "+1",
            "+",
            "12025550150",
            "50",
            "rejected",
            "+1é25550150",
            "errorx@example.test",
            "error@example.test",
            "error-@example.test",
            "error-oncex@example.test",
            "error-once-more@example.test",
            "x.error-once@example.test",
            "error-once@example.com",
            "error-once@test",
            "error-once@example.test.com",
            "error-once@exampletest",
            "error-once@example.testing",
            "anna@example.test",
        ] {
            assert_eq!(script(to), None, "{to}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_leads_to_its_script() {
        let of = |channel, text| {
            let address = crate::Address::recipient(channel, text, None).unwrap();
            Script::of(&address.participant)
        };
        for text in ["+1 (202) 555-0150", "001 202 555 0150", "tel:+1-202-555-0150"] {
            assert_eq!(of(crate::Channel::Sms, text), script("+12025550150"), "{text}");
            assert!(of(crate::Channel::Mms, text).is_some(), "{text}");
        }
        let tagged = of(crate::Channel::Email, "Error-Once.a+tag@Example.TEST");
        assert_eq!(tagged, script("error-once@example.test"));
        assert!(tagged.is_some());
    }

    #[test]
    fn the_last_step_repeats_for_ever() {
        assert_eq!(script("+12025550152").unwrap().step(u32::MAX), Step::Take);
    }
}
