//! Both ends are ours, but people write these by hand, too.

use super::*;

#[test]
fn a_change_with_a_field_that_nobody_knows_is_refused() {
    let check = |json: &str, is_good: bool| {
        assert_eq!(serde_json::from_str::<DrainWorker>(json).is_ok(), is_good, "{json}");
    };
    check(r#"{"worker":"w","draining":true}"#, true);
    check(r#"{"worker":"w","draining":true,"now":true}"#, false);
    check(r#"{"worker":"w"}"#, false);
    check(r#"{"worker":1,"draining":true}"#, false);
}

#[test]
fn a_view_with_a_field_that_is_new_is_still_read() {
    let json = r#"{"flights":[{"job":"","request_id":"r","clients":2,"is_open":true,"age_ms":3,"new":1}],"more":0}"#;
    let flights: Flights = serde_json::from_str(json).unwrap();
    assert_eq!(flights.flights.first().map(|flight| flight.clients), Some(2));
}
