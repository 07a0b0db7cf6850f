//! The server as a process: it starts, answers and ends.

use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::server::Server;

#[test]
fn a_token_is_the_last_line_of_stdout() {
    let farm = Farm::new().unwrap();
    let create = ["token", "create", "--scope", "read,write", "--name", "ci"];
    let run = farm.run(create).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let secret = run.stdout.lines().last().unwrap();
    assert!(secret.starts_with("wfarm_"), "{secret}");
    let listed = farm.run(["token", "list"]).unwrap().stdout;
    assert!(
        listed.contains("read,write") && listed.contains("ci"),
        "{listed}"
    );
    assert!(!listed.contains(secret));
    let id = listed.split_whitespace().next().unwrap();
    assert_eq!(farm.run(["token", "revoke", id]).unwrap().code, Some(0));
    assert_eq!(farm.run(["token", "list"]).unwrap().stdout, "");
    let again = farm.run(["token", "revoke", id]).unwrap();
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains(id), "{}", again.stderr);
}

#[test]
fn an_address_in_use_is_named() {
    let farm = Farm::new().unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let address = server.address().strip_prefix("http://").unwrap();
    let run = farm.run(["serve", "--listen", address]).unwrap();
    assert_eq!(run.code, Some(4));
    assert!(run.stderr.contains(address), "{}", run.stderr);
}
