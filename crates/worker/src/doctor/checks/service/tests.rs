use std::time::Duration;

use super::*;
use crate::doctor::Verdict::{self, Fail, Pass, Warn};

fn check_images(good: usize, left_out: &[&str], damaged: &[&str], all: bool, verdict: Verdict) {
    let owned = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect();
    let found = images(&ImageFacts::Read {
        images: good,
        packs: good,
        mib: 240,
        left_out: owned(left_out),
        damaged: owned(damaged),
        hashed_all: all,
    });
    assert_eq!(found.verdict, verdict, "{found:?}");
    for named in left_out.iter().chain(damaged) {
        assert!(found.seen.contains(named), "{found:?}");
    }
}

#[test]
fn images_are_whole_left_out_or_damaged() {
    check_images(3, &[], &[], true, Pass);
    check_images(3, &[], &[], false, Warn);
    check_images(2, &["gcc: no pack"], &[], true, Warn);
    check_images(0, &["gcc: no pack"], &[], true, Fail);
    check_images(0, &[], &[], true, Fail);
    check_images(3, &[], &["packs/00.erofs"], true, Fail);
    let none = ImageFacts::None { reason: "cannot read images/catalogue.json".to_owned() };
    assert_eq!(images(&none).verdict, Fail);
}

fn answers() -> LbFacts {
    LbFacts::Answers { lb: "http://lb:81".to_owned(), took: Duration::from_millis(3), off: None }
}

fn refuses() -> LbFacts {
    LbFacts::Refuses {
        lb: "http://lb:81".to_owned(),
        took: Duration::from_millis(3),
        said: "401 unauthorized".to_owned(),
        off: None,
    }
}

fn unreachable() -> LbFacts {
    let reason = "connection refused".to_owned();
    LbFacts::Unreachable { lb: "http://lb:81".to_owned(), reason }
}

#[test]
fn an_lb_is_there_even_if_it_lets_nobody_in() {
    assert_eq!(lb(&answers()).verdict, Pass);
    assert_eq!(lb(&refuses()).verdict, Pass);
    assert_eq!(lb(&unreachable()).verdict, Fail);
    let reason = "lb does not speak http/2".to_owned();
    assert_eq!(lb(&LbFacts::NotAnLb { lb: "http://lb:81".to_owned(), reason }).verdict, Fail);
    assert_eq!(lb(&LbFacts::NotSet).verdict, Warn);
}

#[test]
fn a_token_is_taken_wrong_missing_or_untried() {
    assert_eq!(token(&answers(), true, None).verdict, Pass);
    assert_eq!(token(&answers(), false, None).verdict, Warn);
    let wrong = token(&refuses(), true, None);
    assert_eq!(wrong.verdict, Fail);
    assert!(wrong.seen.starts_with("the token is another"));
    assert!(token(&refuses(), false, None).seen.starts_with("a token is wanted"));
    assert_eq!(token(&unreachable(), true, None).verdict, Warn);
    assert_eq!(token(&LbFacts::NotSet, false, Some("token: not there")).verdict, Fail);
}

#[test]
fn a_metrics_address_is_free_or_a_workers_own() {
    let at = "127.0.0.1:9101".parse().expect("address");
    assert_eq!(metrics(&MetricsFacts::NotSet).verdict, Pass);
    assert_eq!(metrics(&MetricsFacts::Free { at }).verdict, Pass);
    assert_eq!(metrics(&MetricsFacts::Ours { at }).verdict, Pass);
    let found = metrics(&MetricsFacts::Taken { at, reason: "in use".to_owned() });
    assert_eq!(found.verdict, Fail);
    assert!(found.mend.is_some_and(|it| it.contains(":9101")));
}
