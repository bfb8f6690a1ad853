//! A person's browser without the browser: cookies, redirects taken one at a time, forms.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder};
use url::Url;

/// How many redirects a sign-in may take: twice what the longest does.
const REDIRECTS_MAX: usize = 20;

/// Someone with a cookie jar. Cookies belong to scheme, host and port, so that servers on one loopback stay apart.
#[derive(Debug)]
pub struct Visitor {
    http: Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

/// What came back: the address asked, the status, the headers, the whole body, and where it points if it redirects.
#[derive(Debug)]
pub struct Page {
    /// The address that gave it.
    pub url: Url,
    /// The HTTP status.
    pub status: u16,
    /// The response's headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// Where it points, made absolute.
    pub location: Option<Url>,
}

impl Visitor {
    /// Makes a visitor without cookies.
    pub fn new() -> Self {
        Self { http: super::http(), cookies: Mutex::default() }
    }

    /// Asks for a page; a redirect is an answer.
    pub async fn get(&self, url: impl AsRef<str>) -> Page {
        let url = parse(url.as_ref());
        self.send(self.http.get(url.clone()), url).await
    }

    /// Asks for a page and follows redirects as long as they stay below `REDIRECTS_MAX`.
    pub async fn open(&self, url: impl AsRef<str>) -> Page {
        let page = self.get(url).await;
        self.follow(page).await
    }

    /// Posts a form as a browser does, with the page's own origin; a redirect is an answer.
    pub async fn post(&self, url: impl AsRef<str>, fields: &[(&str, &str)]) -> Page {
        let url = parse(url.as_ref());
        let request = self.http.post(url.clone()).form(fields).header(ORIGIN, url.origin().ascii_serialization());
        self.send(request, url).await
    }

    /// Submits the first form of `page` with its hidden fields and `fields`; a redirect is an answer.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let (action, hidden) = page.form();
        let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let given = hidden.filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
        let all: Vec<_> = given.chain(fields.iter().copied()).collect();
        self.post(action, &all).await
    }

    /// Follows redirects from `page` to the first page that is none.
    pub async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = page.location.take() else { return page };
            page = self.get(next).await;
        }
        panic!("redirected more than {REDIRECTS_MAX} times, last to {}", page.url);
    }

    /// The value of a cookie at the origin of `url`.
    pub fn cookie(&self, url: &str, name: &str) -> Option<String> {
        let origin = parse(url).origin().ascii_serialization();
        self.cookies.lock().expect("nobody panics with the jar").get(&(origin, name.to_owned())).cloned()
    }

    /// Forgets all cookies, as after all browser windows were closed.
    pub fn forget(&self) {
        self.cookies.lock().expect("nobody panics with the jar").clear();
    }

    async fn send(&self, request: RequestBuilder, url: Url) -> Page {
        let origin = url.origin().ascii_serialization();
        let sent = request.header(COOKIE, self.cookies_for(&origin)).send().await;
        let response = sent.unwrap_or_else(|error| panic!("{url} does not answer: {error:?}"));
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        self.keep_cookies(&origin, &headers);
        let location = headers
            .get(LOCATION)
            .filter(|_| (300..400).contains(&status))
            .map(|value| url.join(value.to_str().expect("an address is text")).expect("a redirect names an address"));
        let body = response.text().await.expect("the body arrives whole");
        Page { url, status, headers, body, location }
    }

    fn cookies_for(&self, origin: &str) -> String {
        let cookies = self.cookies.lock().expect("nobody panics with the jar");
        let pairs =
            cookies.iter().filter(|((of, _), _)| of == origin).map(|((_, name), value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&self, origin: &str, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().expect("nobody panics with the jar");
        for header in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let (pair, attributes) = header.split_once(';').unwrap_or((header, ""));
            let Some((name, value)) = pair.split_once('=') else { continue };
            let attributes = attributes.to_ascii_lowercase();
            let key = (origin.to_owned(), name.trim().to_owned());
            if value.is_empty() || attributes.contains("max-age=0") || attributes.contains("01 jan 1970") {
                cookies.remove(&key);
            } else {
                cookies.insert(key, value.to_owned());
            }
        }
    }
}

impl Default for Visitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Page {
    /// The first form: where it goes, and its hidden fields.
    ///
    /// # Panics
    /// With the body, when the page has none.
    pub fn form(&self) -> (Url, Vec<(String, String)>) {
        let (_, form) =
            self.body.split_once("<form").unwrap_or_else(|| panic!("{} has no form: {}", self.url, self.body));
        let form = form.split("</form>").next().unwrap_or_default();
        let head = form.split('>').next().unwrap_or_default();
        let action =
            self.url.join(&attribute(head, "action").unwrap_or_default()).expect("a form's action is an address");
        let inputs = form.split("<input").skip(1).map(|input| input.split('>').next().unwrap_or_default());
        let hidden = inputs.filter(|input| attribute(input, "type").as_deref() == Some("hidden"));
        let field = |input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default()));
        (action, hidden.filter_map(field).collect())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// With the body, when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{}: {error}: {}", self.url, self.body))
    }

    /// The media type, without its parameters.
    pub fn media_type(&self) -> &str {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }
}

/// Reads `name="value"` out of a tag; a value keeps its `>` only as `&gt;`.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let entities = [
        ("&#x2F;", "/"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    Some(entities.iter().fold(value.to_owned(), |text, (entity, sign)| text.replace(entity, sign)))
}

fn parse(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{url} is no address: {error}"))
}
