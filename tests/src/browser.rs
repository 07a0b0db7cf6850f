//! A real Chromium, driven over [WebDriver](https://www.w3.org/TR/webdriver2/): as much of it as the tests of pages need.
//!
//! It is a dozen commands of JSON over HTTP to a driver on this machine, so a client crate, with its own HTTP stack,
//! would be many times what it saves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with a window and a profile of its own; both end when it is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: TempDir,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Width of the window, in CSS pixels.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Whether the reader prefers dark pages.
    pub dark: bool,
}

impl View {
    /// A window on a desk.
    pub const DESK: Self = Self {
        width: 1280,
        height: 900,
        dark: false,
    };
    /// The same at night.
    pub const DARK: Self = Self {
        width: 1280,
        height: 900,
        dark: true,
    };
    /// A phone.
    pub const PHONE: Self = Self {
        width: 360,
        height: 740,
        dark: false,
    };
}

impl Browser {
    /// Starts the browser.
    pub fn start() -> Result<Self> {
        let profile = TempDir::new()?;
        let mut command = Command::new("chromedriver");
        let mut driver = command
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver does not start: is the package `chromium-driver` installed?")?;
        let stdout = driver.stdout.take().context("it has a stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = loop {
            let line = lines.next().context("chromedriver ended")??;
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse()?;
            }
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            profile,
        };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let arguments = [
            "--headless=new",
            // Tests may run as root, in a container with a small /dev/shm.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            &profile,
        ];
        let made = browser.command(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "args": arguments },
                "goog:loggingPrefs": { "browser": "ALL" },
            } } }),
        )?;
        made["sessionId"]
            .as_str()
            .context("no session")?
            .clone_into(&mut browser.session);
        Ok(browser)
    }

    /// Sets the window and what the reader prefers.
    pub fn view(&self, view: View) -> Result<()> {
        let scheme = if view.dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.width < 600 }),
        )?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        )?;
        Ok(())
    }

    /// Opens an address and waits until the page is loaded.
    pub fn open(&self, address: &str) -> Result<()> {
        self.session_command("POST", "/url", &json!({ "url": address }))?;
        Ok(())
    }

    /// Whether pages may run scripts, from the next one on. Tests may in any case.
    pub fn allow_scripts(&self, allow: bool) -> Result<()> {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            &json!({ "value": !allow }),
        )?;
        Ok(())
    }

    /// Sends a header with every request from now on.
    pub fn send_header(&self, name: &str, value: &str) -> Result<()> {
        self.devtools("Network.enable", &json!({}))?;
        self.devtools(
            "Network.setExtraHTTPHeaders",
            &json!({ "headers": { name: value } }),
        )?;
        Ok(())
    }

    /// What a script in the page returns; it is the body of a function.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.session_command(
            "POST",
            "/execute/sync",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// Like [`Self::run`], for a script that calls its last argument with the result.
    pub fn run_async(&self, script: &str) -> Result<Value> {
        self.session_command(
            "POST",
            "/execute/async",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// Waits until a script returns something true, for at most ten seconds.
    pub fn wait_for(&self, script: &str) -> Result<()> {
        let waiting = format!(
            "const done = arguments[0]; const end = Date.now() + 10000; \
             const look = () => {{ const it = (() => {{ {script} }})(); \
             if (it) done(true); else if (Date.now() > end) done(false); else setTimeout(look, 20); }}; look();"
        );
        if self.run_async(&waiting)? != true {
            bail!("this did not come true: {script}");
        }
        Ok(())
    }

    /// Presses keys, wherever the focus is.
    pub fn press(&self, keys: &str) -> Result<()> {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let keyboard =
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.session_command("POST", "/actions", &keyboard)?;
        Ok(())
    }

    /// What the browser complained about since the last call: errors of scripts, things that a policy stopped.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = self.session_command("POST", "/se/log", &json!({ "type": "browser" }))?;
        let entries = log.as_array().cloned().unwrap_or_default();
        Ok(entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect())
    }

    /// The whole page as PNG.
    pub fn picture(&self) -> Result<Vec<u8>> {
        let taken = self.devtools(
            "Page.captureScreenshot",
            &json!({ "captureBeyondViewport": true }),
        )?;
        let text = taken["data"].as_str().context("no picture")?;
        Ok(BASE64_STANDARD.decode(text)?)
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.session_command(
            "POST",
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    fn session_command(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.command(method, &format!("/session/{}{path}", self.session), body)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        let value = answer["value"].take();
        if let Some(error) = value.get("error") {
            bail!("{path}: {error}: {}", value["message"]);
        }
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver alone would leave it behind.
        self.session_command("DELETE", "", &json!({})).ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
