//! The configuration in JSON. Read by hand rather than by derive, so that everything that is wrong is told at
//! once, each with its place.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{ConfigError, Effective, Overrides, SHARES, SimulatorConfig, found, no_percentage};
use crate::simulator::Simulated;

impl TryFrom<Value> for SimulatorConfig {
    type Error = ConfigError;

    /// Reads what a `PUT` brings. Fields nobody knows are ignored, so that what a `GET` showed can be put
    /// back; `null` means not set.
    fn try_from(value: Value) -> Result<Self, ConfigError> {
        let mut reader = Reader::default();
        let config = reader.config(&value);
        config.find_problems(&mut reader.problems);
        found(reader.problems).map(|()| config)
    }
}

impl Serialize for SimulatorConfig {
    /// Shows what was set and, for every provider, what is in effect.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            timeout_pct: u8,
            error_pct: u8,
            ratelimit_pct: u8,
            #[serde(skip_serializing_if = "Option::is_none")]
            seed: Option<u64>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            providers: &'a BTreeMap<Simulated, Overrides>,
            effective: BTreeMap<Simulated, Effective>,
        }
        Shown {
            timeout_pct: self.timeout_pct,
            error_pct: self.error_pct,
            ratelimit_pct: self.ratelimit_pct,
            seed: self.seed,
            providers: &self.providers,
            effective: Simulated::ALL
                .map(|provider| (provider, self.effective(provider)))
                .into(),
        }
        .serialize(serializer)
    }
}

/// Reads on past what is wrong, with a harmless value in its place, and keeps a list.
#[derive(Default)]
struct Reader {
    problems: Vec<(String, String)>,
}

impl Reader {
    fn config(&mut self, value: &Value) -> SimulatorConfig {
        let Some(fields) = value.as_object() else {
            let [timeout, error, ratelimit] = SHARES;
            self.problem(
                "",
                format!("use an object with {timeout}, {error} and {ratelimit}"),
            );
            return SimulatorConfig::default();
        };
        let [timeout_pct, error_pct, ratelimit_pct] = SHARES.map(|name| {
            if given(fields, name).is_none() {
                self.problem(&format!("/{name}"), format!("is missing: {}", no_percentage()));
            }
            self.percentage(fields, "", name).unwrap_or_default()
        });
        SimulatorConfig {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            seed: self.seed(fields, ""),
            providers: self.providers(fields),
        }
    }

    fn providers(&mut self, fields: &Map<String, Value>) -> BTreeMap<Simulated, Overrides> {
        let Some(value) = given(fields, "providers") else {
            return BTreeMap::new();
        };
        let Some(providers) = value.as_object() else {
            self.problem("/providers", format!("use an object with {}", known(" and ")));
            return BTreeMap::new();
        };
        let mut read = BTreeMap::new();
        for (name, value) in providers {
            let pointer = format!("/providers/{}", escaped(name));
            match (Simulated::named(name), value) {
                (None, _) => {
                    self.problem(
                        &pointer,
                        format!("is no simulated provider: use {}", known(" or ")),
                    );
                }
                (Some(_), Value::Null) => {}
                (Some(provider), Value::Object(fields)) => {
                    read.insert(provider, self.overrides(fields, &pointer));
                }
                (Some(_), _) => self.problem(
                    &pointer,
                    "use an object with what differs for this provider".to_owned(),
                ),
            }
        }
        read
    }

    fn overrides(&mut self, fields: &Map<String, Value>, pointer: &str) -> Overrides {
        let [timeout_pct, error_pct, ratelimit_pct] =
            SHARES.map(|name| self.percentage(fields, pointer, name));
        let seed = self.seed(fields, pointer);
        Overrides {
            timeout_pct,
            error_pct,
            ratelimit_pct,
            seed,
        }
    }

    /// A number that fits but is beyond all calls is let through: the rules of the configuration find it.
    fn percentage(&mut self, fields: &Map<String, Value>, pointer: &str, name: &str) -> Option<u8> {
        let value = given(fields, name)?;
        let number = value
            .as_u64()
            .map(|number| u8::try_from(number).unwrap_or(u8::MAX));
        if number.is_none() {
            self.problem(&format!("{pointer}/{name}"), no_percentage());
        }
        number
    }

    fn seed(&mut self, fields: &Map<String, Value>, pointer: &str) -> Option<u64> {
        let value = given(fields, "seed")?;
        let number = value.as_u64();
        if number.is_none() {
            let detail = format!("use an integer from 0 to {}", u64::MAX);
            self.problem(&format!("{pointer}/seed"), detail);
        }
        number
    }

    fn problem(&mut self, pointer: &str, detail: String) {
        self.problems.push((pointer.to_owned(), detail));
    }
}

fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn known(last: &str) -> String {
    Simulated::ALL.map(Simulated::as_str).join(last)
}

