//! Headers, as clients write them.

use http::HeaderValue;

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn a_key_is_shown_in_one_way_and_once() {
    let shown = |values: &[&'static str]| {
        let lines: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
        bearer(&headers(&lines)).map(|key| key.map(<[u8]>::to_vec)).map_err(|bad| bad.kind())
    };
    assert_eq!(shown(&[]), Ok(None));
    for spelled in ["Bearer pe_1", "bearer pe_1", "BEARER   pe_1 "] {
        assert_eq!(shown(&[spelled]), Ok(Some(b"pe_1".to_vec())), "{spelled}");
    }
    assert_eq!(shown(&["Bearer "]), Ok(Some(Vec::new())), "an empty key is one that is unknown");
    for other in ["Basic cGU6cGU=", "Bearer", "pe_1", ""] {
        assert_eq!(shown(&[other]), Ok(None), "{other}");
    }
    assert_eq!(shown(&["Basic cGU6cGU=", "Bearer pe_1"]), Ok(Some(b"pe_1".to_vec())));
    assert_eq!(shown(&["Bearer pe_1", "Bearer pe_1"]), Err(ProblemKind::BadRequest));
}

#[test]
fn a_deadline_is_one_whole_number_of_milliseconds() {
    let given = |values: &[&'static str]| {
        let lines: Vec<_> = values.iter().map(|value| (DEADLINE, *value)).collect();
        deadline(&headers(&lines)).map_err(|bad| bad.kind())
    };
    assert_eq!(given(&[]), Ok(None));
    assert_eq!(given(&["1500"]), Ok(Some(Duration::from_millis(1500))));
    assert_eq!(given(&["86400000"]), Ok(Some(DEADLINE_MAX)));
    let bad = ["", "0", "-1", "+1", "1.0", "1e3", "1e308", "NaN", "inf", " 1", "86400001", "0x1"];
    for bad in bad.into_iter().chain(["99999999999999999999999"]) {
        assert_eq!(given(&[bad]), Err(ProblemKind::BadRequest), "{bad}");
    }
    assert_eq!(given(&["1", "2"]), Err(ProblemKind::BadRequest));
}
