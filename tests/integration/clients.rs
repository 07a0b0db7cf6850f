//! Real installers take what they need from the server as a process.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use wheelfarm_tests::bare::BareRuntime;
use wheelfarm_tests::clients::{Client, Home, finish, pip_wheel, succeed};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::shelf::{Shelf, SmallWheel};

use crate::support::{files, main_job, needs_docker};
use crate::uploads::token;

const THEN: &str = "2024-01-01T00:00:00Z";
const LATER: &str = "2025-06-01T12:00:00.5Z";
/// Between the two.
const CUTOFF: &str = "2025-01-01T00:00:00Z";
const PIPS_AND_UV: [Client; 3] = [Client::Pip25, Client::Pip26, Client::Uv];

fn app() -> SmallWheel {
    SmallWheel::new("wfapp", "1.0")
        .header("Requires-Python: >=3.8,<4")
        .header("Requires-Dist: wfdep>=1")
        .header("Requires-Dist: wfextra; extra == \"more\"")
        .header("Provides-Extra: more")
}

fn dep(version: &str) -> SmallWheel {
    SmallWheel::new("wfdep", version)
}

fn extra() -> SmallWheel {
    SmallWheel::new("wfextra", "1.0")
}

/// An index with an application that has a dependency, with two versions, and one more for an extra.
fn shelf(farm: &Farm) -> Shelf {
    let shelf = Shelf::of(farm).unwrap();
    shelf.put(&app(), THEN).unwrap();
    shelf.put(&dep("1.0"), THEN).unwrap();
    shelf.put(&dep("1.1"), LATER).unwrap();
    shelf.put(&extra(), THEN).unwrap();
    shelf
}

/// What installs `what` into the directory `out`, with an index alone.
fn install(home: &Home, client: Client, index: &str, what: &[&str]) -> Command {
    let mut arguments = match client {
        Client::Uv => vec![
            "pip",
            "install",
            "--target",
            "out",
            "--default-index",
            index,
        ],
        _ => vec!["install", "--target", "out", "--index-url", index],
    };
    arguments.extend(what);
    home.command(client, &arguments).unwrap()
}

/// The version of a small wheel that is installed in `out`.
fn installed(home: &Home, name: &str) -> String {
    let text = home.read(&format!("out/{name}.py")).unwrap();
    let version = text.trim().strip_prefix("VERSION = \"").unwrap();
    version.trim_end_matches('"').to_owned()
}

