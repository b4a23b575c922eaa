//! The flights against a model that only keeps a list.

use proptest::prelude::*;

use super::*;

const SEATS_MAX: usize = 3;

#[derive(Debug, Clone)]
enum Event {
    Board {
        job: u8,
        is_alone: bool,
    },
    /// Of the seats that are taken, by number.
    Leave(usize),
    /// Of the flights there ever were, by number.
    Close(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_u8, prop::bool::weighted(0.2))
            .prop_map(|(job, is_alone)| Event::Board { job, is_alone }),
        3 => any::<prop::sample::Index>().prop_map(|index| Event::Leave(index.index(1000))),
        2 => any::<prop::sample::Index>().prop_map(|index| Event::Close(index.index(1000))),
    ]
}

/// A flight as the model has it.
#[derive(Debug)]
struct Known {
    id: FlightId,
    job: u8,
    is_alone: bool,
    is_over: bool,
    cancels: usize,
}

proptest! {
    #[test]
    fn a_run_is_shared_by_equal_jobs_and_cancelled_once_when_the_last_leaves(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut flights = Flights::new(SEATS_MAX);
        let mut known: Vec<Known> = Vec::new();
        let mut seats: Vec<FlightId> = Vec::new();
        for event in events {
            match event {
                Event::Board { job, is_alone } => {
                    let boarded = if is_alone {
                        let (id, shared) = flights.board_alone(job, |id| id);
                        Boarded::Started(id, shared)
                    } else {
                        flights.board(job, |id| id)
                    };
                    let joinable = known
                        .iter()
                        .find(|each| each.job == job && !each.is_over && !each.is_alone)
                        .map(|each| each.id)
                        .filter(|_| !is_alone);
                    match boarded {
                        Boarded::Started(id, shared) => {
                            prop_assert_eq!(joinable, None, "a second flight of one job");
                            prop_assert_eq!(id, shared);
                            prop_assert!(known.iter().all(|each| each.id != id), "a used name");
                            known.push(Known { id, job, is_alone, is_over: false, cancels: 0 });
                            seats.push(id);
                        }
                        Boarded::Joined(id, shared) => {
                            prop_assert_eq!((joinable, shared), (Some(id), id));
                            seats.push(id);
                        }
                        Boarded::Full => {
                            let taken = |id: FlightId| seats.iter().filter(move |seat| **seat == id);
                            prop_assert_eq!(joinable.map(|id| taken(id).count()), Some(SEATS_MAX));
                        }
                    }
                }
                Event::Leave(number) if !seats.is_empty() => {
                    let id = seats.swap_remove(number % seats.len());
                    let left = flights.leave(id);
                    let flight = known.iter_mut().find(|each| each.id == id).unwrap();
                    let is_last = !seats.contains(&id);
                    let expected = if is_last && !flight.is_over {
                        flight.cancels += 1;
                        flight.is_over = true;
                        Left::Cancel(id)
                    } else {
                        Left::Nothing
                    };
                    prop_assert_eq!(left, expected);
                    prop_assert!(flight.cancels <= 1);
                }
                Event::Close(number) if !known.is_empty() => {
                    let number = number % known.len();
                    flights.close(known[number].id);
                    known[number].is_over = true;
                }
                Event::Leave(_) | Event::Close(_) => {}
            }
            let rows = flights.rows();
            let mut expected: Vec<_> = known
                .iter()
                .map(|each| Row {
                    job: each.job,
                    seats: seats.iter().filter(|seat| **seat == each.id).count(),
                    is_open: !each.is_over,
                    shared: each.id,
                })
                .collect();
            expected.retain(|row| row.seats > 0);
            prop_assert_eq!(&rows, &expected);
            prop_assert_eq!(flights.len(), expected.len());
        }
        for seat in seats {
            flights.leave(seat);
        }
        prop_assert!(flights.is_empty() && flights.open.is_empty(), "something is left behind");
    }
}

#[test]
fn a_flight_that_is_over_is_not_joined_and_not_cancelled() {
    let mut flights = Flights::new(SEATS_MAX);
    assert_eq!(flights.board('a', |id| id), Boarded::Started(FlightId(1), FlightId(1)));
    assert_eq!(flights.board('a', |id| id), Boarded::Joined(FlightId(1), FlightId(1)));
    flights.close(FlightId(1));
    assert_eq!(flights.board('a', |id| id), Boarded::Started(FlightId(2), FlightId(2)));
    assert_eq!(flights.leave(FlightId(1)), Left::Nothing);
    assert_eq!(flights.leave(FlightId(1)), Left::Nothing);
    assert_eq!(flights.leave(FlightId(2)), Left::Cancel(FlightId(2)));
    assert!(flights.is_empty());
}
