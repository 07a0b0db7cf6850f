//! nginx with a static simple index: what serving pages and files cannot be much cheaper than.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::environment::is_root;

use super::corpus::Corpus;
use super::http::Url;
use super::peers::{HTML, JSON, Started, links};
use super::process::{Server, free_port, server};

/// A tree of pages and files for nginx, as our server has them.
#[derive(Debug, Clone)]
pub(super) struct Tree(PathBuf);

/// How the files are handed out.
pub(super) struct Delivery<'a> {
    /// Directives for files.
    pub(super) files: &'a str,
    /// Where requests are logged, if they are.
    pub(super) log: Option<&'a Path>,
}

impl Tree {
    /// An empty one, for who does not look at it.
    pub(super) fn none() -> Self {
        Self(PathBuf::new())
    }

    /// Copies every page of the simple index at `simple`, with every file that a page leads to.
    pub(super) fn copy(place: &Path, simple: &Url, corpus: &Corpus) -> Result<Self> {
        if place.exists() {
            fs_err::remove_dir_all(place)?;
        }
        let tree = Self(place.to_owned());
        tree.page(simple)?;
        for (_, link) in links(&simple.get_ok(&[("Accept", HTML)])?.body) {
            let project = simple.join(&link)?;
            tree.page(&project)?;
            for (name, link) in links(&project.get_ok(&[("Accept", HTML)])?.body) {
                let file = project.join(&link)?;
                let path = tree.path(&file)?;
                fs_err::hard_link(corpus.path(&name), &path)?;
                let metadata = file.with_suffix(".metadata");
                fs_err::write(tree.path(&metadata)?, metadata.get_ok(&[])?.body)?;
            }
        }
        // nginx's worker may be another user.
        fs_err::set_permissions(place, std::fs::Permissions::from_mode(0o755))?;
        Ok(tree)
    }

    /// Keeps a page in both forms, and each compressed, if the server has it so.
    fn page(&self, page: &Url) -> Result<()> {
        for (accept, name) in [(HTML, "index.html"), (JSON, "index.json")] {
            let path = self.path(&page.with_suffix(name))?;
            fs_err::write(&path, page.get_ok(&[("Accept", accept)])?.body)?;
            let packed = page.get_ok(&[("Accept", accept), ("Accept-Encoding", "gzip")])?;
            if packed.header("content-encoding") == Some("gzip") {
                fs_err::write(path.with_file_name(format!("{name}.gz")), packed.body)?;
            }
        }
        Ok(())
    }

    /// Where the answer to `url` lies; its directory is made.
    fn path(&self, url: &Url) -> Result<PathBuf> {
        let path = self.0.join(url.path().trim_start_matches('/'));
        fs_err::create_dir_all(path.parent().context("it is below the tree")?)?;
        Ok(path)
    }

    /// Starts nginx with one worker. `directory` gets its configuration and its log.
    pub(super) fn serve(&self, directory: &Path, delivery: &Delivery<'_>) -> Result<Started> {
        fs_err::create_dir_all(directory)?;
        let port = free_port()?;
        let config = directory.join("nginx.conf");
        fs_err::write(&config, self.config(port, directory, delivery))?;
        let root = Url::parse(&format!("http://127.0.0.1:{port}/simple/"))?;
        let (server, seconds) = Server::start(
            server("nginx")
                .arg("-p")
                .arg(directory)
                .arg("-c")
                .arg(&config)
                .args(["-e", "stderr"]),
            &directory.join("log"),
            &root,
        )?;
        Ok(Started {
            server,
            root,
            seconds,
            behind: None,
        })
    }

    fn config(&self, port: u16, directory: &Path, delivery: &Delivery<'_>) -> String {
        let user = if is_root() { "user root;" } else { "" };
        let log = match delivery.log {
            Some(log) => log.display().to_string(),
            None => "off".to_owned(),
        };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {}/{name};\n", directory.display()))
            .concat();
        format!(
            r#"daemon off;
worker_processes 1;
{user}
pid {directory}/pid;
events {{ worker_connections 1024; }}
http {{
{temporary}  access_log {log};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  types {{ text/html html; application/vnd.pypi.simple.v1+json json; }}
  map $http_accept $form {{
    default index.html;
    "~application/vnd\.pypi\.simple\.v1\+json" index.json;
  }}
  server {{
    listen 127.0.0.1:{port};
    root {tree};
    location /simple/ {{
      index $form;
      gzip_static on;
      add_header Cache-Control no-cache;
      add_header Vary "Accept, Accept-Encoding";
    }}
    location /files/ {{
      {files}
      add_header Cache-Control "public, max-age=31536000, immutable";
    }}
  }}
}}
"#,
            directory = directory.display(),
            tree = self.0.display(),
            files = delivery.files,
        )
    }
}