/// A value of `/metrics`.
fn metric(server: &Server, name: &str) -> f64 {
    let (status, text) = server.ask("GET", "/metrics", "", "").unwrap();
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn pip_and_uv_install_by_hash_with_extras() {
    let farm = Farm::new().unwrap();
    shelf(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    let line = |wheel: &SmallWheel, what: &str| {
        format!("{what} --hash=sha256:{}\n", wheel.sha256().unwrap())
    };
    let lock = line(&app(), "wfapp[more]==1.0")
        + &line(&dep("1.0"), "wfdep==1.0")
        + &line(&extra(), "wfextra==1.0");
    for client in PIPS_AND_UV {
        let home = Home::new().unwrap();
        home.file("lock.txt", &lock).unwrap();
        let wanted = ["--require-hashes", "-r", "lock.txt"];
        succeed(&mut install(&home, client, &index, &wanted)).unwrap();
        assert_eq!(installed(&home, "wfapp"), "1.0");
        assert_eq!(installed(&home, "wfdep"), "1.0");
        assert_eq!(installed(&home, "wfextra"), "1.0");
        // Other bytes under the name.
        let home = Home::new().unwrap();
        let wrong = lock.replace(&dep("1.0").sha256().unwrap(), &"0".repeat(64));
        home.file("lock.txt", &wrong).unwrap();
        let refused = finish(&mut install(&home, client, &index, &wanted)).unwrap();
        assert!(!refused.status.success(), "{client:?}");
        // Without a lock: the newest, and the extra only if it is asked for.
        let home = Home::new().unwrap();
        succeed(&mut install(&home, client, &index, &["WFapp"])).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.1");
        assert!(!files(&home.path().join("out")).contains(&"wfextra.py".to_owned()));
    }
}

#[test]
fn poetry_and_pdm_lock_and_install_with_a_token() {
    let farm = Farm::new().unwrap();
    let farm = farm.configure("[index]\nanonymous-read = false\n").unwrap();
    shelf(&farm);
    let token = token(&farm, &["--scope", "read"]);
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    let project = "[project]\nname = \"user\"\nversion = \"1\"\nrequires-python = \">=3.9,<4\"\ndependencies = [\"wfapp[more]\"]\n";
    let sha256 = dep("1.1").sha256().unwrap();
    let code = "import wfapp, wfdep, wfextra; print(wfdep.VERSION)";
    // Each has a variable for the user and the password of an index, by the name that the index has in its settings.
    let runs = |home: &Home, client, variable: &str, words: &[&str]| {
        let mut command = home.command(client, words).unwrap();
        command
            .env(format!("{variable}_USERNAME"), "__token__")
            .env(format!("{variable}_PASSWORD"), &token);
        succeed(&mut command).unwrap()
    };

    let home = Home::new().unwrap();
    let poetry = |words: &[&str]| runs(&home, Client::Poetry, "POETRY_HTTP_BASIC_FARM", words);
    let source = format!(
        "[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = \"farm\"\nurl = \"{index}\"\npriority = \"primary\"\n"
    );
    home.file("pyproject.toml", &format!("{project}{source}"))
        .unwrap();
    home.file("poetry.toml", "[virtualenvs]\nin-project = true\n")
        .unwrap();
    let strange = finish(&mut home.command(Client::Poetry, &["lock"]).unwrap()).unwrap();
    assert!(!strange.status.success());
    poetry(&["lock"]);
    assert!(home.read("poetry.lock").unwrap().contains(&sha256));
    poetry(&["install"]);
    let output = poetry(&["run", "python", "-c", code]);
    assert_eq!(output.stdout, b"1.1\n");

    let home = Home::new().unwrap();
    let pdm = |words: &[&str]| runs(&home, Client::Pdm, "PDM_PYPI", words);
    let source = format!(
        "[[tool.pdm.source]]\nname = \"pypi\"\nurl = \"{index}\"\nverify_ssl = false\n[tool.pdm]\ndistribution = false\n"
    );
    home.file("pyproject.toml", &format!("{project}{source}"))
        .unwrap();
    pdm(&["config", "--local", "python.use_venv", "false"]);
    let strange = finish(&mut home.command(Client::Pdm, &["lock"]).unwrap()).unwrap();
    assert!(!strange.status.success());
    pdm(&["lock"]);
    assert!(home.read("pdm.lock").unwrap().contains(&sha256));
    pdm(&["sync"]);
    let output = pdm(&["run", "python", "-c", code]);
    assert_eq!(output.stdout, b"1.1\n");
}

#[test]
fn a_token_reaches_the_server_from_wherever_it_is_kept() {
    let farm = Farm::new().unwrap();
    let farm = farm.configure("[index]\nanonymous-read = false\n").unwrap();
    shelf(&farm);
    let token = token(&farm, &["--scope", "read"]);
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    let host = server.address().strip_prefix("http://").unwrap().to_owned();
    let port_less = host.split(':').next().unwrap();
    let in_url = format!("http://__token__:{token}@{host}/simple/");
    let user_in_url = format!("http://__token__@{host}/simple/");
    let netrc = format!("machine {port_less} login __token__ password {token}\n");
    for client in PIPS_AND_UV {
        // None at all.
        let home = Home::new().unwrap();
        let refused = finish(&mut install(&home, client, &index, &["wfapp"])).unwrap();
        assert!(!refused.status.success(), "{client:?}");
        succeed(&mut install(&home, client, &in_url, &["wfapp"])).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.1");

        let home = Home::new().unwrap();
        home.file(".netrc", &netrc).unwrap();
        succeed(&mut install(&home, client, &index, &["wfapp"])).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.1");

        // The program `keyring` is asked; newer ones of pip and uv may ask for user and password as JSON.
        let home = Home::new().unwrap();
        let keyring = format!(
            "#!/bin/sh\ncase \"$*\" in *output=json*) echo '{{\"username\": \"__token__\", \"password\": \"{token}\"}}';; *) echo '{token}';; esac\n"
        );
        home.program("bin/keyring", &keyring).unwrap();
        let provider = ["--keyring-provider", "subprocess", "wfapp"];
        succeed(&mut install(&home, client, &user_in_url, &provider)).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.1");
    }
    // uv asks for an index by its name in variables.
    let home = Home::new().unwrap();
    let named = format!("farm={index}");
    let mut command = install(&home, Client::Uv, &named, &["wfapp"]);
    command
        .env("UV_INDEX_FARM_USERNAME", "__token__")
        .env("UV_INDEX_FARM_PASSWORD", &token);
    succeed(&mut command).unwrap();
}

#[test]
fn resolving_takes_metadata_and_not_wheels() {
    let farm = Farm::new().unwrap();
    let heavy = 20 << 20;
    let shelf = Shelf::of(&farm).unwrap();
    let with = SmallWheel::new("wfheavy", "1.0")
        .weighing(heavy)
        .header("Requires-Dist: wfdep");
    let without = SmallWheel::new("wfblind", "1.0")
        .weighing(heavy)
        .header("Requires-Dist: wfdep");
    shelf.put(&with, THEN).unwrap();
    shelf.put_without_metadata(&without, THEN).unwrap();
    shelf.put(&dep("1.0"), THEN).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    let home = Home::new().unwrap();
    home.file("in.txt", "wfheavy\nwfblind\n").unwrap();
    // Metadata of one, and the end of the other by ranges.
    let compile = ["pip", "compile", "in.txt", "--default-index", &index];
    let output = home.succeed(Client::Uv, &compile).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("wfdep==1.0") && text.contains("wfblind==1.0"),
        "{text}"
    );
    let name = "wheelfarm_http_sent_bytes_total";
    let sent = metric(&server, name);
    assert!(sent > 100.0 && sent < 1e6, "{sent} bytes were sent");
    // pip reads the end of a wheel so when it is told to, before it takes the wheel.
    for client in [Client::Pip25, Client::Pip26] {
        let home = Home::new().unwrap();
        let wanted = ["--use-feature=fast-deps", "--dry-run", "wfblind"];
        let output = succeed(&mut install(&home, client, &index, &wanted)).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("Would install wfblind-1.0 wfdep-1.0"),
            "{said}"
        );
    }
}

