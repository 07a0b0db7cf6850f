//! `wheelfarm publish --index`: to the real server, and what installs from there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use wheelfarm_tests::clients::{Client, Home};
use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::shelf::SmallWheel;
use wheelfarm_tests::uploaders::{listed, whole};

use crate::support::failed;
use crate::uploads::{token, writing};

/// A wheel in the client's directory; what to call it there.
fn file(client: &Farm, wheel: &SmallWheel) -> String {
    let name = wheel.filename();
    fs_err::write(client.work().join(&name), wheel.bytes().unwrap()).unwrap();
    name
}

fn publish(client: &Farm, address: &str, token: &str, words: &[&str]) -> Run {
    let command = ["publish", "--index", address, "--token", token];
    client.run(command.iter().chain(words)).unwrap()
}

/// The objects that a run printed.
fn objects(run: &Run) -> Vec<Value> {
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_sent_is_there_once_and_is_installed() {
    let farm = Farm::new().unwrap();
    let secret = writing(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let client = Farm::new().unwrap();
    let wheel = SmallWheel::new("wfpub", "1.0")
        .header("Summary: text")
        .header("Classifier: Topic :: A")
        .header("Classifier: Topic :: B")
        .header("Requires-Dist: wfdep>=1")
        .header("Requires-Python: >=3.8")
        .weighing(3_000_000);
    let (name, dep) = (
        file(&client, &wheel),
        file(&client, &SmallWheel::new("wfdep", "1.0")),
    );
    let sdist = Sdist::new("wfdep", "1.0");
    let sdist_name = "wfdep-1.0.tar.gz";
    fs_err::write(client.work().join(sdist_name), sdist.bytes().unwrap()).unwrap();
    let files = [&*name, &dep, sdist_name];
    let to_main = |words: &[&str]| {
        let words: Vec<_> = ["--channel", "main"].iter().chain(words).copied().collect();
        publish(&client, server.address(), &secret, &words)
    };
    let run = to_main(&files);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), files);
    assert_eq!(whole(server.address(), "wfpub").unwrap(), [&*name]);
    assert_eq!(listed(server.address(), "wfdep").unwrap().len(), 2);
    // Nothing of it needs a store here.
    assert!(!client.store().exists());

    let run = to_main(&[&name, "--format", "json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said = &objects(&run)[0];
    assert_eq!(said["filename"], name);
    assert_eq!(said["new"], false);
    assert_eq!(said["sha256"], wheel.sha256().unwrap());
    let run = to_main(&[&name]);
    assert_eq!((run.code, &*run.stdout), (Some(0), ""));
    assert!(
        run.stderr.contains("was published before"),
        "{}",
        run.stderr
    );

    // Other bytes under the name are refused, and do not keep another file back.
    file(&client, &wheel.clone().weighing(1));
    let next = file(&client, &SmallWheel::new("wfpub", "1.1"));
    let run = to_main(&[&name, &next, "--format", "json"]);
    failed(
        &run,
        1,
        &["File already exists", &name, "not published: "],
        &[],
    );
    let said = objects(&run);
    assert_eq!(said[0]["status"], 409);
    assert!(
        said[0]["error"]
            .as_str()
            .unwrap()
            .contains("File already exists")
    );
    assert_eq!(
        (&said[1]["filename"], &said[1]["new"]),
        (&Value::from(&*next), &true.into())
    );
    let files = listed(server.address(), "wfpub").unwrap();
    assert!(files[&name].contains(&wheel.sha256().unwrap()), "{files:?}");

    let home = Home::new().unwrap();
    let index = server.url("/simple/");
    let install = [
        "install",
        "--target",
        "out",
        "--index-url",
        &index,
        "wfpub==1.0",
    ];
    home.succeed(Client::Pip26, &install).unwrap();
    assert!(home.read("out/wfpub.py").unwrap().contains("1.0"));
    assert!(home.read("out/wfdep.py").unwrap().contains("1.0"));
}

#[test]
fn the_address_names_a_channel_or_a_server() {
    let farm = Farm::new().unwrap();
    let secret = writing(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let host = server.address().strip_prefix("http://").unwrap().to_owned();
    let client = Farm::new().unwrap();
    let name = file(&client, &SmallWheel::new("wfpub", "1.0"));
    let is_there = |channel: &str| {
        let (status, page) = server
            .ask("GET", &format!("{channel}/simple/wfpub/"), "", "")
            .unwrap();
        status == 200 && page.contains(&name)
    };
    let run = publish(
        &client,
        server.address(),
        &secret,
        &["--channel", "one", &name],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(is_there("/one") && !is_there("/two"));
    // The address of a channel with the token in it.
    let address = format!("http://anybody:{secret}@{host}/two/legacy");
    let run = client.run(["publish", "--index", &address, &name]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(is_there("/two"));
    assert!(!run.stderr.contains(&secret) && !run.stdout.contains(&secret));
    // The token from netrc, the address from the environment.
    let netrc = client.work().join("netrc");
    fs_err::write(
        &netrc,
        format!("machine 127.0.0.1\nlogin __token__\npassword {secret}\n"),
    )
    .unwrap();
    let client = client
        .with("NETRC", &netrc.display().to_string())
        .with("WHEELFARM_INDEX", &server.url("/legacy/"));
    let run = client.run(["publish", &name]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(is_there(""));
    // No address for uploads.
    let run = publish(&client, &server.url("/simple/"), &secret, &[&name]);
    failed(&run, 2, &["listed, not taken"], &["legacy/"]);
    let run = publish(&client, server.address(), &secret, &[&name]);
    failed(&run, 2, &["405"], &["--channel main"]);
}

#[test]
fn users_see_why_nothing_is_taken() {
    let farm = Farm::new().unwrap();
    let reading = token(&farm, &["--scope", "read", "--name", "reader"]);
    let elsewhere = [
        "--scope",
        "write",
        "--channel",
        "staging",
        "--name",
        "other",
    ];
    let elsewhere = token(&farm, &elsewhere);
    let server = Server::start(&farm, &[]).unwrap();
    let client = Farm::new().unwrap();
    let (one, two) = (
        file(
            &client,
            &SmallWheel::new("wfone", "1.0").weighing(20_000_000),
        ),
        file(&client, &SmallWheel::new("wftwo", "1.0")),
    );
    let address = server.url("/legacy/");
    // With no token that is known, there is no use in going on.
    let run = publish(&client, &address, "wfarm_guessed", &[&one, &two]);
    failed(
        &run,
        2,
        &["the token is not known", &one, "not tried: ", &two],
        &["token create"],
    );
    for (token, name) in [(&reading, "reader"), (&elsewhere, "other")] {
        let said = format!("the token `{name}` does not allow to write in `main`");
        let run = publish(&client, &address, token, &[&one, &two]);
        failed(&run, 2, &[&said, &one, &two], &[]);
    }
    let run = client.run(["publish", "--index", &address, &two]).unwrap();
    failed(
        &run,
        2,
        &["a token is needed to write in `main`"],
        &["__token__"],
    );
    assert!(listed(server.address(), "wfone").unwrap().is_empty());
    // What is no wheel is not sent at all, and a file that is not there is named.
    fs_err::write(client.work().join("wfbad-1.0-py3-none-any.whl"), "no zip").unwrap();
    let files = ["wfbad-1.0-py3-none-any.whl", "absent-1.0-py3-none-any.whl"];
    let run = publish(&client, &address, &reading, &files);
    failed(
        &run,
        2,
        &[
            "wfbad-1.0-py3-none-any.whl: not a sound zip",
            "absent-1.0-py3-none-any.whl: there is no such file",
        ],
        &[],
    );
    server.kill().unwrap();
    let run = publish(&client, &address, &reading, &[&one, &two]);
    failed(
        &run,
        4,
        &["does not answer", "again in", "not tried: ", &two],
        &[],
    );
}

/// A server that gives these answers to uploads, one after the other, whatever they are. What it was sent.
fn answering(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/upload", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let serve = |answer: String| {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&body).into_owned()
        };
        answers.into_iter().map(serve).collect()
    });
    (address, serving)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn a_busy_index_is_asked_again_and_a_refusing_one_is_not() {
    let client = Farm::new().unwrap();
    let wheel = SmallWheel::new("wfpub", "1.0").header("Keywords: a,b");
    let name = file(&client, &wheel);
    let page = "<html><body><h1>Not here</h1></body></html>";
    let (address, serving) = answering(vec![
        answer("503 Service Unavailable", "Retry-After: 0\r\n", "later"),
        answer("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        answer("200 OK", "", ""),
        answer(
            "400 File already exists",
            "Content-Type: text/html\r\n",
            page,
        ),
        answer(
            "301 Moved Permanently",
            "Location: https://elsewhere/\r\n",
            "",
        ),
        answer(
            "429 Too Many Requests",
            "Retry-After: 3600\r\n",
            "too many uploads",
        ),
    ]);
    let run = publish(&client, &address, "t", &[&name]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("later (503)"), "{}", run.stderr);
    let run = publish(&client, &address, "t", &[&name]);
    failed(
        &run,
        1,
        &[&format!("{name}: File already exists")],
        &["Not here"],
    );
    let run = publish(&client, &address, "t", &[&name]);
    failed(&run, 2, &["301"], &["https://elsewhere/"]);
    let run = publish(&client, &address, "t", &[&name]);
    failed(&run, 4, &["too many uploads"], &["3600 s"]);
    let bodies = serving.join().unwrap();
    assert!(bodies[0].contains("name=\"keywords\"\r\n\r\na,b\r\n"));
    let digest = format!(
        "name=\"sha256_digest\"\r\n\r\n{}\r\n",
        wheel.sha256().unwrap()
    );
    assert!(bodies[0].contains(&digest) && bodies[0] == bodies[2]);
}

/// The largest that a process had in memory, in bytes.
fn most_memory(process: &Path) -> u64 {
    let status = fs_err::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

#[test]
fn a_large_file_is_not_held_in_memory() {
    let farm = Farm::new().unwrap();
    let secret = writing(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let client = Farm::new().unwrap();
    let size = 150 << 20;
    let name = file(&client, &SmallWheel::new("wflarge", "1.0").weighing(size));
    let address = server.url("/legacy/");
    let words = ["publish", "--index", &address, "--token", &secret, &name];
    let mut command = client.command(words).unwrap();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let process = Path::new("/proc").join(child.id().to_string());
    let mut most = 0;
    let status = wait_for("the upload", Duration::from_secs(300), || {
        most = most.max(most_memory(&process));
        Ok(child.try_wait()?)
    })
    .unwrap();
    assert!(status.success());
    assert!(most > 0 && most < 100 << 20, "{most} bytes");
    assert_eq!(whole(server.address(), "wflarge").unwrap(), [name]);
}
