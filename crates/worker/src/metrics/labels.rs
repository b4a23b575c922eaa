//! The labels of metrics: closed enums, each with its names.

use crate::core::pool::Subject;

/// Names of outcomes, as [`pe_proto::Outcome::kind`] gives them.
pub(super) const OUTCOMES: [&str; 6] =
    ["exited", "signaled", "timed_out", "out_of_memory", "refused", "lost"];

/// Gives an enum the names of its variants, in order.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$what])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name, as in metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// All names.
            pub fn names() -> Vec<&'static str> {
                Self::ALL.iter().map(|label| label.as_str()).collect()
            }
        }
    };
}

labels! {
    /// Whether a zygote was built.
    Built {
        /// It was.
        Built = "built",
        /// It was not; the old one, if there is one, is still there.
        Failed = "failed",
    }
}

labels! {
    /// A job of our own.
    Trial {
        /// VMs made as they are run jobs.
        WorkerPassed = "worker_passed",
        /// They do not.
        WorkerFailed = "worker_failed",
        /// Jobs of an image run.
        ImagePassed = "image_passed",
        /// They do not.
        ImageFailed = "image_failed",
    }
}

impl Trial {
    /// Of what was tried, and how it went.
    pub fn of(subject: Subject, passed: bool) -> Self {
        match (subject, passed) {
            (Subject::Worker(_), true) => Self::WorkerPassed,
            (Subject::Worker(_), false) => Self::WorkerFailed,
            (Subject::Image(_), true) => Self::ImagePassed,
            (Subject::Image(_), false) => Self::ImageFailed,
        }
    }
}

labels! {
    /// What is known of a pack.
    PackState {
        /// Its bytes have not been looked at yet.
        Unverified = "unverified",
        /// They are what its name says.
        Verified = "verified",
        /// They are not. Its images are not offered.
        Bad = "bad",
    }
}

labels! {
    /// How a transfer of a pack ended.
    FetchEnd {
        /// It is here, and what its name says.
        Good = "good",
        /// It broke off; what came is kept.
        Cut = "cut",
        /// Its bytes were wrong; they are gone.
        Wrong = "wrong",
        /// It was not given.
        Refused = "refused",
        /// It could not be written, or not be used.
        Host = "host",
        /// Another was more urgent.
        Yielded = "yielded",
    }
}

labels! {
    /// Who ended a job that did not end by itself.
    Killer {
        /// Guest init's clock.
        Guest = "guest",
        /// The worker's.
        Worker = "worker",
        /// The LB's: it reset the lease when its deadline was over.
        Lb = "lb",
        /// Its client, through the LB: the lease was reset earlier than that.
        Client = "client",
        /// Nobody: the connection to the LB was lost, and the lease with it.
        Link = "link",
    }
}

labels! {
    /// Why a job was refused before it reached a guest.
    Refusal {
        /// Its spec is not one.
        Spec = "spec",
        /// It is for another architecture.
        Arch = "arch",
        /// Its image is not here.
        Image = "image",
        /// Its image is not offered for now.
        Quarantined = "quarantined",
        /// Its archive is not one, or does not fit.
        Archive = "archive",
        /// The host failed to keep it.
        Host = "host",
    }
}

labels! {
    /// Which way archive bytes went.
    Direction {
        /// With a job.
        In = "in",
        /// With a result.
        Out = "out",
    }
}

labels! {
    /// What the link is doing.
    LinkState {
        /// Waiting to dial, or dialling.
        Down = "down",
        /// Offering VMs.
        Up = "up",
        /// Finishing what runs.
        Draining = "draining",
    }
}
