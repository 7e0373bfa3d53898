//! Headless Chromium, told what to do through the DevTools protocol over a pair of pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Http;

/// How long anything on a page may take. Far more than it needs: machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no browser here; `None` if there is one.
pub fn missing() -> Option<String> {
    program().is_none().then(|| "no chromium here; apt install chromium".to_owned())
}

/// The browser's program: the variable `CHROMIUM`, or what systems call it.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.exists())
}

/// A browser with one page. Ended with the value.
pub struct Chromium {
    child: Child,
    commands: File,
    answers: Receiver<Value>,
    session: String,
    next: u64,
    authority: String,
    _folder: TempDir,
}

impl Chromium {
    /// A browser that has the credentials of `http`, with scripts or without.
    pub fn start(http: &Http, scripts: bool) -> Chromium {
        let folder = TempDir::new().unwrap();
        let (commands, answers) = (folder.path().join("commands"), folder.path().join("answers"));
        for pipe in [&commands, &answers] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        // The shell opens the two pipes where Chromium looks for them.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$COMMANDS\" 4>\"$ANSWERS\""])
            .arg(program().expect("a browser"))
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--window-size=1280,800"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("about:blank")
            .env("COMMANDS", &commands)
            .env("ANSWERS", &answers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(&commands).unwrap();
        let answers = read(File::open(&answers).unwrap());
        let (session, authority) = (String::new(), http.authority.clone());
        let mut browser = Chromium { child, commands, answers, session, next: 0, authority, _folder: folder };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.ask("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        browser.ask("Page.enable", json!({}));
        browser.ask("Network.enable", json!({}));
        if let Some(authorization) = &http.authorization {
            browser.ask("Network.setExtraHTTPHeaders", json!({ "headers": { "Authorization": authorization } }));
        }
        if !scripts {
            browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
        }
        browser
    }

    /// Opens a path of the gateway.
    pub fn open(&mut self, path: &str) {
        let url = format!("http://{}{path}", self.authority);
        let answer = self.ask("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// The value of an expression on the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. The page may be loaded again meanwhile.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let started = Instant::now();
        while self.value(expression) != json!(true) {
            let page = || "document.body && document.body.innerText";
            assert!(started.elapsed() < PATIENCE, "never: {expression}\n{}", self.value(page()));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page says `text`.
    #[track_caller]
    pub fn until_said(&mut self, text: &str) {
        self.until(&format!("!!document.body && document.body.innerText.includes({})", json!(text)));
    }

    /// Clicks on what a selector finds: a real click at its place, whether scripts run or not.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        // What is clicked before the page was first shown is ignored.
        self.until("performance.getEntriesByType('paint').length > 0");
        let place = format!(
            "(() => {{ const found = document.querySelector({}); if (!found) return null; found.scrollIntoView({{ block: 'center' }}); \
             const box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        let started = Instant::now();
        let place = loop {
            // A page that is live may show it only now, or replace it.
            match self.value(&place) {
                Value::Array(place) => break place,
                _ => assert!(started.elapsed() < PATIENCE, "there is no {selector}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        for kind in ["mousePressed", "mouseReleased"] {
            let at = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", at);
        }
    }

    /// Presses a key.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        // The page's script listens when all of it is there.
        self.until("document.readyState === 'complete' && performance.getEntriesByType('paint').length > 0");
        let text = if key.chars().count() == 1 {
            key
        } else if key == "Enter" {
            "\r"
        } else {
            ""
        };
        self.ask("Input.dispatchKeyEvent", json!({ "type": "keyDown", "key": key, "text": text }));
        self.ask("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key }));
    }

    /// Types text into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    #[track_caller]
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut command = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if answer["id"] == json!(self.next) {
                assert!(answer["error"].is_null() || method == "Runtime.evaluate", "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// Messages end with a zero byte.
fn read(pipe: File) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0) {
            let Ok(message) = message else { return };
            if let Ok(message) = serde_json::from_slice(&message)
                && sender.send(message).is_err()
            {
                return;
            }
        }
    });
    receiver
}
