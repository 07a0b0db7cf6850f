//! What is asked for.

use wheelfarm_tests::anyhow::{Result, bail, ensure};

use super::corpus::{APP, Corpus, LARGE, MANY, VERSIONS, filename};
use super::http::Url;
use super::peers::{HTML, JSON, file, links};

/// One thing to ask for, of every server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    what: What,
    /// Whether a target for pages holds for it, rather than that for files.
    pub(super) is_page: bool,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Page {
        project: &'static str,
        files: usize,
        accept: &'static str,
        packed: bool,
    },
    Wheel {
        project: &'static str,
    },
    Metadata {
        project: &'static str,
    },
}

/// A case on a server, looked at: it answers what it should.
pub(super) struct Question {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

const fn page(
    name: &'static str,
    project: &'static str,
    files: usize,
    accept: &'static str,
    packed: bool,
) -> Case {
    Case {
        name,
        what: What::Page {
            project,
            files,
            accept,
            packed,
        },
        is_page: true,
    }
}

const fn of_file(name: &'static str, what: What) -> Case {
    Case {
        name,
        what,
        is_page: false,
    }
}

/// What `wrk` asks for.
pub(super) const CASES: [Case; 9] = [
    page("small page, HTML", SMALL, 2, HTML, false),
    page("small page, JSON", SMALL, 2, JSON, false),
    page("500 versions, HTML", MANY, VERSIONS, HTML, false),
    page("500 versions, JSON", MANY, VERSIONS, JSON, false),
    page("500 versions, HTML, gzip", MANY, VERSIONS, HTML, true),
    page("500 versions, JSON, gzip", MANY, VERSIONS, JSON, true),
    of_file("`.metadata`", What::Metadata { project: APP }),
    of_file("wheel of 11 KB", What::Wheel { project: APP }),
    of_file(
        "wheel of 1 MB",
        What::Wheel {
            project: LARGE[0].0,
        },
    ),
];

/// The project whose small page is asked for.
const SMALL: &str = "wf-small-042";

impl Case {
    /// Asks once and looks at the answer; an error says what the server cannot do.
    pub(super) fn ask(&self, root: &Url, corpus: &Corpus) -> Result<Question> {
        match self.what {
            What::Page {
                project,
                files,
                accept,
                packed,
            } => page_of(root, project, files, accept, packed),
            What::Wheel { project } => {
                let name = filename(project, "1.0");
                let url = file(root, project, &name)?;
                let wheel = fs_err::read(corpus.path(&name))?;
                ensure!(url.get_ok(&[])?.body == wheel, "{url} is another wheel");
                Ok(Question {
                    url,
                    headers: Vec::new(),
                })
            }
            What::Metadata { project } => {
                let url = file(root, project, &filename(project, "1.0"))?.with_suffix(".metadata");
                let answer = url.get(&[])?;
                if answer.status != 200 || !answer.body.starts_with(b"Metadata-Version") {
                    bail!("has none");
                }
                Ok(Question {
                    url,
                    headers: Vec::new(),
                })
            }
        }
    }
}

fn page_of(
    root: &Url,
    project: &str,
    files: usize,
    accept: &'static str,
    packed: bool,
) -> Result<Question> {
    let url = root.join(&format!("{project}/"))?;
    let mut headers = vec![("Accept", accept)];
    if packed {
        headers.push(("Accept-Encoding", "gzip"));
    }
    let answer = url.get_ok(&headers)?;
    let kind = answer.header("content-type").unwrap_or_default();
    if (accept == JSON) != kind.contains("json") {
        bail!("has no JSON");
    }
    let encoding = answer.header("content-encoding");
    if packed {
        ensure!(encoding == Some("gzip"), "compresses nothing");
        return Ok(Question { url, headers });
    }
    let found = if accept == JSON {
        let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
        page["files"].as_array().map_or(0, Vec::len)
    } else {
        links(&answer.body).len()
    };
    ensure!(found == files, "{url} has {found} files, not {files}");
    Ok(Question { url, headers })
}
