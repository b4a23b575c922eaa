//! One short visit to an LB, for `pe-worker doctor`: dial, hello, leave. It parks no ready
//! request, so nothing can be leased to it, and dropping the connection ends the session.

use std::time::SystemTime;

use http::{StatusCode, header};
use pe_proto::codec;
use pe_proto::link::{Hello, Welcome, paths};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::LinkBody;
use super::client::{Client, answer};
use super::{LbAddress, LinkError, LinkTls, Token};
use crate::limits::DIAL;

/// How a visit went.
#[derive(Debug)]
pub(crate) enum Called {
    /// No connection.
    Unreachable(String),
    /// A connection, but not to the workers' listener of an LB.
    Odd(String),
    /// Let in.
    Welcome {
        /// The LB's clock.
        date: Option<SystemTime>,
    },
    /// Not let in.
    Refused {
        /// Status and reason.
        said: String,
        /// The LB's clock.
        date: Option<SystemTime>,
    },
}

/// Visits.
pub(crate) async fn call(
    lb: LbAddress,
    tls: &LinkTls,
    token: Option<Token>,
    hello: Hello,
) -> Called {
    let tasks = TaskTracker::new();
    let dead = CancellationToken::new();
    let called = visit(lb, tls, token, hello, &tasks, &dead).await;
    dead.cancel();
    tasks.close();
    tasks.wait().await;
    match called {
        Ok(called) => called,
        Err(error @ (LinkError::Dial(..) | LinkError::Late("dial"))) => {
            Called::Unreachable(crate::chain(&error))
        }
        // What somebody else says in a page of his own is no help here.
        Err(LinkError::Status { status, .. }) => {
            Called::Odd(format!("hello is answered with {status}"))
        }
        Err(error) => Called::Odd(crate::chain(&error)),
    }
}

async fn visit(
    lb: LbAddress,
    tls: &LinkTls,
    token: Option<Token>,
    hello: Hello,
    tasks: &TaskTracker,
    dead: &CancellationToken,
) -> Result<Called, LinkError> {
    let client = Client::dial(&lb, tls, token.as_ref(), tasks, dead).await?;
    let frame = LinkBody::frame(codec::to_vec(&hello)?);
    let exchange = async {
        let response = client.post(paths::HELLO, frame).await?;
        let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        Ok::<_, LinkError>((date, answer("hello", response).await))
    };
    let (date, answered) =
        timeout(DIAL, exchange).await.map_err(|_| LinkError::Late("hello"))??;
    match answered {
        Ok(welcome) => {
            let _: Welcome = codec::decode(&welcome)?;
            Ok(Called::Welcome { date })
        }
        Err(LinkError::Status { status: StatusCode::UNAUTHORIZED, said, .. }) => {
            let said = format!("401 {said}");
            Ok(Called::Refused { said: said.trim_end().to_owned(), date })
        }
        Err(other) => Err(other),
    }
}
