//! One registry's API: requests with authorization, redirects and repetitions.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pe_proto::Digest;
use tokio::time::{Instant, timeout};

use crate::limits;
use crate::reference::{Authority, Reference};

use super::super::document::{ACCEPTED, printable};
use super::challenge::Challenge;
use super::connect::{Connector, NoConnection};
use super::credentials::Basic;
use super::error::{BadAuth, BadTurn, RegistryError, may_pass};
use super::policy::Rule;
use super::token::{self, Token};
use super::url::Url;
use super::{Settings, Waits};

/// Name and version, as registries see them in their logs.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("pe/", env!("CARGO_PKG_VERSION")));

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'a> {
    /// By tag or digest.
    Manifest(&'a str),
    /// From a byte on.
    Blob { digest: Digest, from: u64 },
}

/// A document as it came: not checked.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: Option<String>,
    /// What the registry says its digest is.
    pub(super) digest: Option<Digest>,
}

/// What to show the registry.
#[derive(Debug, Clone)]
enum Grant {
    Basic(HeaderValue),
    Token(Token),
}

/// Asks one registry for things of one repository.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) rule: Arc<Rule>,
    pub(super) repository: String,
    pub(super) credentials: Option<Basic>,
    pub(super) waits: Waits,
    client: Client<Connector, Empty<Bytes>>,
    grant: Mutex<Option<Grant>>,
    deadline: OnceLock<Instant>,
}

impl Api {
    pub(super) fn new(image: &Reference, settings: &Settings) -> Result<Self, RegistryError> {
        let rule = settings.policy.rule(&image.registry);
        let rule = rule.ok_or_else(|| RegistryError::NotAllowed(image.registry.clone()))?;
        let rule = Arc::new(rule.clone());
        let credentials = settings.credentials.find(image)?;
        let waits = settings.waits;
        let resolver = Arc::clone(&settings.resolver);
        let connector = Connector::new(Arc::clone(&rule), resolver, waits.connect);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(2)
            .http1_max_buf_size(limits::HTTP_BUFFER_BYTES)
            .build(connector.map_err(RegistryError::Runtime)?);
        Ok(Self {
            rule,
            repository: image.repository.clone(),
            credentials,
            waits,
            client,
            grant: Mutex::default(),
            deadline: OnceLock::new(),
        })
    }

    /// Whom errors name.
    pub(super) fn host(&self) -> Authority {
        self.rule.registry.clone()
    }

