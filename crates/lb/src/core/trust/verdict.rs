//! What several runs of one job say about each other.
//!
//! A job has no network and no state, so an honest run of it mostly ends as another does; but a
//! program may look at the clock or draw random bytes, and then two honest runs differ. So a
//! second run that says the same confirms the first, and one that says something else accuses
//! nobody yet: a third run, by a worker of yet another owner or a trusted one, decides. Who is
//! alone against two, of which one is trusted, is struck if it is not itself. Otherwise nobody
//! is: the job may be one that varies, or two may have agreed beforehand. In either case nothing
//! is kept for others.

use pe_proto::{Digest, Outcome};

use super::Standing;
use crate::core::broker::{Spare, Who};
use crate::core::ids::OwnerKey;

/// What a run of a job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it ended.
    pub outcome: Outcome,
    /// SHA-256 of its archive's bytes.
    pub archive: Digest,
}

/// Who made a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// Whose worker it was.
    pub owner: OwnerKey,
    /// Whether its word counts.
    pub standing: Standing,
}

/// After two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// Both say the same.
    Agreed,
    /// They do not: such a run decides.
    Ask(Spare),
}

/// After three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Third {
    /// The first is alone with what it says.
    FirstLied,
    /// The second is.
    SecondLied,
    /// All three differ, or nobody among them is trusted.
    Unclear,
}

/// Who is to be asked to confirm a result of an untrusted worker.
pub fn confirmation(first: &Witness) -> Spare {
    Spare { not: [Some(first.owner), None], who: Who::Anybody }
}

/// Who is to be asked to repeat a result of a trusted worker, which it is measured by.
pub fn probe(first: &Witness) -> Spare {
    Spare { not: [Some(first.owner), None], who: Who::Untrusted }
}

/// What a second run says.
pub fn second(first: (&Witness, &Finding), second: (&Witness, &Finding)) -> Second {
    if first.1 == second.1 {
        return Second::Agreed;
    }
    // A trusted worker may be asked again; of others, no owner gets two voices.
    let again = |witness: &Witness| match witness.standing {
        Standing::Trusted => None,
        Standing::Untrusted { owner } => Some(owner),
    };
    let is_any_trusted = [first.0, second.0].iter().any(|each| each.standing == Standing::Trusted);
    let who = if is_any_trusted { Who::Trusted } else { Who::Anybody };
    Second::Ask(Spare { not: [again(first.0), again(second.0)], who })
}

/// What a third run says of two that differ.
pub fn third(
    first: (&Witness, &Finding),
    second: (&Witness, &Finding),
    third: (&Witness, &Finding),
) -> Third {
    let counts = |witness: &Witness| witness.standing == Standing::Trusted;
    let accuses =
        |accused: &Witness, other: &Witness| !counts(accused) && (counts(other) || counts(third.0));
    if third.1 == second.1 && accuses(first.0, second.0) {
        Third::FirstLied
    } else if third.1 == first.1 && accuses(second.0, first.0) {
        Third::SecondLied
    } else {
        Third::Unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(text: &str) -> Finding {
        Finding { outcome: Outcome::Exited { code: 0 }, archive: Digest::of(text.as_bytes()) }
    }

    fn witness(owner: u8, is_trusted: bool) -> Witness {
        let owner = OwnerKey([owner; 16]);
        let standing = if is_trusted { Standing::Trusted } else { Standing::Untrusted { owner } };
        Witness { owner, standing }
    }

    #[test]
    fn the_same_end_and_the_same_bytes_are_agreement_and_nothing_less_is() {
        let (a, b) = (witness(1, false), witness(2, false));
        let said = finding("x");
        assert_eq!(second((&a, &said), (&b, &said)), Second::Agreed);
        let other_bytes = finding("y");
        let other_end = Finding { outcome: Outcome::Exited { code: 1 }, ..finding("x") };
        for other in [other_bytes, other_end] {
            assert!(matches!(second((&a, &said), (&b, &other)), Second::Ask(_)));
        }
    }

    #[test]
    fn nobody_confirms_or_judges_what_is_its_own() {
        let (ann, bob, op) = (witness(1, false), witness(2, false), witness(3, true));
        let asked = confirmation(&ann);
        assert!(!asked.admits(ann.owner, false) && !asked.admits(ann.owner, true));
        assert!(asked.admits(bob.owner, false) && asked.admits(op.owner, true));
        let probed = probe(&op);
        assert!(probed.admits(ann.owner, false) && !probed.admits(bob.owner, true));

        let differs = (finding("x"), finding("y"));
        let Second::Ask(judge) = second((&ann, &differs.0), (&bob, &differs.1)) else {
            panic!("they differ")
        };
        assert!(!judge.admits(ann.owner, false) && !judge.admits(bob.owner, false));
        assert!(judge.admits(op.owner, true) && judge.admits(OwnerKey([9; 16]), false));
        let Second::Ask(judge) = second((&ann, &differs.0), (&op, &differs.1)) else {
            panic!("they differ")
        };
        assert!(judge.admits(op.owner, true), "a trusted worker may be asked again");
        assert!(!judge.admits(bob.owner, false), "where one is trusted, only such judge");
    }

    #[test]
    fn two_against_one_tell_the_liar_if_one_of_them_is_trusted() {
        let (x, y, z) = (finding("x"), finding("y"), finding("z"));
        let (ann, bob, eve) = (witness(1, false), witness(2, false), witness(4, false));
        let op = witness(3, true);
        assert_eq!(third((&ann, &x), (&op, &y), (&op, &y)), Third::FirstLied);
        assert_eq!(third((&op, &x), (&ann, &y), (&op, &x)), Third::SecondLied);
        assert_eq!(third((&ann, &x), (&bob, &y), (&op, &y)), Third::FirstLied);
        assert_eq!(third((&ann, &x), (&op, &y), (&op, &z)), Third::Unclear, "it varies");
        assert_eq!(third((&ann, &x), (&bob, &y), (&eve, &y)), Third::Unclear, "in league?");
        assert_eq!(third((&ann, &x), (&op, &y), (&op, &x)), Third::Unclear, "op is not struck");
    }
}
