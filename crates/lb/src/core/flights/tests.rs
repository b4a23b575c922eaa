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
    Land(usize),
    Close(usize),
    /// A job.
    Part(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_u8, prop::bool::weighted(0.2))
            .prop_map(|(job, is_alone)| Event::Board { job, is_alone }),
        3 => any::<prop::sample::Index>().prop_map(|index| Event::Leave(index.index(1000))),
        2 => any::<prop::sample::Index>().prop_map(|index| Event::Land(index.index(1000))),
        2 => any::<prop::sample::Index>().prop_map(|index| Event::Close(index.index(1000))),
        1 => (0..3_u8).prop_map(Event::Part),
    ]
}

/// A flight as the model has it.
#[derive(Debug)]
struct Known {
    id: FlightId,
    job: u8,
    is_alone: bool,
    phase: Phase,
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
                        .find(|each| each.job == job && each.phase != Phase::Closed && !each.is_alone)
                        .map(|each| each.id)
                        .filter(|_| !is_alone);
                    match boarded {
                        Boarded::Started(id, shared) => {
                            prop_assert_eq!(joinable, None, "a second flight of one job");
                            prop_assert_eq!(id, shared);
                            prop_assert!(known.iter().all(|each| each.id != id), "a used name");
                            let phase = Phase::Running;
                            known.push(Known { id, job, is_alone, phase, cancels: 0 });
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
                    let expected = if is_last && flight.phase == Phase::Running {
                        flight.cancels += 1;
                        flight.phase = Phase::Closed;
                        Left::Cancel(id)
                    } else {
                        Left::Nothing
                    };
                    prop_assert_eq!(left, expected);
                    prop_assert!(flight.cancels <= 1);
                }
                Event::Close(number) if !known.is_empty() => {
                    let number = number % known.len();
                    flights.end(known[number].id);
                    known[number].phase = Phase::Closed;
                }
                Event::Part(job) => {
                    flights.part(job);
                    let of_job = known.iter_mut().filter(|each| each.job == job);
                    of_job.for_each(|each| each.is_alone = true);
                }
                Event::Land(number) if !known.is_empty() => {
                    let number = number % known.len();
                    flights.land(known[number].id);
                    if known[number].phase == Phase::Running {
                        known[number].phase = Phase::Landed;
                    }
                }
                Event::Leave(_) | Event::Land(_) | Event::Close(_) => {}
            }
            let rows = flights.rows();
            let mut expected: Vec<_> = known
                .iter()
                .map(|each| Row {
                    job: each.job,
                    seats: seats.iter().filter(|seat| **seat == each.id).count(),
                    phase: each.phase,
                    shared: each.id,
                })
                .collect();
            expected.retain(|row| row.seats > 0 || row.phase != Phase::Closed);
            prop_assert_eq!(&rows, &expected);
            prop_assert_eq!(flights.len(), expected.len());
        }
        for seat in seats {
            flights.leave(seat);
        }
        for each in known {
            flights.end(each.id);
        }
        prop_assert!(flights.is_empty() && flights.open.is_empty(), "something is left behind");
    }
}

#[test]
fn a_flight_that_is_over_is_not_joined_and_not_cancelled() {
    let mut flights = Flights::new(SEATS_MAX);
    assert_eq!(flights.board('a', |id| id), Boarded::Started(FlightId(1), FlightId(1)));
    assert_eq!(flights.board('a', |id| id), Boarded::Joined(FlightId(1), FlightId(1)));
    flights.land(FlightId(1));
    flights.end(FlightId(1));
    assert_eq!(flights.board('a', |id| id), Boarded::Started(FlightId(2), FlightId(2)));
    assert_eq!(flights.leave(FlightId(1)), Left::Nothing);
    assert_eq!(flights.leave(FlightId(1)), Left::Nothing);
    assert_eq!(flights.leave(FlightId(2)), Left::Cancel(FlightId(2)));
    assert!(flights.is_empty());
}

#[test]
fn a_result_that_landed_is_not_given_up_when_everybody_leaves() {
    let mut flights = Flights::new(SEATS_MAX);
    assert_eq!(flights.board('a', |id| id), Boarded::Started(FlightId(1), FlightId(1)));
    flights.land(FlightId(1));
    assert_eq!(flights.leave(FlightId(1)), Left::Nothing);
    assert_eq!(flights.board('a', |id| id), Boarded::Joined(FlightId(1), FlightId(1)));
    assert_eq!(flights.leave(FlightId(1)), Left::Nothing);
    flights.end(FlightId(1));
    assert!(flights.is_empty());
}
