//! The server behind a real proxy: who asks, and whose word is taken for it.

use std::time::Duration;

use wheelfarm_tests::asking::ask;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::server::Server;

use crate::transport::Nginx;

/// Sends a bad token, and the headers that a client may make up; the status of the answer.
fn fail(address: &str, said: &[(&str, &str)]) -> u16 {
    let secret = [("Authorization", "Bearer wfarm_guessed")];
    let headers: Vec<_> = secret.iter().chain(said).copied().collect();
    ask(address, "POST", "/legacy/", &headers).unwrap().status
}

/// Waits for a line of the log with all of these words.
fn logged(server: &Server, words: &[&str]) {
    let what = format!("a line with {words:?}");
    wait_for(&what, Duration::from_secs(10), || {
        let is_it = |line: &String| words.iter().all(|word| line.contains(word));
        Ok(server.log().iter().any(is_it).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_trusted_proxy_says_who_asks() {
    let farm = Farm::new().unwrap();
    // nginx speaks from another address than its clients.
    let server = Server::start(&farm, &["--trusted-proxy", "127.0.0.2,10.0.0.0/8"]).unwrap();
    let pass = format!(
        "location / {{ proxy_pass {}; proxy_bind 127.0.0.2; proxy_set_header Host $http_host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto https; }}",
        server.address()
    );
    let nginx = Nginx::serving(&farm.work(), b"", &pass).unwrap();
    // What a client makes up is not believed, through the proxy or past it.
    let made_up = [
        ("X-Forwarded-For", "198.51.100.9"),
        ("Forwarded", "for=198.51.100.9"),
    ];
    assert_eq!(fail(&nginx.address, &made_up), 401);
    logged(
        &server,
        &["status=401", "client=127.0.0.1 ", "proxy=127.0.0.2"],
    );
    assert_eq!(fail(server.address(), &made_up), 401);
    let direct = |line: &String| line.contains("client=127.0.0.1 ") && !line.contains("proxy=");
    wait_for("a direct request", Duration::from_secs(10), || {
        Ok(server.log().iter().any(direct).then_some(()))
    })
    .unwrap();
    assert!(!server.log().concat().contains("198.51.100.9"));
    // Links for people to copy have the proxy's scheme, not that of who only says so.
    let page = |address: &str, said: &[(&str, &str)]| {
        let accept = [("Accept", "text/html"), ("Connection", "close")];
        let headers: Vec<_> = accept.iter().chain(said).copied().collect();
        let answer = ask(address, "GET", "/", &headers).unwrap();
        String::from_utf8_lossy(&answer.body).into_owned()
    };
    assert!(page(&nginx.address, &[]).contains("https://"));
    let said = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
    ];
    let direct = page(server.address(), &said);
    assert!(!direct.contains("https://") && !direct.contains("evil.example"));
}

#[test]
fn failures_are_limited_by_client_behind_a_proxy_and_not_by_what_clients_say() {
    let from =
        |server: &Server, client: &str| fail(server.address(), &[("X-Forwarded-For", client)]);
    let until_limited = |server: &Server, client: &dyn Fn(usize) -> String| {
        (0..200).find(|number| from(server, &client(*number)) == 429)
    };
    let farm = Farm::new().unwrap();
    let trusting = Server::start(&farm, &["--trusted-proxy", "127.0.0.1"]).unwrap();
    assert!(until_limited(&trusting, &|_| "192.0.2.1".to_owned()).is_some());
    assert_eq!(from(&trusting, "192.0.2.2"), 401);
    // Of whom nothing is believed, each request is one of theirs.
    let wary = Server::start(&farm, &[]).unwrap();
    assert!(until_limited(&wary, &|number| format!("192.0.2.{number}")).is_some());
}

#[test]
fn a_proxy_that_is_no_address_is_an_error() {
    let farm = Farm::new().unwrap();
    let serve = |words: &[&str]| {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--no-upstream"];
        farm.run(serve.iter().chain(words)).unwrap()
    };
    let run = serve(&["--trusted-proxy", "10.0.0.0/33"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("`10.0.0.0/33` is neither"),
        "{}",
        run.stderr
    );
    let run = serve(&["--set", "index.trusted-proxies=[\"nginx\"]"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("`nginx` is neither"), "{}", run.stderr);
}
