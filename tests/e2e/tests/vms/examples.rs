//! Every example of every image that is built: what people see first must work.

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_e2e::paths;
use pe_proto::Outcome;
use pe_proto::api::{Answer, AnswerFile, Content};
use pe_proto::catalogue::Catalogue;
use pe_proto::playground::{Example, Playground};

use crate::labs::Labs;

crate::scenarios![
    every_example_of_every_image_runs_and_makes_what_its_image_says,
    a_value_of_the_form_is_never_a_script,
];

fn catalogue() -> anyhow::Result<Catalogue> {
    let text = std::fs::read(paths::images()?.join("catalogue.json"))?;
    serde_json::from_slice(&text).context("run `make assets` first")
}

fn every_example_of_every_image_runs_and_makes_what_its_image_says(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let mut count = 0;
    for image in catalogue()?.images {
        let Some(playground) = &image.playground else { continue };
        ensure!(playground.examples.len() >= 2, "{} has too few examples", image.name);
        for example in &playground.examples {
            let what = || format!("{}: {}", image.name, example.title);
            check(&lab, &image.name, playground, example).with_context(what)?;
            count += 1;
        }
    }
    println!("{count} examples ran");
    ensure!(count >= 10, "{count} examples: the images of `make assets` have more");
    Ok(())
}

fn check(lab: &Lab, image: &str, playground: &Playground, example: &Example) -> anyhow::Result<()> {
    let expansion = playground.expand_example(example)?;
    let args: Vec<&str> = expansion.args.iter().map(String::as_str).collect();
    let answer = lab.client.run(Job::new(image, &args).with(|job| {
        job.env = expansion.env;
        job.files.clone_from(&example.files);
        job.stdin = Some(example.stdin.clone());
    }))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    let says = !client::stdout(&answer)?.is_empty();
    ensure!(says || !answer.files.is_empty(), "nothing came of it: {answer:?}");
    for (path, file) in &answer.files {
        let found = media_type(path, file, &answer)?;
        let is_meant = playground.makes.is_empty() || playground.makes.contains(&found);
        ensure!(is_meant, "{path} is {found}, not of {:?}", playground.makes);
    }
    Ok(())
}

/// What a file is by its first bytes, else by its name.
fn media_type(path: &str, file: &AnswerFile, answer: &Answer) -> anyhow::Result<String> {
    let bytes = client::file(answer, path)?;
    let known: [(&[u8], &str); 7] = [
        (b"\x7fELF", "application/x-executable"),
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"%PDF-", "application/pdf"),
        (b"SQLite format 3\0", "application/vnd.sqlite3"),
        (b"<svg ", "image/svg+xml"),
    ];
    if let Some((_, name)) = known.into_iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Ok(name.to_owned());
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let is_svg = text.starts_with("<?xml") && text.contains("<svg");
    Ok(match path.rsplit('.').next() {
        _ if is_svg => "image/svg+xml".to_owned(),
        Some("s") => "text/x-asm".to_owned(),
        Some("i" | "txt") => "text/plain".to_owned(),
        _ => file.mime.clone(),
    })
}

/// What a person types into the form of an image that uses a shell comes out as it went in.
fn a_value_of_the_form_is_never_a_script(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let images = catalogue()?.images;
    let gcc = images.iter().find(|image| image.name == "gcc").context("an image gcc")?;
    let playground = gcc.playground.as_ref().context("its form")?;
    let nasty = "$(touch${IFS}/output/pwned) `touch${IFS}/output/pwned` ;touch${IFS}/output/pwned";
    let values = [("more".to_owned(), nasty.to_owned())].into_iter().collect();
    let args = playground.expand(&values)?.args;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let job = Job::new("gcc", &args).file("main.c", b"int main(void) { return 0; }");
    let answer = lab.client.run(job)?;
    // The compiler looks for files of these names, and says so.
    ensure!(answer.head.outcome == Outcome::Exited { code: 1 }, "{answer:?}");
    let Content::Text(said) = &answer.stderr else { anyhow::bail!("{answer:?}") };
    ensure!(said.contains("$(touch${IFS}/output/pwned)"), "{said}");
    ensure!(!answer.files.contains_key("pwned"), "{answer:?}");
    Ok(())
}
