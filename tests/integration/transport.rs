//! The server's process and its connections: many clients, slow ones, signals, TLS; nginx says how ranges are answered.

use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wheelfarm_tests::anyhow::Result;
use wheelfarm_tests::asking::{Answer, ask, connect, read, request};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::{run, wait_for};
use wheelfarm_tests::published::{noise, publish};
use wheelfarm_tests::server::Server;

const WHEEL: &str = "x-1.0-py3-none-any.whl";
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_thousand_clients_are_served_beside_a_thousand_slow_ones() {
    /// Clients of each kind.
    const MANY: usize = 500;
    wheelfarm_index::raise_file_limit();
    let farm = Farm::new().unwrap();
    let bytes = noise(4 << 20);
    let path = publish(&farm, WHEEL, bytes.clone()).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let before = server.memory().unwrap();
    let get = request("GET", &path, &[]);
    let part = request("GET", &path, &[("Range", "bytes=1000-60999")]);
    // Half of them never end their request, the others never read the answer.
    let mut slow = Vec::new();
    for _ in 0..MANY {
        let mut stream = connect(server.address()).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
        slow.push(stream);
        let mut stream = connect(server.address()).unwrap();
        stream.write_all(get.as_bytes()).unwrap();
        slow.push(stream);
    }
    // And a thousand who are connected at once, and ask one after the other.
    let mut quick: Vec<_> = (0..2 * MANY)
        .map(|_| BufReader::new(connect(server.address()).unwrap()))
        .collect();
    for _ in 0..2 {
        for client in &mut quick {
            client.get_mut().write_all(part.as_bytes()).unwrap();
        }
        for client in &mut quick {
            let answer = read(client, false).unwrap();
            assert_eq!(answer.status, 206);
            assert!(answer.body == bytes[1000..61_000]);
        }
    }
    let grown = server.memory().unwrap().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes for {} clients", 4 * MANY);
    // Those who do not read have cost nothing but their place: they get everything, when they do.
    let mut patient = BufReader::new(slow.pop().unwrap());
    assert!(read(&mut patient, false).unwrap().body == bytes);
}

#[test]
fn memory_stays_what_it_is_however_much_is_asked() {
    let farm = Farm::new().unwrap();
    let path = publish(&farm, WHEEL, noise(300_000)).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let get = request("GET", &path, &[]);
    let ask_often = |times: usize| {
        let mut client = BufReader::new(connect(server.address()).unwrap());
        for _ in 0..times {
            client.get_mut().write_all(get.as_bytes()).unwrap();
            assert_eq!(read(&mut client, false).unwrap().body.len(), 300_000);
        }
    };
    ask_often(500);
    let before = server.memory().unwrap();
    ask_often(5000);
    let grown = server.memory().unwrap().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown}");
}

