use domain::Entropy;

use super::Simulated;

/// The seed of a provider's outcomes and how far it has come. With a seed that was set, every run is the
/// same; without one, a seed is drawn, so that even then the number of a call decides its outcome, and
/// nothing else does.
#[derive(Debug)]
pub(super) struct Sequence {
    provider: Simulated,
    entropy: Entropy,
    seed: u64,
    seed_was_set: bool,
    calls: u64,
}

impl Sequence {
    pub(super) fn new(provider: Simulated, seed: Option<u64>, entropy: &Entropy) -> Self {
        // A stream of its own: what the rest of the process draws must not change what this provider does.
        let entropy = entropy.child(&format!("simulator/{}", provider.as_str()));
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

    /// A configuration came. A seed in it starts the sequence again, also when it is the one there was; one
    /// that is gone makes room for a drawn one; a sequence that never had one goes on undisturbed.
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
        // The way to replay what nobody planned to.
        tracing::info!(
            provider = self.provider.as_str(),
            seed,
            "no seed is set for this simulated provider: set the drawn one to see the same outcomes again"
        );
    }

    fn start(&mut self, seed: u64, was_set: bool) {
        (self.seed, self.seed_was_set, self.calls) = (seed, was_set, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_seed_restarts_and_a_missing_one_is_drawn_once() {
        let mut sequence = Sequence::new(Simulated::Email, Some(7), &Entropy::from_seed(1));
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
        let drawn = |provider, entropy| Sequence::new(provider, None, &Entropy::from_seed(entropy)).next();
        assert_eq!(drawn(Simulated::Email, 1), drawn(Simulated::Email, 1));
        assert_ne!(drawn(Simulated::Email, 1), drawn(Simulated::SmsMms, 1));
        assert_ne!(drawn(Simulated::Email, 1), drawn(Simulated::Email, 2));
    }
}
