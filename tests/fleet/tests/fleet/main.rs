//! Kills, restarts and floods, seen by clients of the real program.

mod activation;
mod floods;
mod hang_ups;
mod kills;
mod liars;
mod links;
mod restarts;