/// A name as a part of a JSON pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(value: Value) -> Vec<(String, String)> {
        SimulatorConfig::try_from(value).unwrap_err().problems
    }

    #[test]
    fn the_shape_of_the_contract_is_read_and_shown() {
        let set = json!({
            "timeout_pct": 5, "error_pct": 10, "ratelimit_pct": 0, "seed": u64::MAX,
            "providers": {"email": {"error_pct": 100, "timeout_pct": 0}, "sms-mms": {"seed": 0}},
        });
        let config: SimulatorConfig = serde_json::from_value(set.clone()).unwrap();
        let mut shown = serde_json::to_value(&config).unwrap();
        let effective = shown.as_object_mut().unwrap().remove("effective").unwrap();
        assert_eq!(shown, set);
        assert_eq!(
            effective,
            json!({
                "sms-mms": {
                    "timeout_pct": 5, "error_pct": 10, "ratelimit_pct": 0, "success_pct": 85, "seed": 0,
                },
                "email": {
                    "timeout_pct": 0, "error_pct": 100, "ratelimit_pct": 0, "success_pct": 0,
                    "seed": u64::MAX,
                },
            })
        );
    }

    #[test]
    fn what_was_not_set_is_not_shown_and_null_is_not_set() {
        let set = json!({
            "timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0, "seed": null, "providers": {"email": null},
        });
        let plain = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0, "success_pct": 100});
        let config = SimulatorConfig::try_from(set).unwrap();
        assert_eq!(
            serde_json::to_value(config).unwrap(),
            json!({
                "timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0,
                "effective": {"sms-mms": plain, "email": plain},
            })
        );
    }

    #[test]
    fn what_is_shown_can_be_put_back() {
        let set = json!({
            "timeout_pct": 1, "error_pct": 2, "ratelimit_pct": 3, "note": "ignored",
            "providers": {"email": {"seed": 7, "note": "ignored"}},
        });
        let config = SimulatorConfig::try_from(set).unwrap();
        let shown = serde_json::to_value(&config).unwrap();
        assert_eq!(SimulatorConfig::try_from(shown), Ok(config));
    }

    #[test]
    fn each_wrong_value_is_told_with_its_place() {
        let base = json!({"timeout_pct": 0, "error_pct": 0, "ratelimit_pct": 0});
        let percentage = "use an integer from 0 to 100";
        let seed = "use an integer from 0 to 18446744073709551615";
        let unknown = "is no simulated provider: use sms-mms or email";
        let object = "use an object with what differs for this provider";
        let cases = [
            ("error_pct", json!("10"), "/error_pct", percentage),
            ("error_pct", json!(1.5), "/error_pct", percentage),
            ("error_pct", json!(1.0), "/error_pct", percentage),
            ("error_pct", json!(-1), "/error_pct", percentage),
            ("error_pct", json!(101), "/error_pct", percentage),
            ("error_pct", json!(256), "/error_pct", percentage),
            ("error_pct", json!(u64::MAX), "/error_pct", percentage),
            ("error_pct", json!(true), "/error_pct", percentage),
            ("error_pct", json!([1]), "/error_pct", percentage),
            (
                "error_pct",
                json!(null),
                "/error_pct",
                "is missing: use an integer from 0 to 100",
            ),
            ("seed", json!("1"), "/seed", seed),
            ("seed", json!(-1), "/seed", seed),
            ("seed", json!(18_446_744_073_709_551_616.0), "/seed", seed),
            (
                "providers",
                json!([]),
                "/providers",
                "use an object with sms-mms and email",
            ),
            ("providers", json!({"sms": {}}), "/providers/sms", unknown),
            ("providers", json!({"a/b~c": {}}), "/providers/a~1b~0c", unknown),
            ("providers", json!({"email": 5}), "/providers/email", object),
            (
                "providers",
                json!({"email": {"error_pct": 101}}),
                "/providers/email/error_pct",
                percentage,
            ),
            (
                "providers",
                json!({"sms-mms": {"seed": 1.5}}),
                "/providers/sms-mms/seed",
                seed,
            ),
        ];
        for (field, value, pointer, detail) in cases {
            let mut config = base.clone();
            config[field] = value;
            let expected = vec![(pointer.to_owned(), detail.to_owned())];
            assert_eq!(problems(config.clone()), expected, "{config}");
        }
    }

    #[test]
    fn shares_that_add_up_to_too_much_are_told_where_they_were_set() {
        let with = |shares: [u8; 3], providers: Value| {
            let [timeout_pct, error_pct, ratelimit_pct] = shares;
            json!({
                "timeout_pct": timeout_pct, "error_pct": error_pct, "ratelimit_pct": ratelimit_pct,
                "providers": providers,
            })
        };
        let config = |providers| with([50, 30, 20], providers);
        let pointers =
            |value| -> Vec<_> { problems(value).into_iter().map(|(pointer, _)| pointer).collect() };
        assert!(SimulatorConfig::try_from(config(json!({}))).is_ok());
        assert_eq!(
            pointers(config(json!({"email": {"error_pct": 31}}))),
            ["/providers/email"]
        );
        // Only what is in effect for somebody counts.
        let excessive = |providers| with([90, 90, 0], providers);
        let harmless = json!({"timeout_pct": 0});
        assert_eq!(pointers(excessive(json!({}))), [""]);
        assert_eq!(pointers(excessive(json!({"email": harmless}))), [""]);
        assert_eq!(
            pointers(excessive(json!({"email": {"error_pct": 11}}))),
            ["", "/providers/email"]
        );
        assert!(
            SimulatorConfig::try_from(excessive(json!({"email": harmless, "sms-mms": harmless}))).is_ok()
        );
    }

    #[test]
    fn everything_is_told_at_once_within_bounds() {
        assert_eq!(
            problems(json!([])),
            [(
                String::new(),
                "use an object with timeout_pct, error_pct and ratelimit_pct".to_owned()
            )]
        );
        let pointers: Vec<_> = problems(json!({"error_pct": "1", "seed": 0.5}))
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(
            pointers,
            ["/timeout_pct", "/error_pct", "/ratelimit_pct", "/seed"]
        );
        let many: Map<String, Value> = (0..1_000).map(|i| (i.to_string(), json!({}))).collect();
        assert_eq!(
            problems(json!({"providers": many})).len(),
            ConfigError::PROBLEMS_MAX
        );
    }
}
