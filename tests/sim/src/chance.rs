//! Chance by name: a number depends on the seed and on what it is for, never on what else was
//! drawn before. So an action can be taken out of a plan and all others stay as they were.

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Chance(pub u64);

/// What a number is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A plan.
    Plan,
    /// How long a message is on its way.
    Delay,
    /// In which order dropped things are heard of.
    Order,
    /// What becomes of a job on a worker.
    Fate,
    /// How long a VM boots.
    Boot,
    /// The jitter of a worker's next dial.
    Dial,
    /// When the driver gets to run.
    Driver,
    /// Whether a worker lies.
    Lie,
}

impl Chance {
    /// Numbers for one purpose and one thing.
    pub fn of(self, purpose: Purpose, thing: [u64; 3]) -> fastrand::Rng {
        let names = [purpose as u64, thing[0], thing[1], thing[2]];
        let seed = names.into_iter().fold(self.0, |mixed, name| mix(mixed ^ mix(name)));
        fastrand::Rng::with_seed(seed)
    }
}

/// The finaliser of SplitMix64: one bit of the input changes half of the output.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
