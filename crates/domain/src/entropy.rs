use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use sha2::{Digest, Sha256};

/// A stream of random numbers: repeatable from a seed, or seeded by the operating system.
///
/// A stream has children, one for each use. A child depends only on the seed and its label, so that one part of a run
/// cannot disturb the randomness of another. The generator is PCG: for ids, jitter and simulations; secrets are made by [`Entropy::secret`] alone.
#[derive(Debug)]
pub struct Entropy {
    seed: [u8; 32],
    rng: Mutex<Pcg64>,
}

impl Entropy {
    /// A stream that cannot be repeated, for production.
    ///
    /// # Panics
    /// When the operating system provides no random bytes: without them ids are not unique.
    #[must_use]
    pub fn from_system() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system provides random bytes");
        Self::from_bytes(seed)
    }

    /// The stream of `seed`, the same on every machine and in every version.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::from_bytes(Sha256::digest(seed.to_be_bytes()).into())
    }

    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        Self::from_bytes(
            Sha256::new()
                .chain_update(self.seed)
                .chain_update(label)
                .finalize()
                .into(),
        )
    }

    /// The same stream from its beginning, with the same children.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::from_bytes(self.seed)
    }

    /// Uniform over all 64-bit values.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        self.rng.lock().next_u64()
    }

    /// 32 bytes that cannot be guessed, if the stream is seeded by the operating system and is used for secrets only: its own
    /// numbers are never shown.
    #[must_use]
    pub fn secret(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.seed)
            .chain_update("secret")
            .chain_update(self.next_u64().to_be_bytes())
            .finalize()
            .into()
    }

    fn from_bytes(seed: [u8; 32]) -> Self {
        Self {
            seed,
            rng: Mutex::new(Pcg64::from_seed(seed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_in_every_version() {
        let entropy = Entropy::from_seed(7);
        let drawn = [entropy.next_u64(), entropy.next_u64()];
        assert_eq!(drawn, [2_960_737_935_452_201_109, 3_068_874_046_518_085_190]);
    }

    #[test]
    fn a_child_does_not_depend_on_numbers_drawn_from_its_parent() {
        let parent = Entropy::from_seed(7);
        let before = parent.child("ids").next_u64();
        let _ = parent.next_u64();
        assert_eq!(parent.child("ids").next_u64(), before);
        assert_ne!(parent.child("jitter").next_u64(), before);
    }
}
