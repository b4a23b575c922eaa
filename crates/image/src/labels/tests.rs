use super::*;
use crate::lint::{self, Severity};
use pe_proto::catalogue::ImageConfig;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/image-labels.md");
    std::fs::read_to_string(path).expect("the page")
}

/// The blocks of the page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut parts = page.split("```");
    parts.next();
    let blocks = parts.step_by(2).filter_map(|block| block.strip_prefix(language));
    blocks.map(|block| block.trim_start_matches('\n').to_owned()).collect()
}

#[test]
fn the_worked_example_of_the_page_is_possible_and_expands_as_it_says() {
    let page = page();
    let [toml] = &blocks(&page, "toml")[..] else { panic!("one example") };
    assert_eq!(lint::toml(toml), []);
    let description = Description::of_toml(toml).expect("good");
    let playground = description.playground.clone().expect("a playground");
    let commands: Vec<String> = playground
        .examples
        .iter()
        .map(|example| playground.expand_example(example).expect("possible").args.join(" "))
        .collect();
    let [stated] = &blocks(&page, "text")[..] else { panic!("the commands of the examples") };
    assert_eq!(stated.lines().collect::<Vec<_>>(), commands);
    // As labels it says the same.
    let labels = description.labels().expect("labels");
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    assert_eq!(Description::of_labels(&labels), Ok(description));
    assert_eq!(lint::labels(&labels, &ImageConfig::default()), []);
}

/// `images/NAME/labels.toml`
#[test]
fn the_recipes_of_this_repository_have_nothing_to_mend() {
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../../images");
    let mut count = 0;
    for folder in std::fs::read_dir(images).expect("recipes") {
        let file = folder.expect("a folder").path().join("labels.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        assert_eq!(lint::toml(&text), [], "{}", file.display());
        let read = Description::of_toml(&text).expect("good");
        let examples = read.playground.map_or(0, |playground| playground.examples.len());
        assert!(examples >= 2, "{}: {examples} examples", file.display());
        count += 1;
    }
    assert!(count >= 9, "{count} images");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_its_mend() {
    let of = |label: &str| {
        let labels = [(LABEL, label), (TITLE, "T"), (DESCRIPTION, "D")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = ImageConfig {
            entrypoint: vec!["dot".to_owned()],
            workdir: "/app".to_owned(),
            ..ImageConfig::default()
        };
        let found = lint::labels(&labels.into_iter().collect(), &config);
        assert!(found.iter().all(|each| !each.mend.is_empty() && !each.reason.is_empty()));
        found.into_iter().map(|each| (each.severity, each.pointer)).collect::<Vec<_>>()
    };
    let error = |pointer: &str| (Severity::Error, pointer.to_owned());
    let warning = |pointer: &str| (Severity::Warning, pointer.to_owned());
    assert_eq!(of("{"), [error(LABEL)]);
    assert_eq!(of(r#"{"comand":[]}"#), [error(LABEL)]);
    assert_eq!(of(&" ".repeat(PLAYGROUND_BYTES_MAX + 1)), [error(LABEL)]);
    assert_eq!(
        of(r#"{"command":["{x}"],"wall_ms":0}"#),
        [error("playground/wall_ms"), error("playground/command/0"),]
    );
    assert_eq!(
        of(r#"{"command":["sh","-c","{x}"],"fields":[
        {"name":"x","kind":"text","bytes_max":9,"args":["{}"]}]}"#),
        [error("playground/command/2")]
    );
    let common = [warning("playground/examples"), warning("playground/categories")];
    assert_eq!(of("{}"), common);
    let field = r#"{"name":"x","kind":"file","args":["{}"]}"#;
    assert_eq!(
        of(&format!(r#"{{"command":["dot","-o{{x}}"],"fields":[{field}]}}"#)),
        [
            common[0].clone(),
            common[1].clone(),
            warning("playground/fields/0"),
            warning("playground/fields/0"),
            warning("playground/fields/0"),
            warning("playground/command"),
        ]
    );
    let field = r#"{"name":"x","kind":"flag","args":["{}"]}"#;
    assert_eq!(
        of(&format!(r#"{{"fields":[{field}]}}"#))[2..],
        [
            warning("playground/command"),
            warning("playground/fields/0"),
            warning("playground/fields/0"),
        ]
    );
    let none = lint::labels(&BTreeMap::new(), &ImageConfig::default());
    let places: Vec<&str> = none.iter().map(|each| each.pointer.as_str()).collect();
    assert_eq!(places, [TITLE, DESCRIPTION, LABEL]);
}

#[test]
fn a_file_beside_an_image_wins_over_its_labels() {
    let labels = [(TITLE, "label"), (DESCRIPTION, "label"), (LABEL, "{}")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let labels = Description::of_labels(&labels.into_iter().collect()).expect("good");
    let file = Description::of_toml("title = \"file\"").expect("good").or(labels);
    assert_eq!(file.title.as_deref(), Some("file"));
    assert_eq!(file.description.as_deref(), Some("label"));
    assert!(file.playground.is_some());
    assert!(Description::of_toml("name = 1").is_err());
    let bad = Description::of_toml("[playground]\nwall_ms = 0").expect_err("0 ms");
    assert_eq!(bad.to_string(), "playground/wall_ms: expected 1 to 600000");
}
