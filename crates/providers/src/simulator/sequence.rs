use domain::{Entropy, ProviderName};

/// The seed of a simulator's outcomes and the number of calls so far. Without a configured seed, one is drawn and
/// logged, so that any run can be repeated.
#[derive(Debug)]
pub(super) struct Sequence {
    provider: ProviderName,
    entropy: Entropy,
    seed: u64,
    seed_was_set: bool,
    calls: u64,
}

impl Sequence {
    pub(super) fn new(provider: ProviderName, seed: Option<u64>, entropy: &Entropy) -> Self {
        // A stream of its own: what the rest of the process draws must not change the outcomes.
        let entropy = entropy.child(&format!("simulator/{}", provider));
        let mut sequence = Self {
            provider,
            entropy,
            seed: 0,
            seed_was_set: false,
            calls: 0,
        };
        match seed {
            Some(seed) => sequence.start(seed, true),
            None => sequence.start_anew(),
        }
        sequence
    }

    /// A configured seed starts the sequence again, also when it is the same as before. If the seed was removed, a
    /// drawn one takes its place; a sequence that never had one goes on undisturbed.
    pub(super) fn configure(&mut self, seed: Option<u64>) {
        match seed {
            Some(seed) => self.start(seed, true),
            None if self.seed_was_set => self.start_anew(),
            None => {}
        }
    }

    /// The seed and the number of the next call.
    pub(super) fn next(&mut self) -> (u64, u64) {
        self.calls += 1;
        (self.seed, self.calls)
    }

    fn start_anew(&mut self) {
        let seed = self.entropy.next_u64();
        self.start(seed, false);
        tracing::info!(
            provider = %self.provider,
            seed,
            "this simulator has no seed and drew one: set it to repeat these outcomes"
        );
    }

    fn start(&mut self, seed: u64, was_set: bool) {
        (self.seed, self.seed_was_set, self.calls) = (seed, was_set, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> ProviderName {
        name.parse().unwrap()
    }

    #[test]
    fn a_set_seed_restarts_and_a_missing_one_is_drawn_once() {
        let mut sequence = Sequence::new(named("email"), Some(7), &Entropy::from_seed(1));
        assert_eq!([sequence.next(), sequence.next()], [(7, 1), (7, 2)]);
        sequence.configure(Some(7));
        assert_eq!(sequence.next(), (7, 1));
        sequence.configure(Some(8));
        assert_eq!(sequence.next(), (8, 1));
        sequence.configure(None);
        let (drawn, call) = sequence.next();
        assert_ne!(drawn, 8);
        assert_eq!(call, 1);
        sequence.configure(None);
        assert_eq!(sequence.next(), (drawn, 2));
        sequence.configure(Some(7));
        sequence.configure(None);
        assert_ne!(sequence.next().0, drawn);
    }

    #[test]
    fn drawn_seeds_differ_between_providers_and_repeat_with_the_entropy() {
        let drawn =
            |provider, entropy| Sequence::new(named(provider), None, &Entropy::from_seed(entropy)).next();
        assert_eq!(drawn("email", 1), drawn("email", 1));
        assert_ne!(drawn("email", 1), drawn("sms-mms", 1));
        assert_ne!(drawn("email", 1), drawn("email", 2));
    }
}
