//! Asks the JSON API, and holds every answer against the API's own document.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::site::Site;

/// Somebody who asks, with a credential or without.
#[derive(Clone)]
pub struct Client<'a> {
    site: &'a Site,
    http: reqwest::Client,
    credential: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Site {
    /// Somebody with an API key or a bearer token.
    pub fn api(&self, credential: &str) -> Client<'_> {
        Client { site: self, http: self.http.clone(), credential: Some(credential.to_owned()), headers: Vec::new() }
    }

    /// Somebody without a credential.
    pub fn nobody(&self) -> Client<'_> {
        Client { site: self, http: self.http.clone(), credential: None, headers: Vec::new() }
    }
}

impl Client<'_> {
    /// The same with one more header.
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name, value.to_owned()));
        Self { site: self.site, http: self.http.clone(), credential: self.credential.clone(), headers }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let bytes = body.map(|body| body.to_string().into_bytes());
        let content_type = bytes.as_ref().map(|_| "application/json");
        self.send(method, path, content_type, bytes.unwrap_or_default()).await
    }

    /// Sends any bytes.
    pub async fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Answer {
        let mut request = self.http.request(method.clone(), self.site.url(path)).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.expect("the body arrives whole");
        let answer = Answer { status, headers, body };
        check(&self.site.document, &method, path, &answer);
        answer
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{}: {error}: {}", self.status, self.body))
    }

    /// The stable code of a problem.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("{} {} has no code", self.status, self.body)).to_owned()
    }

    /// A text of the body.
    pub fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {} {}", self.status, self.body)).to_owned()
    }

    /// Checks the status and hands the answer on.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Checks that it is this problem.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.body);
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Every operation of the document, as method and path.
pub fn operations(document: &Value) -> Vec<(Method, String)> {
    let paths = document["paths"].as_object().expect("the document lists paths");
    let methods = ["get", "put", "post", "delete", "patch"];
    let of_path = |(path, item): (&String, &Value)| {
        let found: Vec<_> = methods.iter().filter(|method| item.get(**method).is_some()).collect();
        let method = |method: &&str| (method.to_uppercase().parse().expect("a method"), path.clone());
        found.into_iter().map(method).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Checks that an answer is documented: its status, its media type, its body; and that it carries what every answer does.
fn check(document: &Value, method: &Method, path: &str, answer: &Answer) {
    let named = format!("{method} {path}: {} {}", answer.status, answer.body);
    assert_eq!(answer.header("cache-control"), "no-store", "{named}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{named}");
    assert!(answer.header("x-request-id").parse::<uuid::Uuid>().is_ok(), "{named}");
    let template = template_of(document, path);
    let operation = template.and_then(|item| item.get(method.as_str().to_lowercase()));
    let documented = operation.and_then(|operation| operation["responses"].get(answer.status.to_string()));
    if let Some(response) = documented {
        let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
        let schema = &response["content"][media_type]["schema"];
        assert!(schema.is_object(), "{named}: {media_type} is not documented");
        let values: Vec<Value> = match media_type {
            "application/json" => vec![answer.json()],
            "application/jsonl" => {
                let of_line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{named}: {error}"));
                answer.body.lines().map(of_line).collect()
            }
            _ => vec![Value::from(answer.body.as_str())],
        };
        let is_done = values.iter().any(|value| value.get("views").is_some());
        assert_eq!(is_done, tells_timing(answer.header("server-timing")), "{named}");
        for value in &values {
            if let Err(fault) = conforms(document, schema, value, "$") {
                panic!("{named} is not as documented: {fault}");
            }
        }
        return;
    }
    assert!(answer.status >= 400, "a status that is not documented: {named}");
    let is_default = operation.is_none_or(|operation| operation["responses"].get("default").is_some());
    assert!(is_default, "a problem that is not documented: {named}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{named}");
    let problem = answer.json();
    if let Err(fault) = conforms(document, &document["components"]["schemas"]["Problem"], &problem, "$") {
        panic!("{named} is no problem: {fault}");
    }
    assert_eq!(problem["status"], answer.status, "{named}");
    let code = problem["code"].as_str().unwrap_or_default();
    assert_eq!(problem["type"], format!("/docs/problems#{code}"), "{named}");
    let is_word = |sign: char| sign.is_ascii_lowercase() || sign == '_';
    assert!(!code.is_empty() && code.chars().all(is_word), "{named}");
    assert_eq!(answer.status == 401, answer.header("www-authenticate") == "Bearer", "{named}");
}

/// Whether a header tells, in milliseconds, how long a command took to be durable and then to be visible.
fn tells_timing(header: &str) -> bool {
    let is_time = |part: Option<&str>| part.is_some_and(|time| time.parse::<f64>().is_ok());
    header.split_once(", ").is_some_and(|(durable, views)| {
        is_time(durable.strip_prefix("durable;dur=")) && is_time(views.strip_prefix("views;dur="))
    })
}

/// The document's item for a path; templates fit segment by segment.
fn template_of<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        template.split('/').count() == path.split('/').count()
            && template.split('/').zip(path.split('/')).all(|(a, b)| a == b || (a.starts_with('{') && !b.is_empty()))
    };
    document["paths"].as_object()?.iter().find(|(template, _)| fits(template)).map(|(_, item)| item)
}

/// Holds a value against a schema, as far as the document uses JSON Schema. Members that are not named are a fault.
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).ok_or(format!("{name} leads nowhere"))?;
        return conforms(document, target, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let faults: Vec<_> = choices.iter().filter_map(|choice| conforms(document, choice, value, at).err()).collect();
        return if faults.len() < choices.len() { Ok(()) } else { Err(faults.join("; ")) };
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => vec!["object"],
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&found) {
        return Err(format!("{at} is {found}, not {types:?}"));
    }
    match value {
        Value::String(text) if schema["format"] == "uuid" && text.parse::<uuid::Uuid>().is_err() => {
            Err(format!("{at} is no UUID"))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| conforms(document, &schema["items"], item, &format!("{at}[{n}]"))),
        Value::Object(members) => members_conform(document, schema, members, at),
        _ => Ok(()),
    }
}

fn members_conform(document: &Value, schema: &Value, members: &Map<String, Value>, at: &str) -> Result<(), String> {
    let parts: Vec<&Value> = schema["allOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
    let mut properties = Map::new();
    for part in parts {
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                return Err(format!("{at} has no {name}"));
            }
        }
    }
    if properties.is_empty() {
        return Ok(()); // any object
    }
    members.iter().try_for_each(|(name, value)| match properties.get(name) {
        Some(schema) => conforms(document, schema, value, &format!("{at}.{name}")),
        None => Err(format!("{at}.{name} is not documented")),
    })
}