#[test]
fn who_is_asked_to_stop_ends_what_is_under_way() {
    let farm = Farm::new().unwrap();
    let bytes = noise(64 << 20);
    let path = publish(&farm, WHEEL, bytes.clone()).unwrap();
    let mut server = Server::start(&farm, &[]).unwrap();
    let mut stream = connect(server.address()).unwrap();
    let get = request("GET", &path, &[]);
    stream.write_all(get.as_bytes()).unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    server.signal("TERM").unwrap();
    wait_for("a refused connection", LIMIT, || {
        Ok(connect(server.address()).is_err().then_some(()))
    })
    .unwrap();
    assert_eq!(server.ended().unwrap(), None);
    let mut whole = BufReader::new(first.chain(stream));
    assert!(read(&mut whole, false).unwrap().body == bytes);
    let status = wait_for("the server's end", LIMIT, || server.ended()).unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn certificates_are_read_again() {
    let farm = Farm::new().unwrap();
    let bytes = noise(3_000_000);
    let path = publish(&farm, WHEEL, bytes.clone()).unwrap();
    let place = farm.work();
    let (certificate, key) = make_certificate(&place, "first").unwrap();
    let (other_certificate, other_key) = make_certificate(&place, "second").unwrap();
    let (used, used_key) = (place.join("tls.crt"), place.join("tls.key"));
    fs_err::copy(&certificate, &used).unwrap();
    fs_err::copy(&key, &used_key).unwrap();
    let arguments = [
        "--tls-cert",
        used.to_str().unwrap(),
        "--tls-key",
        used_key.to_str().unwrap(),
    ];
    let server = Server::start(&farm, &arguments).unwrap();
    assert!(server.address().starts_with("https://"));
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let url = format!("https://localhost:{port}{path}");
    for version in ["--http1.1", "--http2"] {
        let got = curl(&certificate, &[version, &url]).unwrap();
        assert!(got == bytes, "{version}");
        let part = curl(&certificate, &[version, "-r", "5-1000004", &url]).unwrap();
        assert!(part == bytes[5..1_000_005], "{version}");
    }
    let spoken = ["--http2", "-o", "/dev/null", "-w", "%{http_version}", &url];
    assert_eq!(curl(&certificate, &spoken).unwrap(), b"2");
    assert!(curl(&other_certificate, &[&url]).is_none());
    // A certificate that does not go with its key changes nothing.
    fs_err::copy(&other_certificate, &used).unwrap();
    server.signal("HUP").unwrap();
    assert!(curl(&certificate, &[&url]).is_some());
    fs_err::copy(&other_key, &used_key).unwrap();
    server.signal("HUP").unwrap();
    wait_for("the second certificate", LIMIT, || {
        Ok(curl(&other_certificate, &[&url]))
    })
    .unwrap();
    // Without a signal it is seen as well.
    fs_err::copy(&certificate, &used).unwrap();
    fs_err::copy(&key, &used_key).unwrap();
    wait_for("the first certificate", LIMIT, || {
        Ok(curl(&certificate, &[&url]))
    })
    .unwrap();
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let farm = Farm::new().unwrap();
    let (_, key) = make_certificate(&farm.work(), "one").unwrap();
    let (other, _) = make_certificate(&farm.work(), "other").unwrap();
    let serve = |certificate: &Path, key: &Path| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--tls-cert"];
        let mut words: Vec<_> = arguments.map(str::to_owned).to_vec();
        words.push(certificate.display().to_string());
        words.push("--tls-key".to_owned());
        words.push(key.display().to_string());
        farm.run(words).unwrap()
    };
    for (certificate, key, named) in [
        (other.as_path(), key.as_path(), "one.key"),
        (key.as_path(), key.as_path(), "one.key"),
        (Path::new("absent.crt"), key.as_path(), "absent.crt"),
    ] {
        let run = serve(certificate, key);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(named), "{}", run.stderr);
    }
}

#[test]
fn ranges_are_answered_as_nginx_does() {
    let farm = Farm::new().unwrap();
    let bytes = noise(100_000);
    let path = publish(&farm, WHEEL, bytes.clone()).unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let nginx = Nginx::start(&farm.work(), &bytes).unwrap();
    let both = |method: &str, headers: &[(&str, &str)]| {
        let ours = ask(server.address(), method, &path, headers).unwrap();
        let theirs = ask(&nginx.address, method, "/file", headers).unwrap();
        (ours, theirs)
    };
    for range in [
        "bytes=0-0",
        "bytes=0-99999",
        "bytes=0-100000",
        "bytes=5-20",
        "bytes=50000-",
        "bytes=-1",
        "bytes=-100",
        "bytes=-99999999",
        "bytes=99999-99999",
        "bytes=99999-100000000000",
        "bytes=100000-",
        "bytes=100000-100001",
        "bytes=17-17",
        "pages=1-2",
    ] {
        let (ours, theirs) = both("GET", &[("Range", range)]);
        assert_eq!(facts(&ours), facts(&theirs), "{range}");
        if ours.status != 416 {
            assert!(ours.body == theirs.body, "{range}");
        }
    }
    for method in ["GET", "HEAD"] {
        let (ours, theirs) = both(method, &[]);
        assert_eq!(facts(&ours), facts(&theirs), "{method}");
    }
    // nginx answers these with 416 or in several parts; the whole file is what the standard allows as well.
    for range in ["bytes=20-5", "bytes=a-b", "bytes=", "bytes=0-1,5-6"] {
        let (ours, _) = both("GET", &[("Range", range)]);
        assert_eq!(ours.status, 200, "{range}");
        assert!(ours.body == bytes, "{range}");
    }
    // Each knows its own tag.
    let tags = both("HEAD", &[]);
    let tag = |answer: &Answer| answer.header("etag").unwrap().to_owned();
    for (address, path, tag) in [
        (server.address(), path.as_str(), tag(&tags.0)),
        (&nginx.address, "/file", tag(&tags.1)),
    ] {
        let asked = |name, value| {
            let headers = [(name, value), ("Range", "bytes=5-9")];
            ask(address, "GET", path, &headers).unwrap()
        };
        assert_eq!(asked("If-None-Match", &tag).status, 304);
        assert_eq!(asked("If-Range", &tag).body, bytes[5..10]);
        assert_eq!(asked("If-Range", "\"other\"").status, 200);
        assert_eq!(asked("If-Match", "\"other\"").status, 412);
    }
}

