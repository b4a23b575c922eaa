use super::*;

#[test]
fn the_page_has_every_path_type_and_example_of_the_file() {
    let html = render();
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    for (path, item) in members(field(&api, "paths")) {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            let title = format!(">{} {path}</h2>", method.to_uppercase());
            assert!(html.contains(&title), "{title}");
        }
    }
    for (name, _) in members(pointer(&api, "/components/schemas")) {
        assert!(html.contains(&format!("id=\"type-{name}\"")), "{name}");
    }
    for (name, source) in EXAMPLES {
        assert!(html.contains(&escape(source.trim_end())), "{name}");
    }
}

#[test]
fn every_link_of_the_page_leads_somewhere_on_it() {
    let html = render();
    let mut count = 0;
    for target in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        count += 1;
        assert!(html.contains(&format!(" id=\"{target}\"")), "{target}");
    }
    assert!(count > 40, "{count}");
    assert!(!html.contains("<script") && !html.contains("style=\""));
}

#[test]
fn what_is_said_is_text() {
    assert_eq!(prose("a `<b>` & `c`"), "a <code>&lt;b&gt;</code> &amp; <code>c</code>");
    assert_eq!(words(&serde_json::json!({"const": "<i>"})), "<code>&lt;i&gt;</code>");
}
