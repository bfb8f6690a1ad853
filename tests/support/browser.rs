//! A real browser: headless Chromium over WebDriver.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use super::server::Server;
use super::{WAIT_SECONDS_MAX, eventually};

/// A browser window with a profile of its own. Every call of WebDriver is open to a test; dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _server: Server,
}

impl Browser {
    /// Opens an empty window of 1280 × 900. It resolves no names but the loopback's: a page must not need the world outside.
    pub async fn start() -> Self {
        let server = Server::script("browser.sh");
        let flags = [
            "--headless=new",
            "--no-sandbox", // as root there is none
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en",
            "--window-size=1280,900",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ];
        let wishes = json!({ "goog:chromeOptions": { "args": flags }, "goog:loggingPrefs": { "browser": "ALL" } });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wishes.as_object().expect("it is an object").clone());
        let client = builder.connect(server.ready()).await.expect("the driver opens a window");
        Self { client, _server: server }
    }

    /// Everything a person can read on the page.
    pub async fn text(&self) -> String {
        let script = "return document.body ? document.body.innerText : ''";
        let shown = self.client.execute(script, Vec::new()).await;
        shown.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page shows `words`, and fails with what it shows instead.
    pub async fn sees(&self, words: &str) {
        let waited = tokio::time::timeout(
            std::time::Duration::from_secs(WAIT_SECONDS_MAX - 10),
            eventually(words, async || self.text().await.contains(words).then_some(())),
        );
        if waited.await.is_err() {
            let address = self.client.current_url().await.map(String::from).unwrap_or_default();
            panic!("{address} does not show \"{words}\" but:\n{}", self.text().await);
        }
    }

    /// Clicks the button or link whose whole text is `words`, as soon as there is one.
    pub async fn press(&self, words: &str) {
        let path = format!("//*[self::button or self::a or self::summary][normalize-space()=\"{words}\"]");
        self.element(Locator::XPath(&path)).await.click().await.expect("what is shown can be clicked");
    }

    /// Replaces what stands in the field that a label with exactly these words names.
    pub async fn fill(&self, label: &str, value: &str) {
        let path = format!(
            "//*[@id=//label[normalize-space()=\"{label}\"]/@for] | //label[normalize-space()=\"{label}\"]//input"
        );
        let field = self.element(Locator::XPath(&path)).await;
        field.clear().await.expect("a field can be cleared");
        field.send_keys(value).await.expect("a field takes keys");
    }

    /// Waits for an element.
    pub async fn element(&self, locator: Locator<'_>) -> Element {
        let found =
            self.client.wait().at_most(std::time::Duration::from_secs(WAIT_SECONDS_MAX)).for_element(locator).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("no {locator:?}: {error}; the page shows:\n{}", self.text().await),
        }
    }

    /// Takes what the browser has complained about since the last time: errors of scripts, resources that did not load,
    /// breaches of a page's policy.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(ConsoleLog).await.expect("the driver keeps the console's log");
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    /// Writes what the window shows to `screenshots/NAME.png` in the build folder.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        std::fs::create_dir_all(&folder).expect("the build folder takes folders");
        let path = folder.join(format!("{name}.png"));
        let picture = self.client.screenshot().await.expect("a window can be drawn");
        std::fs::write(&path, picture).expect("the folder takes files");
        path
    }
}

/// The driver's command for what stands in the console, which WebDriver itself does not have.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