#[test]
fn what_is_too_new_is_left_out() {
    let farm = Farm::new().unwrap();
    shelf(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    for (client, option) in [
        (Client::Uv, "--exclude-newer"),
        (Client::Pip26, "--uploaded-prior-to"),
    ] {
        let home = Home::new().unwrap();
        let wanted = [option, CUTOFF, "wfapp"];
        succeed(&mut install(&home, client, &index, &wanted)).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.0", "{client:?}");
    }
}

#[test]
fn a_yanked_version_is_for_who_asks_for_it_by_number() {
    let farm = Farm::new().unwrap();
    let shelf = shelf(&farm);
    let reason = "loses <data> & \"more\"";
    shelf.yank(&dep("1.1"), reason).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    for client in PIPS_AND_UV {
        let home = Home::new().unwrap();
        succeed(&mut install(&home, client, &index, &["wfdep"])).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.0", "{client:?}");
        let home = Home::new().unwrap();
        let output = succeed(&mut install(&home, client, &index, &["wfdep==1.1"])).unwrap();
        assert_eq!(installed(&home, "wfdep"), "1.1", "{client:?}");
        assert!(
            output.stderr.contains(reason),
            "{client:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn a_new_wheel_is_found_with_warm_caches() {
    let farm = Farm::new().unwrap();
    let shelf = Shelf::of(&farm).unwrap();
    shelf.put(&dep("1.0"), THEN).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let index = server.url("/simple/");
    let homes = PIPS_AND_UV.map(|client| (client, Home::new().unwrap()));
    for (client, home) in &homes {
        succeed(&mut install(home, *client, &index, &["wfdep"])).unwrap();
        assert_eq!(installed(home, "wfdep"), "1.0");
    }
    shelf.put(&dep("1.1"), LATER).unwrap();
    // Another process published: the server follows the log.
    wait_for("the server to see it", Duration::from_secs(10), || {
        let (_, page) = server.ask("GET", "/simple/wfdep/", "", "")?;
        Ok(page.contains("wfdep-1.1").then_some(()))
    })
    .unwrap();
    for (client, home) in &homes {
        succeed(&mut install(home, *client, &index, &["--upgrade", "wfdep"])).unwrap();
        assert_eq!(installed(home, "wfdep"), "1.1", "{client:?}");
    }
}

/// Reads a project in both forms with the library that mirrors and tools use.
const READ: &str = r#"
import json, sys
from packaging.version import Version
from pypi_simple import PyPISimple, ACCEPT_JSON_ONLY, ACCEPT_HTML_ONLY

def facts(page):
    return [[
        package.filename, package.project, package.version, package.url, package.digests,
        package.requires_python, bool(package.is_yanked), package.yanked_reason or None,
        package.has_metadata, package.metadata_digests,
    ] for package in page.packages]

with PyPISimple(sys.argv[1]) as client:
    both = [client.get_project_page("wfdep", accept=accept) for accept in (ACCEPT_JSON_ONLY, ACCEPT_HTML_ONLY)]
    assert facts(both[0]) == facts(both[1]), (facts(both[0]), facts(both[1]))
    page = both[0]
    assert page.versions == sorted(page.versions, key=Version), page.versions
    metadata = [client.get_package_metadata(package, verify=True) for package in page.packages]
    indexes = [client.get_index_page(accept=accept) for accept in (ACCEPT_JSON_ONLY, ACCEPT_HTML_ONLY)]
    assert indexes[0].projects == indexes[1].projects, indexes
    print(json.dumps({
        "versions": [page.repository_version for page in both + indexes], "all": page.versions, "facts": facts(page),
        "sizes": [package.size for package in page.packages], "metadata": metadata,
        "times": [package.upload_time.isoformat() for package in page.packages], "projects": indexes[0].projects,
    }))
"#;

#[test]
fn json_and_html_say_the_same_to_a_library() {
    let farm = Farm::new().unwrap();
    let shelf = shelf(&farm);
    let strange = dep("1.10+local.1").header("Requires-Python: >=3.8, <4, !=3.9.*");
    shelf.put(&strange, THEN).unwrap();
    let reason = "<b>\"it's\" & so on</b>";
    shelf.yank(&dep("1.0"), reason).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let home = Home::new().unwrap();
    let output = home
        .succeed(Client::Reader, &["-c", READ, &server.url("/simple/")])
        .unwrap();
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        read["versions"],
        serde_json::json!(["1.4", "1.4", "1.4", "1.4"])
    );
    assert_eq!(
        read["all"],
        serde_json::json!(["1.0", "1.1", "1.10+local.1"])
    );
    assert_eq!(
        read["projects"],
        serde_json::json!(["wfapp", "wfdep", "wfextra"])
    );
    let facts = &read["facts"];
    let sha256 = dep("1.0").sha256().unwrap();
    let address = server.url(&format!("/files/{sha256}/{}", dep("1.0").filename()));
    assert_eq!(facts[0][3], address.as_str());
    assert_eq!(facts[0][4]["sha256"], sha256.as_str());
    assert_eq!(
        (&facts[0][6], &facts[0][7]),
        (&Value::Bool(true), &Value::from(reason))
    );
    assert_eq!(facts[1][6], false);
    assert_eq!(facts[2][5], ">=3.8, <4, !=3.9.*");
    assert_eq!(read["sizes"][0], dep("1.0").bytes().unwrap().len());
    assert_eq!(read["times"][1], "2025-06-01T12:00:00.500000+00:00");
    assert_eq!(read["metadata"][2], strange.metadata());
}

#[test]
fn psycopg2_needs_no_compiler_where_it_is_installed() {
    needs_docker!();
    let wheel = main_job().wheel("3.11");
    let farm = Farm::new().unwrap();
    Shelf::of(&farm).unwrap().put_file(&wheel, THEN).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let runtime = BareRuntime::of(&Engine::connect().unwrap(), "debian-12");
    let program = "import psycopg2; print(psycopg2.__libpq_version__ > 0, psycopg2.__version__)";
    let index = server.url("/simple/");
    let said = runtime
        .install(&pip_wheel().unwrap(), &index, "psycopg2", program)
        .unwrap();
    assert!(said.contains("True 2."), "{said}");
}
