//! Flask, PostgreSQL and mail: three services of a `compose.yaml`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::process::run;

use super::compose::Services;
use super::database::Database;
use super::docker::{Build, Builder, Cache};
use super::example::{Example, Row};
use super::image::{self, Pip};
use super::workshop::Workshop;

const EXAMPLE: Example = Example {
    name: "compose-flask",
    dockerfile: "Dockerfile",
    prepare: &["build -r requirements.txt --python 3.11 --target manylinux_2_36_x86_64"],
    prepare_code: &[],
    bases: &[("BASE", "wheelfarm/python-slim:3.11")],
    code: ("guestbook.py", "\"Welcome\"", "\"Hello\""),
    requirement: ("requirements.txt", "waitress==3.0.2", "waitress==3.0.1"),
    pip: Pip::OfBase,
};
const MAIL: &str = "wheelfarm/example-compose-flask-mail";
const MAIL_WHEELS: [&str; 2] = [
    "build -r mail/requirements.txt --python 3.11 --target manylinux_2_36_x86_64 --out mail/wheelhouse",
    "export -r mail/requirements.txt --python 3.11 --target manylinux_2_36_x86_64 --site mail/site",
];
/// Port 0 is one that is free.
const SETTINGS: [&str; 7] = [
    "POSTGRES_PASSWORD=not-a-secret",
    "BASE=wheelfarm/python-slim:3.11",
    "IMAGE=wheelfarm/example-compose-flask",
    "POSTGRES_IMAGE=wheelfarm/postgres:15",
    "MAIL_IMAGE=wheelfarm/example-compose-flask-mail",
    "PORT=0",
    "MAIL_PORT=0",
];
/// How long it may take from a changed line to the answer with it, in seconds.
const RESTART: f64 = 5.0;

/// Builds with both builders, runs the services, and checks what they do.
pub(super) fn check(wheelfarm: &Path) -> Result<()> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    EXAMPLE.build(&workshop, Cache::Warm)?;
    EXAMPLE.image(&workshop, Builder::BuildKit, Cache::Warm)?;
    image::check(&EXAMPLE.tag(), EXAMPLE.pip)?;
    let services = start(&workshop)?;
    image::check(&EXAMPLE.tag(), EXAMPLE.pip)?;
    is_right(&services)?;
    // Everything but the data goes, and comes back.
    services.compose(&["down"])?;
    services.compose(&["up", "--detach"])?;
    let entries = services.wait("web", "8080", "/entries", |text| text.contains("Ada"))?;
    ensure!(entries.contains("bread & butter"), "{entries}");
    Ok(())
}

/// Measures it beside the usual image, and how soon a changed line is served.
pub(super) fn measure(wheelfarm: &Path) -> Result<Vec<Row>> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    let times = EXAMPLE.times(&workshop)?;
    let services = start(&workshop)?;
    let mut line = EXAMPLE.code.2;
    let mut restarts = Vec::new();
    for changed in ["\"Good morning\"", "\"Good day\"", "\"Good night\""] {
        workshop.edit(EXAMPLE.code.0, line, changed)?;
        line = changed;
        let begin = Instant::now();
        services.compose(&["up", "--build", "--detach", "--no-deps", "web"])?;
        services.wait("web", "8080", "/", |text| text.contains(changed))?;
        restarts.push(begin.elapsed().as_secs_f64());
    }
    restarts.sort_by(f64::total_cmp);
    let restart = restarts.get(1).copied().unwrap_or(f64::INFINITY);
    eprintln!("a changed line was served after {restart:.1} s, the median of three");
    ensure!(
        restart <= RESTART,
        "a changed line was served after {restart:.1} s only"
    );
    drop(services);

    let (usual, usual_times) = EXAMPLE.usual_times(wheelfarm)?;
    let database = Database::start()?;
    let mut options = database.options();
    let instance = workshop.directory.join("instance");
    options.push("--volume".to_owned());
    options.push(format!("{}:/app/instance:ro", instance.display()));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let ours = Row::with_options("compose-flask", &EXAMPLE.tag(), times, &options)?;
    let theirs = Row::with_options("its usual image", &usual, usual_times, &options)?;
    Ok(vec![ours, theirs])
}

/// Makes the mail catcher, and starts all three.
fn start(workshop: &Workshop) -> Result<Services> {
    for line in MAIL_WHEELS {
        workshop.wheelfarm(line)?;
    }
    let mail = Build {
        context: &workshop.directory.join("mail"),
        dockerfile: "Dockerfile",
        tag: MAIL,
        arguments: &[("BASE", "wheelfarm/python-distroless:3.11")],
    };
    mail.run(Builder::Classic, Cache::Warm)?;
    image::check(MAIL, Pip::Absent)?;
    image::is_distroless(MAIL)?;
    let services = Services::new(&workshop.directory, &SETTINGS)?;
    services.compose(&["up", "--build", "--detach"])?;
    services.wait("web", "8080", "/", |text| text.contains("\"entries\""))?;
    Ok(services)
}

fn is_right(services: &Services) -> Result<()> {
    let about = services.wait("web", "8080", "/", |_| true)?;
    // The title is the instance file's.
    ensure!(
        about.contains("Example Street 1") && about.contains("\"entries\":0"),
        "{about}"
    );
    let post = |json: &str| -> Result<String> {
        let address = services.address("web", "8080")? + "/entries";
        run(Command::new("curl")
            .args(["--silent", "--show-error", "--json", json])
            .arg(address))
    };
    let answer = post(r#"{"name": "Ada", "message": "bread & butter"}"#)?;
    ensure!(answer.contains("\"id\":1"), "{answer}");
    let refused = post(r#"{"name": "Ada"}"#)?;
    ensure!(refused.contains("message has to be a text"), "{refused}");
    let mails = services.wait("mail", "8025", "/api/v1/messages", |text| {
        text.contains("\"total\": 1")
    })?;
    ensure!(
        mails.contains("owner@example.org") && mails.contains("Ada wrote: bread & butter"),
        "{mails}"
    );
    let written = services.compose(&["exec", "-T", "--user", "root", "web", "touch", "/app/x"]);
    ensure!(written.is_err(), "the root can be written to");
    let user = services.compose(&["exec", "-T", "web", "id", "-u"])?;
    let user: u32 = user.trim().parse().context("the user's number")?;
    ensure!(user == 65532, "it runs as {user}");
    Ok(())
}