    /// As whom we ask, in words.
    pub(super) fn whose(&self) -> &'static str {
        if self.credentials.is_some() { "the credentials that we have" } else { "no credentials" }
    }

    /// A whole document: no more of it than `most` bytes and one.
    pub(super) async fn document(&self, ask: Ask<'_>, most: u64) -> Result<Fetched, RegistryError> {
        let mut last = self.document_once(ask, most).await;
        for repeat in 0..limits::REPEATS_MAX {
            match &last {
                Err(why) if why.may_pass() => {}
                _ => break,
            }
            self.pause(repeat).await?;
            last = self.document_once(ask, most).await;
        }
        last
    }

    async fn document_once(&self, ask: Ask<'_>, most: u64) -> Result<Fetched, RegistryError> {
        let response = self.answer(ask).await?;
        let text = |name: HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.split(';').next().unwrap_or_default().trim().to_owned())
        };
        let content_type = text(CONTENT_TYPE);
        let digest = text(HeaderName::from_static("docker-content-digest"));
        let digest = digest.and_then(|digest| super::super::document::digest(&digest).ok());
        let bytes = read_body(self, &self.host(), response.into_body(), most).await?;
        Ok(Fetched { bytes, content_type, digest })
    }

    /// A good answer to a question: with authorization if it is asked for, after redirects, and
    /// after repetitions where the registry says that it is only busy.
    pub(super) async fn answer(&self, ask: Ask<'_>) -> Result<Response<Incoming>, RegistryError> {
        let mut repeat = 0;
        loop {
            let response = self.answer_once(ask).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if !may_pass(status) || repeat == limits::REPEATS_MAX {
                return Err(self.refused(status, ask));
            }
            let wish = response.headers().get(RETRY_AFTER).and_then(|wish| wish.to_str().ok());
            match wish.and_then(|wish| wish.parse().ok()).map(Duration::from_secs) {
                Some(wish) if wish <= limits::RETRY_AFTER_MAX => self.sleep(wish).await?,
                Some(_) => return Err(self.refused(status, ask)),
                None => self.pause(repeat).await?,
            }
            repeat += 1;
        }
    }

    async fn answer_once(&self, ask: Ask<'_>) -> Result<Response<Incoming>, RegistryError> {
        let api = self.rule.endpoint();
        let path = match ask {
            Ask::Manifest(wanted) => format!("/v2/{}/manifests/{wanted}", self.repository),
            Ask::Blob { digest, .. } => format!("/v2/{}/blobs/{digest}", self.repository),
        };
        let mut url = Url::at(&api, &path).map_err(|why| self.led(&path, why))?;
        let mut redirects = 0;
        let mut asked_for_grant = false;
        loop {
            // Nobody but the registry itself is shown what we have for it.
            let grant = if url.endpoint == api { self.grant() } else { None };
            let response = self.send(&url, grant, &headers(ask)).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && url.endpoint == api {
                if std::mem::replace(&mut asked_for_grant, true) {
                    let why = BadAuth::Denied(self.whose());
                    return Err(RegistryError::Unauthorized { host: self.host(), why });
                }
                let challenge = Challenge::read(response.headers());
                drop(response);
                self.log_in(challenge).await?;
                continue;
            }
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
            redirects += 1;
            if redirects > limits::REDIRECTS_MAX {
                return Err(self.led(&location, BadTurn::Often));
            }
            url = self.turn(&url, &location)?;
        }
    }

    /// Where a redirect leads, if we go there. Whether its address is good is seen when it is
    /// connected to.
    fn turn(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let to = from.join(location).map_err(|why| self.led(location, why))?;
        let may_be_plain = self.rule.plain && self.rule.names(&to.endpoint);
        if !to.endpoint.tls && !may_be_plain {
            return Err(self.led(&to.shown(), BadTurn::Plain));
        }
        Ok(to)
    }

    /// One request and the head of its answer.
    pub(super) async fn send(
        &self,
        url: &Url,
        authorization: Option<HeaderValue>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.uri.clone();
        request.headers_mut().insert(USER_AGENT, AGENT);
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        request.headers_mut().extend(authorization.map(|value| (AUTHORIZATION, value)));
        let host = url.endpoint.authority();
        let waited = self.waits.connect + self.waits.answer;
        let sent = self.within(&host, "did not answer", waited, self.client.request(request));
        sent.await?.map_err(|error| {
            let source = std::error::Error::source(&error);
            match source.and_then(|source| source.downcast_ref::<NoConnection>()) {
                Some(NoConnection(why)) => RegistryError::Connect { host, why: Arc::clone(why) },
                None => {
                    let why = source.map_or_else(|| error.to_string(), ToString::to_string);
                    let http = source.and_then(|source| source.downcast_ref::<hyper::Error>());
                    match http.is_some_and(hyper::Error::is_parse) {
                        true => RegistryError::Answer { host, why },
                        false => RegistryError::Broken { host, why },
                    }
                }
            }
        })
    }

    /// Gets what the registry asks for.
    async fn log_in(&self, challenge: Result<Challenge, BadAuth>) -> Result<(), RegistryError> {
        let refused = |why| RegistryError::Unauthorized { host: self.host(), why };
        let grant = match challenge.map_err(refused)? {
            Challenge::Basic => {
                let basic = self.credentials.as_ref().map(Basic::header);
                Grant::Basic(basic.ok_or_else(|| refused(BadAuth::Anonymous))?)
            }
            Challenge::Bearer { realm, service } => {
                Grant::Token(token::fetch(self, &realm, service.as_deref()).await?)
            }
        };
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some(grant);
        Ok(())
    }

    fn grant(&self) -> Option<HeaderValue> {
        let grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
        match grant.as_ref()? {
            Grant::Basic(header) => Some(header.clone()),
            Grant::Token(token) => (Instant::now() < token.until).then(|| token.header.clone()),
        }
    }

    /// Waits for something, but not for ever, and not beyond the time for all.
    pub(super) async fn within<T>(
        &self,
        host: &Authority,
        what: &'static str,
        wait: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, RegistryError> {
        let left = self.left();
        match timeout(wait.min(left), future).await {
            Ok(done) => Ok(done),
            Err(_) if left <= wait => Err(self.late()),
            Err(_) => Err(RegistryError::Silent { host: host.clone(), what, waited: wait }),
        }
    }

    /// Before repetition number `repeat`, from 0.
    pub(super) async fn pause(&self, repeat: u32) -> Result<(), RegistryError> {
        self.sleep(self.waits.again.saturating_mul(2_u32.saturating_pow(repeat))).await
    }

    async fn sleep(&self, wait: Duration) -> Result<(), RegistryError> {
        if wait >= self.left() {
            return Err(self.late());
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn left(&self) -> Duration {
        let deadline = self.deadline.get_or_init(|| Instant::now() + self.waits.all);
        deadline.saturating_duration_since(Instant::now())
    }

    fn late(&self) -> RegistryError {
        let what = "did not give all that was asked for";
        RegistryError::Late { host: self.host(), what, waited: self.waits.all }
    }

    fn led(&self, to: &str, why: BadTurn) -> RegistryError {
        // Storage has its signatures in the query.
        let to = to.split('?').next().unwrap_or_default();
        RegistryError::Led { from: self.host(), to: printable(to), why }
    }

    fn refused(&self, status: StatusCode, ask: Ask<'_>) -> RegistryError {
        let what = match ask {
            Ask::Manifest(wanted) => format!("{}:{wanted}", self.repository),
            Ask::Blob { digest, .. } => format!("blob {digest}"),
        };
        RegistryError::Status { host: self.host(), status, what }
    }
}

fn headers(ask: Ask<'_>) -> Vec<(HeaderName, HeaderValue)> {
    match ask {
        Ask::Manifest(_) => {
            ACCEPTED.iter().map(|kind| (ACCEPT, HeaderValue::from_static(kind))).collect()
        }
        Ask::Blob { from: 0, .. } => Vec::new(),
        Ask::Blob { from, .. } => HeaderValue::try_from(format!("bytes={from}-"))
            .map(|range| (RANGE, range))
            .into_iter()
            .collect(),
    }
}

/// A body: no more of it than `most` bytes and one.
pub(super) async fn read_body(
    api: &Api,
    host: &Authority,
    mut body: Incoming,
    most: u64,
) -> Result<Vec<u8>, RegistryError> {
    let most = usize::try_from(most.saturating_add(1)).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let frame = api.within(host, "sent nothing more", api.waits.silence, body.frame()).await?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|why| RegistryError::Broken { host: host.clone(), why: why.to_string() })?;
        if let Some(data) = frame.data_ref() {
            let room = most - bytes.len();
            bytes.extend_from_slice(data.get(..room).unwrap_or(data));
        }
    }
    Ok(bytes)
}
