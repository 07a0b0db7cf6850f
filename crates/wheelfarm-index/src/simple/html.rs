//! Pages as HTML ([PEP 503](https://peps.python.org/pep-0503/)). The format is frozen at version 1.4
//! ([PEP 833](https://peps.python.org/pep-0833/)): what is here stays as it is, byte by byte.

use std::fmt::Write;

use wheelfarm_types::ProjectName;

use crate::registry::Status;
use crate::simple::listing::{Listed, Listing};

/// The version of the API that pages say they have.
pub(super) const API_VERSION: &str = "1.4";

/// The page with all projects.
pub(super) fn root(projects: &[ProjectName]) -> String {
    let mut page = head("Simple index");
    page.push_str("  </head>\n  <body>\n");
    for name in projects {
        // Normalised names have nothing to escape.
        write_to(&mut page, format_args!("<a href=\"{name}/\">{name}</a>\n"));
    }
    page.push_str("  </body>\n</html>\n");
    page
}

/// The page of a project; `up` leads from it to the server's root: `../../`.
pub(super) fn project(listing: &Listing, up: &str) -> String {
    let name = &listing.name;
    let mut page = head(&format!("Links for {name}"));
    let status = status_word(listing.status.status);
    let meta = "    <meta name=\"pypi:project-status";
    write_to(&mut page, format_args!("{meta}\" content=\"{status}\">\n"));
    if let Some(reason) = &listing.status.reason {
        let reason = escaped(reason);
        write_to(
            &mut page,
            format_args!("{meta}-reason\" content=\"{reason}\">\n"),
        );
    }
    write_to(
        &mut page,
        format_args!("  </head>\n  <body>\n    <h1>Links for {name}</h1>\n"),
    );
    for file in &listing.files {
        link(&mut page, file, up);
    }
    page.push_str("  </body>\n</html>\n");
    page
}

fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n    <meta name=\"pypi:repository-version\" content=\"{API_VERSION}\">\n    <title>{title}</title>\n"
    )
}

fn link(page: &mut String, file: &Listed, up: &str) {
    write_to(
        page,
        format_args!("<a href=\"{up}{}#sha256={}\"", file.path(), file.blob),
    );
    if let Some(requires) = &file.requires_python {
        let requires = escaped(requires);
        write_to(page, format_args!(" data-requires-python=\"{requires}\""));
    }
    if let Some(metadata) = &file.metadata {
        write_to(
            page,
            format_args!(
                " data-dist-info-metadata=\"sha256={metadata}\" data-core-metadata=\"sha256={metadata}\""
            ),
        );
    }
    if let Some(provenance) = &file.provenance {
        let provenance = escaped(provenance);
        write_to(page, format_args!(" data-provenance=\"{provenance}\""));
    }
    if let Some(yank) = &file.yanked {
        let reason = escaped(yank.reason.as_deref().unwrap_or_default());
        write_to(page, format_args!(" data-yanked=\"{reason}\""));
    }
    let filename = escaped(&file.filename);
    write_to(page, format_args!(">{filename}</a><br />\n"));
}

/// The word of [PEP 792](https://peps.python.org/pep-0792/).
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Archived => "archived",
        Status::Quarantined => "quarantined",
        Status::Deprecated => "deprecated",
    }
}

/// `text` for use in elements and in quoted attributes.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

fn write_to(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use wheelfarm_types::Digest;

    use super::*;
    use crate::registry::{ProjectStatus, Yank};

    #[test]
    fn the_page_is_what_it_has_always_been() {
        let blob = Digest::of("x");
        let metadata = Digest::of("m");
        let plain = Listed {
            filename: "x-1.0-py3-none-any.whl".into(),
            blob,
            hashes: BTreeMap::new(),
            size: Some(1),
            uploaded: Some(DateTime::UNIX_EPOCH),
            requires_python: None,
            metadata: None,
            yanked: None,
            provenance: None,
        };
        let full = Listed {
            filename: "x-1.0+a-py3-none-any.whl".into(),
            requires_python: Some(">=3.9,<4\"><script>".into()),
            metadata: Some(metadata),
            yanked: Some(Yank {
                reason: Some("it's \"bad\" & <old>".into()),
            }),
            ..plain.clone()
        };
        let listing = Listing {
            name: "x".parse().unwrap(),
            status: ProjectStatus {
                status: Status::Deprecated,
                reason: Some("use <y>".into()),
            },
            versions: vec!["1.0".into(), "1.0+a".into()],
            files: vec![plain, full],
        };
        let expected = format!(
            r#"<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="1.4">
    <title>Links for x</title>
    <meta name="pypi:project-status" content="deprecated">
    <meta name="pypi:project-status-reason" content="use &lt;y&gt;">
  </head>
  <body>
    <h1>Links for x</h1>
<a href="../../files/{blob}/x-1.0-py3-none-any.whl#sha256={blob}">x-1.0-py3-none-any.whl</a><br />
<a href="../../files/{blob}/x-1.0%2Ba-py3-none-any.whl#sha256={blob}" data-requires-python="&gt;=3.9,&lt;4&quot;&gt;&lt;script&gt;" data-dist-info-metadata="sha256={metadata}" data-core-metadata="sha256={metadata}" data-yanked="it&#39;s &quot;bad&quot; &amp; &lt;old&gt;">x-1.0+a-py3-none-any.whl</a><br />
  </body>
</html>
"#
        );
        assert_eq!(project(&listing, "../../"), expected);
    }

    #[test]
    fn the_root_names_projects() {
        let names = ["a", "b-c"].map(|name| name.parse().unwrap());
        let page = root(&names);
        assert!(page.contains("<a href=\"b-c/\">b-c</a>\n"), "{page}");
        assert!(page.contains("content=\"1.4\""), "{page}");
    }
}
