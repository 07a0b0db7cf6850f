//! The user's index, authority, proxy and credential settings, for uv and for our own client: from uv's variables,
//! pip's configuration and netrc, in that order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wheelfarm_executor::HostNetwork;
use wheelfarm_resolve::inputs::IndexOptions;
use wheelfarm_resolve::inputs::percent_decoded;
use wheelfarm_resolve::{Credential, IndexSettings};

use crate::environment::{first_variable, variable};
use crate::{netrc, pip_config, uv_config};

/// Where distributions keep all authorities that a machine trusts, as one PEM file.
const SYSTEM_CA_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Settings for resolving and fetching, and for containers that may use the network.
///
/// `options` of requirements files count more than all of these.
pub(crate) fn read(options: &IndexOptions) -> (IndexSettings, HostNetwork) {
    let pip = pip_config::read();
    let config = uv_config::read();
    let mut uv_environment = for_uv(&pip, &config.said);
    let options = for_uv_of(options, &uv_environment);
    places_made_absolute(&mut uv_environment);
    let value = |names: &[&str]| {
        let of = |values: &BTreeMap<String, String>| {
            names.iter().find_map(|name| values.get(*name).cloned())
        };
        of(&options)
            .or_else(|| first_variable(names))
            .or_else(|| of(&uv_environment))
    };
    let mut indexes: Vec<String> = Vec::new();
    for names in [
        &["UV_DEFAULT_INDEX", "UV_INDEX_URL"][..],
        &["UV_INDEX"],
        &["UV_EXTRA_INDEX_URL"],
        &["UV_FIND_LINKS"],
    ] {
        let value = value(names).unwrap_or_default();
        let places = value.split_whitespace().map(without_name);
        indexes.extend(places.map(str::to_owned));
    }
    let mut credentials: Vec<_> = indexes
        .iter()
        .chain(&config.indexes)
        .filter_map(|index| credential(index))
        .collect();
    if options.contains_key("UV_NO_INDEX") {
        indexes.push("--no-index".to_owned());
    }
    uv_environment.extend(options);
    credentials.extend(netrc::read());
    let ca_bundle = first_variable(&["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
        .or_else(|| pip.get("cert").cloned())
        .map(PathBuf::from);
    let proxies: BTreeMap<String, String> = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.to_ascii_uppercase()])
        .filter_map(|name| {
            Some((
                name.clone(),
                variable(&name).or_else(|| uv_environment.get(&name).cloned())?,
            ))
        })
        .collect();
    let network = HostNetwork {
        ca_bundle: ca_bundle.clone().or_else(|| {
            SYSTEM_CA_BUNDLES
                .iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
        }),
        proxies,
        index: for_containers(&pip, &uv_environment),
    };
    let settings = IndexSettings {
        ca_bundle: ca_bundle.filter(|path| path.exists()),
        proxy: uv_environment.get("ALL_PROXY").cloned(),
        credentials,
        index_identity: indexes
            .iter()
            .map(|index| without_credentials(index))
            .chain(config.identity)
            .collect(),
        uv_settings: config.settings,
        uv_settings_alone: config.alone,
        uv_environment,
    };
    (settings, network)
}

