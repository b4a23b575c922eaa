//! The seats against a list that is searched from end to end.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// A connection whose requests the test begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Guest {
    name: usize,
    quiet: Rc<Cell<Option<Moment>>>,
}

impl Occupant for Guest {
    fn quiet_since(&self) -> Option<Moment> {
        self.quiet.get()
    }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn guest(name: usize, quiet: Option<u64>) -> Guest {
    Guest { name, quiet: Rc::new(Cell::new(quiet.map(at))) }
}

fn key(client: u8) -> Option<ClientKey> {
    Some(ClientKey([client; 16]))
}

const TERMS: Terms = Terms { seats: 2, per_client: 10, leaving: 1 };

fn seated(arrival: Arrival<Guest>) -> (SeatId, Option<usize>, Option<usize>) {
    match arrival {
        Arrival::Seated { seat, asked, thrown_out } => {
            (seat, asked.map(|guest| guest.name), thrown_out.map(|guest| guest.name))
        }
        Arrival::Full | Arrival::Crowd => panic!("{arrival:?}"),
    }
}

#[test]
fn at_the_limit_the_one_that_is_quiet_the_longest_is_asked_to_leave() {
    let mut seats = Seats::new(TERMS);
    seated(seats.arrive(guest(1, Some(2)), None, at(2)));
    seated(seats.arrive(guest(2, Some(1)), None, at(2)));
    let (_, asked, thrown_out) = seated(seats.arrive(guest(3, Some(3)), None, at(3)));
    assert_eq!((asked, thrown_out, seats.count()), (Some(2), None, (2, 1)));
    let (_, asked, thrown_out) = seated(seats.arrive(guest(4, Some(4)), None, at(4)));
    assert_eq!((asked, thrown_out, seats.count()), (Some(1), Some(2), (2, 1)));
}

#[test]
fn a_newcomer_is_turned_away_only_when_nobody_is_quiet() {
    let mut seats = Seats::new(TERMS);
    let first = guest(1, None);
    seated(seats.arrive(first.clone(), None, at(1)));
    seated(seats.arrive(guest(2, None), None, at(1)));
    assert_eq!(seats.arrive(guest(3, Some(2)), None, at(2)), Arrival::Full);
    first.quiet.set(Some(at(3)));
    assert_eq!(seated(seats.arrive(guest(4, Some(4)), None, at(4))).1, Some(1));
}

#[test]
fn who_was_quiet_and_has_a_request_now_is_not_asked() {
    let mut seats = Seats::new(Terms { seats: 3, ..TERMS });
    let first = guest(1, Some(1));
    for guest in [first.clone(), guest(2, Some(2)), guest(3, Some(3))] {
        seated(seats.arrive(guest, None, at(3)));
    }
    first.quiet.set(None);
    assert_eq!(seated(seats.arrive(guest(4, Some(4)), None, at(4))).1, Some(2));
    // And one that was remembered and had a request since is not the quietest any more.
    first.quiet.set(Some(at(5)));
    assert_eq!(seated(seats.arrive(guest(5, Some(5)), None, at(5))).1, Some(3));
}

#[test]
fn one_client_has_a_bound_of_its_own_and_gets_it_back() {
    let mut seats = Seats::new(Terms { seats: 10, per_client: 1, leaving: 1 });
    let (first, ..) = seated(seats.arrive(guest(1, Some(1)), key(1), at(1)));
    assert_eq!(seats.arrive(guest(2, Some(1)), key(1), at(1)), Arrival::Crowd);
    seated(seats.arrive(guest(3, Some(1)), key(2), at(1)));
    seats.leave(first);
    seated(seats.arrive(guest(4, Some(1)), key(1), at(1)));
    // A proxy is nobody's client.
    seated(seats.arrive(guest(5, Some(1)), None, at(1)));
    seated(seats.arrive(guest(6, Some(1)), None, at(1)));
}

proptest! {
    #[test]
    fn bounds_hold_and_nobody_with_a_request_is_asked_to_leave(
        steps in proptest::collection::vec((0..4_u8, 0..12_usize, 0..3_u8), 1..200),
    ) {
        let terms = Terms { seats: 4, per_client: 3, leaving: 2 };
        let mut seats = Seats::new(terms);
        let mut here: Vec<(SeatId, Guest, u8)> = Vec::new();
        let mut leaving: Vec<(SeatId, Guest, u8)> = Vec::new();
        for (now, (step, which, client)) in steps.into_iter().enumerate() {
            let now = at(now as u64);
            match step {
                0 | 1 => {
                    let guest = Guest { name: 0, quiet: Rc::new(Cell::new(Some(now))) };
                    let of_client =
                        here.iter().chain(&leaving).filter(|(.., owner)| *owner == client).count();
                    let quietest = here.iter().filter_map(|(_, guest, _)| guest.quiet.get()).min();
                    match seats.arrive(guest.clone(), key(client), now) {
                        Arrival::Crowd => prop_assert!(of_client >= terms.per_client),
                        Arrival::Full => {
                            prop_assert!(here.len() == terms.seats && quietest.is_none());
                        }
                        Arrival::Seated { seat, asked, thrown_out } => {
                            prop_assert!(of_client < terms.per_client);
                            prop_assert_eq!(asked.is_some(), here.len() == terms.seats);
                            if let Some(asked) = asked {
                                prop_assert!(asked.quiet.get().is_some());
                                let at = here.iter()
                                    .position(|(_, guest, _)| Rc::ptr_eq(&guest.quiet, &asked.quiet))
                                    .unwrap();
                                leaving.push(here.remove(at));
                            }
                            if let Some(out) = thrown_out {
                                prop_assert!(Rc::ptr_eq(&leaving.remove(0).1.quiet, &out.quiet));
                            }
                            here.push((seat, guest, client));
                        }
                    }
                }
                2 => {
                    let of = if which % 2 == 0 { &mut here } else { &mut leaving };
                    if !of.is_empty() {
                        let (seat, ..) = of.remove(which % of.len());
                        seats.leave(seat);
                    }
                }
                _ => if let Some((_, guest, _)) = here.get(which) {
                    guest.quiet.set(if guest.quiet.get().is_some() { None } else { Some(now) });
                },
            }
            prop_assert_eq!(seats.count(), (here.len(), leaving.len()));
            prop_assert!(here.len() <= terms.seats && leaving.len() <= terms.leaving);
        }
    }
}
