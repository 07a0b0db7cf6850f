//! `wheelfarm dockerfile`: what it prints, and what it refuses. That the text makes images which run is for
//! `cargo xtask runtime`.

use wheelfarm_tests::farm::{Farm, Run};

use crate::support::failed;

const GLIBC: [&str; 4] = ["--python", "3.11", "--target", "manylinux_2_28_x86_64"];

fn project() -> Farm {
    let farm = Farm::new().unwrap();
    let work = farm.work();
    fs_err::write(work.join("app.py"), "").unwrap();
    fs_err::create_dir(work.join("templates")).unwrap();
    farm
}

fn dockerfile(farm: &Farm, more: &[&str]) -> Run {
    farm.run([&["dockerfile"], more].concat()).unwrap()
}

fn printed(farm: &Farm, more: &[&str]) -> String {
    let run = dockerfile(farm, more);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}

/// The instructions, comments left out.
fn instructions(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn a_slim_image_installs_in_a_stage_of_its_own() {
    let farm = project();
    let more = ["--copy", "app.py", "--copy", "templates/", "--port", "8080"];
    let command = ["--", "gunicorn", "--bind", "0.0.0.0:8080", "app:app"];
    let text = printed(&farm, &[&GLIBC[..], &more, &command].concat());
    let lines = instructions(&text);
    assert_eq!(
        lines[..2],
        [
            "ARG BASE=python:3.11-slim-bookworm",
            "FROM ${BASE} AS build"
        ]
    );
    let last = lines
        .iter()
        .rposition(|line| line.starts_with("FROM "))
        .unwrap();
    assert_eq!(
        lines[last..],
        [
            "FROM ${BASE}",
            "ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1",
            "COPY --from=build /opt/venv /opt/venv",
            "WORKDIR /app",
            "USER 65532:65532",
            "EXPOSE 8080",
            r#"CMD ["gunicorn", "--bind", "0.0.0.0:8080", "app:app"]"#,
            "COPY templates templates",
            "COPY app.py ./",
        ]
    );
    assert!(text.contains("--require-hashes"), "{text}");
    assert!(
        text.contains("requirements-cp311-manylinux_2_28_x86_64.txt"),
        "{text}"
    );
    let ignored = printed(
        &farm,
        &[&GLIBC[..], &more, &["--ignore"], &command].concat(),
    );
    let expected = "*\n!wheelhouse\n!app.py\n!templates\ntemplates/**/__pycache__\n";
    assert_eq!(ignored, expected);
}

#[test]
fn the_configuration_says_what_the_wheels_are_for() {
    let farm = project()
        .configure("[farm]\npython = [\"3.13\"]\ntargets = [\"manylinux_2_41_x86_64\"]\n")
        .unwrap();
    let text = printed(&farm, &["--", "python", "-m", "app"]);
    assert_eq!(instructions(&text)[0], "ARG BASE=python:3.13-slim-trixie");
    assert!(
        text.contains("requirements-cp313-manylinux_2_41_x86_64.txt"),
        "{text}"
    );
    // The first process of a container does not hear SIGTERM unless it asks for it.
    assert!(text.contains("\nSTOPSIGNAL SIGINT\n"), "{text}");
}

#[test]
fn a_distroless_image_gets_a_tree_or_is_built_where_pip_is() {
    let farm = project();
    let distroless = [&GLIBC[..], &["--base", "distroless"]].concat();
    let command = ["--", "python", "-m", "app"];
    let tree = printed(&farm, &[&distroless[..], &command].concat());
    let lines = instructions(&tree);
    assert!(lines.contains(&"COPY site /opt/site"), "{tree}");
    assert!(!tree.contains("RUN "), "{tree}");
    let end = [
        r#"ENTRYPOINT ["/usr/bin/python3.11"]"#,
        r#"CMD ["-m", "app"]"#,
    ];
    assert!(lines.ends_with(&end), "{tree}");
    let from = ["--from", "wheelhouse"];
    let stages = printed(&farm, &[&distroless[..], &from, &command].concat());
    assert!(
        stages.contains("ARG BUILD=python:3.11-slim-bookworm\n"),
        "{stages}"
    );
    assert!(
        stages.contains("COPY --from=build /opt/site /opt/site\n"),
        "{stages}"
    );

    let script = [&distroless[..], &["--", "gunicorn", "app:app"]].concat();
    failed(
        &dockerfile(&farm, &script),
        2,
        &["gunicorn app:app"],
        &["python -m"],
    );
    let package = [&distroless[..], &["--package", "libpq5"], &command].concat();
    failed(
        &dockerfile(&farm, &package),
        2,
        &["no package manager"],
        &["--base slim"],
    );
}

#[test]
fn what_is_printed_says_how_to_print_it_again() {
    let farm = project();
    let more = [
        "--from",
        "image",
        "--install",
        "--package",
        "libpq5",
        "-r",
        "a b.txt",
        "--user",
        "1000",
    ];
    let command = ["--", "python", "-c", "print('$HOME \"x\"')"];
    let text = printed(&farm, &[&GLIBC[..], &more, &command].concat());
    let line = text
        .lines()
        .next()
        .unwrap()
        .strip_prefix("# Made by: wheelfarm ")
        .unwrap();
    let mut shell = std::process::Command::new("sh");
    let script = format!("\"$0\" {line}");
    shell
        .args(["-c", &script])
        .arg(wheelfarm_tests::environment::binary().unwrap());
    let again = wheelfarm_tests::process::run(shell.current_dir(farm.work())).unwrap();
    assert_eq!(again, text);
    assert!(
        text.contains(r#"CMD ["python", "-c", "print('$HOME \"x\"')"]"#),
        "{text}"
    );
    assert!(text.contains("--yes libpq5"), "{text}");
    assert!(text.contains("USER 1000:1000"), "{text}");
}

#[test]
fn what_a_dockerfile_cannot_say_is_refused() {
    let farm = project();
    let refused = |more: &[&str], error: &str, hint: &[&str]| {
        failed(&dockerfile(&farm, more), 2, &[error], hint);
    };
    let with = |more: &[&'static str]| [&GLIBC[..], more, &["--", "gunicorn"]].concat();
    refused(&["--", "gunicorn"], "for which Python", &["--python 3.11"]);
    refused(
        &["--python", "3.11", "--", "gunicorn"],
        "for which target",
        &["--target"],
    );
    refused(&with(&["--base", "alpine"]), "manylinux_2_28", &["musl"]);
    refused(&with(&["--copy", "../other"]), "../other", &[]);
    refused(
        &with(&["--copy", "nothing.py"]),
        "nothing.py",
        &["where the Dockerfile will be"],
    );
    refused(&with(&["--copy", "a b.py"]), "a b.py", &[]);
    refused(
        &with(&["--package", "x; rm -rf /"]),
        "no name of a system package",
        &["--package"],
    );
    refused(
        &with(&["--from", "tree", "--install"]),
        "a tree has the project",
        &["--install"],
    );
    refused(
        &[&GLIBC[..], &["--", "a\nUSER 0"]].concat(),
        "control characters",
        &["a script"],
    );
}