/// The one index that the user's settings put in the place of the default one, with its credentials.
///
/// Further ones (`extra-index-url`) are not meant: a name must not come from one today and from another tomorrow.
pub(crate) fn configured_index(settings: &IndexSettings) -> Option<String> {
    let value = first_variable(&["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
        .or_else(|| uv_config::read().default_index)
        .or_else(|| settings.uv_environment.get("UV_DEFAULT_INDEX").cloned())?;
    let address = without_name(value.trim());
    address.contains("://").then(|| address.to_owned())
}

/// The index that pip asks when nothing is configured, as its own help states it: the one place where this machine
/// knows it.
pub(crate) async fn default_index_of_pip() -> Option<String> {
    let help = tokio::process::Command::new("python3")
        .args(["-m", "pip", "install", "--help"])
        .env("COLUMNS", "2000")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    default_in_help(&String::from_utf8_lossy(&help.stdout))
}

fn default_in_help(help: &str) -> Option<String> {
    let (_, option) = help.split_once("--index-url <url>")?;
    let (_, value) = option.lines().next()?.split_once("(default ")?;
    let (address, _) = value.split_once(')')?;
    address.contains("://").then(|| address.to_owned())
}

/// The index settings in both tools' words, for containers that may use the network: they see neither this machine's
/// variables nor its files.
fn for_containers(
    pip: &BTreeMap<String, String>,
    uv_environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut index: BTreeMap<String, String> = [
        ("index-url", "PIP_INDEX_URL"),
        ("extra-index-url", "PIP_EXTRA_INDEX_URL"),
        ("trusted-host", "PIP_TRUSTED_HOST"),
    ]
    .into_iter()
    .filter_map(|(setting, name)| Some((name.to_owned(), pip.get(setting)?.clone())))
    .collect();
    let names = [
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_INSECURE_HOST",
    ];
    for name in names {
        if let Some(value) = variable(name).or_else(|| uv_environment.get(name).cloned()) {
            index.insert(name.to_owned(), value);
        }
    }
    index
}

/// The address of `index`, which may have a name of its own: `name=https://...`.
fn without_name(index: &str) -> &str {
    let named = index
        .split_once('=')
        .filter(|(name, _)| !name.contains(':'));
    named.map_or(index, |(_, address)| address)
}

/// pip's settings as uv's variables, where neither uv's own are set nor its files have `said` something.
fn for_uv(pip: &BTreeMap<String, String>, said: &BTreeSet<String>) -> BTreeMap<String, String> {
    let is_said = |setting: &str| {
        said.contains(setting)
            || match setting {
                "index-url" | "extra-index-url" => said.contains("index"),
                "trusted-host" => said.contains("allow-insecure-host"),
                _ => false,
            }
    };
    let mut environment = BTreeMap::new();
    for (setting, name, others) in [
        (
            "index-url",
            "UV_DEFAULT_INDEX",
            &["UV_DEFAULT_INDEX", "UV_INDEX_URL"][..],
        ),
        (
            "extra-index-url",
            "UV_INDEX",
            &["UV_INDEX", "UV_EXTRA_INDEX_URL"],
        ),
        ("trusted-host", "UV_INSECURE_HOST", &["UV_INSECURE_HOST"]),
        ("cert", "SSL_CERT_FILE", &["SSL_CERT_FILE"]),
        (
            "proxy",
            "ALL_PROXY",
            &["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"],
        ),
    ] {
        if let Some(value) = pip.get(setting)
            && first_variable(others).is_none()
            && !is_said(setting)
        {
            environment.insert(
                name.to_owned(),
                value.split_whitespace().collect::<Vec<_>>().join(" "),
            );
        }
    }
    // pip passes over directories that are not there; uv does not.
    let links: Vec<_> = pip
        .get("find-links")
        .map(|links| {
            links
                .split_whitespace()
                .filter(|link| link.contains("://") || Path::new(link).is_dir())
                .collect()
        })
        .unwrap_or_default();
    if !links.is_empty() && variable("UV_FIND_LINKS").is_none() && !is_said("find-links") {
        environment.insert("UV_FIND_LINKS".to_owned(), links.join(","));
    }
    environment
}

/// Takes over the variables by which uv finds indexes if they name paths: uv does not run in the current directory.
fn places_made_absolute(uv_environment: &mut BTreeMap<String, String>) {
    let names = [
        "UV_FIND_LINKS",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
    ];
    for name in names {
        let Some(value) = variable(name).or_else(|| uv_environment.get(name).cloned()) else {
            continue;
        };
        let absolute = with_absolute_places(&value);
        if absolute != value {
            uv_environment.insert(name.to_owned(), absolute);
        }
    }
}

/// `places`, separated by white space or commas, with paths that are there made absolute.
fn with_absolute_places(places: &str) -> String {
    let separators = [' ', ',', '\n', '\t'];
    places
        .split_inclusive(separators)
        .map(|piece| {
            let place = piece.trim_end_matches(separators);
            let rest = piece.get(place.len()..).unwrap_or_default();
            if place.is_empty() || place.contains("://") || !Path::new(place).exists() {
                return piece.to_owned();
            }
            std::path::absolute(place).map_or_else(
                |_| piece.to_owned(),
                |absolute| format!("{}{rest}", absolute.display()),
            )
        })
        .collect()
}

/// The options of requirements files as uv's variables: one index takes the place of another, the rest is added to
/// what the variables and `configured` say.
fn for_uv_of(
    options: &IndexOptions,
    configured: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    if let Some(url) = &options.index_url {
        environment.insert("UV_DEFAULT_INDEX".to_owned(), url.clone());
    }
    let mut add = |names: &[&str], separator: &str, values: &[String]| {
        let before = first_variable(names)
            .or_else(|| names.iter().find_map(|name| configured.get(*name).cloned()));
        if let (Some(name), false) = (names.first(), values.is_empty()) {
            let all: Vec<_> = before.iter().chain(values).map(String::as_str).collect();
            environment.insert((*name).to_owned(), all.join(separator));
        }
    };
    add(
        &["UV_INDEX", "UV_EXTRA_INDEX_URL"],
        " ",
        &options.extra_index_urls,
    );
    add(&["UV_FIND_LINKS"], ",", &options.find_links);
    add(&["UV_INSECURE_HOST"], " ", &options.trusted_hosts);
    if options.no_index {
        environment.insert("UV_NO_INDEX".to_owned(), "1".to_owned());
    }
    environment
}

/// The host of an address with its port, and what stands before an `@` in front of it.
fn authority(address: &str) -> Option<(&str, Option<&str>)> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(match authority.rsplit_once('@') {
        Some((user, host)) => (host, Some(user)),
        None => (authority, None),
    })
}

/// The credential in an address.
pub(crate) fn credential(address: &str) -> Option<Credential> {
    let (host, user) = authority(address)?;
    let (user, password) = user.map(|user| user.split_once(':').unwrap_or((user, "")))?;
    Some(Credential {
        host: host.to_owned(),
        user: percent_decoded(user),
        password: percent_decoded(password),
    })
}

/// `address` as it can be shown.
pub(crate) fn without_credentials(address: &str) -> String {
    match authority(address) {
        Some((_, Some(user))) => address.replacen(&format!("{user}@"), "", 1),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_address() {
        let credential = credential("https://me%40corp:p%3Ass@host:8443/simple").unwrap();
        assert_eq!(
            (
                credential.host.as_str(),
                credential.user.as_str(),
                credential.password.as_str()
            ),
            ("host:8443", "me@corp", "p:ss")
        );
        assert_eq!(super::credential("https://host/simple@x"), None);
        assert_eq!(
            without_credentials("https://a:b@host/simple"),
            "https://host/simple"
        );
    }

    #[test]
    fn pip_says_its_default_in_its_help() {
        let help = "Package Index Options:\n  -i, --index-url <url>   Base URL (default https://host/simple). This\n  --extra-index-url <url>  (default no)\n";
        let found = default_in_help(help);
        assert_eq!(found.as_deref(), Some("https://host/simple"));
        for none in [
            "",
            "--index-url <url>",
            "--index-url <url>  Base URL (default None)",
        ] {
            assert_eq!(default_in_help(none), None);
        }
    }

    #[test]
    fn an_index_may_have_a_name() {
        assert_eq!(without_name("corp=https://h/a=b"), "https://h/a=b");
        assert_eq!(without_name("https://h/a=b"), "https://h/a=b");
    }

    #[test]
    fn options_of_files_come_first_or_are_added() {
        let configured = BTreeMap::from([
            ("UV_DEFAULT_INDEX".to_owned(), "https://a/".to_owned()),
            ("UV_INDEX".to_owned(), "https://b/".to_owned()),
        ]);
        let options = IndexOptions {
            index_url: Some("https://c/".to_owned()),
            extra_index_urls: vec!["https://d/".to_owned()],
            no_index: true,
            ..IndexOptions::default()
        };
        let environment = for_uv_of(&options, &configured);
        let expected = [
            ("UV_DEFAULT_INDEX", "https://c/"),
            ("UV_INDEX", "https://b/ https://d/"),
            ("UV_NO_INDEX", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment, BTreeMap::from(expected));
    }

    #[test]
    fn what_uv_was_told_counts_more_than_what_pip_was() {
        let pip = BTreeMap::from([
            ("index-url".to_owned(), "https://pip/".to_owned()),
            ("proxy".to_owned(), "http://proxy/".to_owned()),
        ]);
        let none = for_uv(&pip, &BTreeSet::new());
        assert_eq!(none["UV_DEFAULT_INDEX"], "https://pip/");
        let said = BTreeSet::from(["index".to_owned()]);
        assert!(!for_uv(&pip, &said).contains_key("UV_DEFAULT_INDEX"));
    }

    #[test]
    fn paths_do_not_depend_on_the_directory() {
        let places = with_absolute_places("src,https://h/l no-such-place");
        assert!(places.starts_with('/'), "{places}");
        assert!(
            places.ends_with("/src,https://h/l no-such-place"),
            "{places}"
        );
    }

    #[test]
    fn containers_get_the_index_in_both_tools_words() {
        let pip = BTreeMap::from([("index-url".to_owned(), "https://host/simple".to_owned())]);
        let uv = BTreeMap::from([("UV_INSECURE_HOST".to_owned(), "host".to_owned())]);
        let index = for_containers(&pip, &uv);
        assert_eq!(index["PIP_INDEX_URL"], "https://host/simple");
        assert_eq!(index["UV_INSECURE_HOST"], "host");
    }
}
