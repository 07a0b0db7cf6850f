//! The form on a project's page that asks for a build.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use super::*;

const PAGE: &str = "/projects/demo/";
const HERE: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn server() -> Server {
    let server = Server::with(BuildSettings::default()).await;
    let wheel = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl";
    publish(&server.app.registry, &Channel::main(), wheel, b"wheel").await;
    server
}

/// Sends a form as a browser does, with a token as it keeps it.
async fn send(
    server: &Server,
    secret: Option<&str>,
    headers: &[(&str, &str)],
    form: &str,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::post(PAGE)
        .header("host", "wheels.example")
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some(secret) = secret {
        let basic = BASE64_STANDARD.encode(format!("__token__:{secret}"));
        request = request.header(header::AUTHORIZATION, format!("Basic {basic}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(form.to_owned())).unwrap();
    let router = Arc::clone(&server.app).router();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

#[tokio::test]
async fn a_form_begins_a_build_and_leads_to_its_page() {
    let server = server().await;
    let (_, page) = server.ask("GET", PAGE, &server.reader, "").await;
    let page = page.as_str().unwrap().to_owned();
    assert!(page.contains("method=\"post\" action=\"./\""), "{page}");
    // What has a wheel needs none.
    let box_of = |cell: &str| {
        let at = page.find(&format!("value=\"{cell}\"")).unwrap();
        page[at..].split('>').next().unwrap().to_owned()
    };
    assert!(!box_of(CELL).contains("checked"), "{page}");
    assert!(box_of("cp313-manylinux_2_41_x86_64").contains("checked"));

    let form = format!("version=1.0&cell={CELL}");
    let (status, headers, text) = send(&server, Some(&server.secret), &[HERE], &form).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
    let place = headers[header::LOCATION].to_str().unwrap();
    let id = place.strip_prefix("../../builds/").unwrap();
    let (status, page) = server
        .ask("GET", &format!("/builds/{id}"), &server.reader, "")
        .await;
    assert_eq!(status, StatusCode::OK);
    let page = page.as_str().unwrap();
    assert!(page.contains("demo==1.0") && page.contains(CELL), "{page}");
    // The same form once more is the same build, as it is for programs.
    let (_, headers, _) = send(&server, Some(&server.secret), &[HERE], &form).await;
    assert_eq!(headers[header::LOCATION], place);
    let wrong = "version=none+of+this";
    let (status, _, text) = send(&server, Some(&server.secret), &[HERE], wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("<h1"), "{text}");
}

#[tokio::test]
async fn what_other_sites_and_strangers_send_begins_nothing() {
    let server = server().await;
    let secret = Some(server.secret.as_str());
    for headers in [
        [("sec-fetch-site", "cross-site")].as_slice(),
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ] {
        let (status, _, text) = send(&server, secret, headers, "").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(text.contains("not sent by a page of this server"), "{text}");
    }
    // A browser asks for a token, and comes again with it.
    let (status, headers, _) = send(&server, None, &[HERE], "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key(header::WWW_AUTHENTICATE));
    let (status, _, _) = send(&server, Some(&server.reader), &[HERE], "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let large = "cell=x&".repeat(100_000);
    let (status, _, _) = send(&server, secret, &[HERE], &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (_, list) = server.ask("GET", "/api/builds", &server.reader, "").await;
    assert_eq!(list["builds"], json!([]));
    let (status, _, _) = send(&server, secret, &[("origin", "http://wheels.example")], "").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_server_that_does_not_build_shows_no_form() {
    let registry = registry().await;
    let wheel = "demo-1.0-py3-none-any.whl";
    publish(&registry, &Channel::main(), wheel, b"wheel").await;
    let clock = Arc::new(|| DateTime::UNIX_EPOCH);
    let app = App::new(registry, Settings::default(), None, clock).unwrap();
    for (method, status) in [("GET", 200), ("POST", 404)] {
        let request = Request::builder().method(method).uri(PAGE);
        let request = request.header(HERE.0, HERE.1).body(Body::empty()).unwrap();
        let response = Arc::clone(&app).router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("<form class=\"ask\""));
    }
}