/// What of an answer must be the same. The length of a refusal's text is nobody's business.
fn facts(answer: &Answer) -> (u16, Option<&str>, Option<&str>) {
    let length = answer.header("content-length");
    (
        answer.status,
        answer.header("content-range"),
        length.filter(|_| answer.status != 416),
    )
}

/// nginx with one file.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: String,
}

impl Nginx {
    fn start(place: &Path, bytes: &[u8]) -> Result<Self> {
        Self::serving(place, bytes, "")
    }

    /// The same, with more lines in the configuration of its server.
    pub(crate) fn serving(place: &Path, bytes: &[u8], rest: &str) -> Result<Self> {
        let place = place.join("nginx");
        fs_err::create_dir(&place)?;
        fs_err::write(place.join("file"), bytes)?;
        // The port is free now; nobody else takes it in a moment.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let directory = place.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {directory}/{name};"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {directory}/pid;\n\
             events {{ worker_connections 100; }}\n\
             http {{ {temporary} access_log off; sendfile on;\n\
             server {{ listen 127.0.0.1:{port}; root {directory}; {rest} }} }}\n"
        );
        let path = place.join("nginx.conf");
        fs_err::write(&path, config)?;
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-c"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let nginx = Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
        };
        wait_for("nginx", LIMIT, || Ok(connect(&nginx.address).ok()))?;
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A certificate for `localhost` that signs itself, and its key.
fn make_certificate(place: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    let certificate = place.join(format!("{name}.crt"));
    let key = place.join(format!("{name}.key"));
    run(Command::new("openssl")
        .args(["req", "-new", "-x509", "-days", "2", "-nodes"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost", "-addext"])
        .args(["subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate))?;
    Ok((certificate, key))
}

/// A certificate for `localhost`, its key, and the certificate of the authority that signed it: last.
pub(crate) fn make_signed_certificate(place: &Path) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let [authority, authority_key, certificate, key] =
        ["ca.crt", "ca.key", "signed.crt", "signed.key"].map(|name| place.join(name));
    let make = |key: &Path, certificate: &Path| {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-new", "-x509", "-days", "2", "-nodes"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .arg("-keyout")
            .arg(key)
            .arg("-out")
            .arg(certificate);
        command
    };
    run(make(&authority_key, &authority).args(["-subj", "/CN=authority"]))?;
    run(make(&key, &certificate)
        .args(["-subj", "/CN=localhost", "-CA"])
        .arg(&authority)
        .arg("-CAkey")
        .arg(&authority_key)
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"]))?;
    Ok((certificate, key, authority))
}

/// What curl gets, if it trusts the server.
fn curl(trusted: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--noproxy", "*", "--max-time", "30"])
        .arg("--cacert")
        .arg(trusted)
        .args(arguments)
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}
