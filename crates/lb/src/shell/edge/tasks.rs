//! Where hyper's tasks run: each stream of a connection is one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use hyper::rt::Executor;
use tokio_util::task::TaskTracker;
use tracing::error;

/// Runs what hyper wants run, where the drain can wait for it.
#[derive(Debug, Clone)]
pub(super) struct Tracked(pub(super) Arc<TaskTracker>);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// The same, but what can be done at once is done at once: the answer to a request for a known
/// result is written by the connection's own task, in the turn in which the request was read. A task
/// for it would be made, scheduled and dropped, and would wake the connection again.
#[derive(Debug, Clone)]
pub(super) struct Prompt(pub(super) Arc<TaskTracker>);

impl<F> Executor<F> for Prompt
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let mut task = Box::pin(task);
        match poll_once(task.as_mut()) {
            Polled::Done => {}
            Polled::NotYet => drop(self.0.spawn(task)),
            // As with a task of its own: the request is given up, its connection goes on.
            Polled::Panicked => error!("a request crashed"),
        }
    }
}

enum Polled {
    Done,
    NotYet,
    Panicked,
}

/// Nobody is woken by what was waited for here: who is not done is polled again, as a task.
fn poll_once<F: Future>(task: Pin<&mut F>) -> Polled {
    let mut context = Context::from_waker(Waker::noop());
    match catch_unwind(AssertUnwindSafe(|| task.poll(&mut context).is_ready())) {
        Ok(true) => Polled::Done,
        Ok(false) => Polled::NotYet,
        Err(_) => Polled::Panicked,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::Empty;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_can_be_done_at_once_needs_no_task_and_what_cannot_is_done_later() {
        let tasks = Arc::new(TaskTracker::new());
        let prompt = Prompt(Arc::clone(&tasks));
        let is_done = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&is_done);
        prompt.execute(async move { mark.store(true, Ordering::Relaxed) });
        assert_eq!((is_done.load(Ordering::Relaxed), tasks.len()), (true, 0));

        let (send, receive) = oneshot::channel::<()>();
        let (say, said) = oneshot::channel();
        prompt.execute(async move {
            let _ = receive.await;
            let _ = say.send(());
        });
        assert_eq!(tasks.len(), 1);
        drop(send);
        said.await.unwrap();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_request_that_crashes_takes_nothing_along() {
        let tasks = Arc::new(TaskTracker::new());
        let prompt = Prompt(Arc::clone(&tasks));
        prompt.execute(async { panic!("on purpose") });
        prompt.execute(ready(()));
        assert_eq!(tasks.len(), 0);
        prompt.execute(pending::<()>());
        assert_eq!(tasks.len(), 1);
    }

    #[tokio::test]
    async fn a_stream_that_crashes_leaves_its_connection_and_the_other_streams_alone() {
        let tasks = Arc::new(TaskTracker::new());
        let (here, there) = tokio::io::duplex(64 * 1024);
        let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
            match request.uri().path() {
                "/crash" => panic!("on purpose"),
                "/crash-later" => {
                    tokio::task::yield_now().await;
                    panic!("on purpose, as a task")
                }
                _ => Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())),
            }
        });
        let serve = http2::Builder::new(Prompt(Arc::clone(&tasks)))
            .serve_connection(TokioIo::new(there), service);
        tasks.spawn(serve);
        let (client, connection) = h2::client::handshake(here).await.unwrap();
        tasks.spawn(connection);
        let ask = async |path: &str| {
            let request = Request::get(format!("http://lb{path}")).body(()).unwrap();
            let mut client = client.clone().ready().await.unwrap();
            client.send_request(request, true).unwrap().0.await.map(|answer| answer.status())
        };
        for crash in ["/crash", "/crash-later"] {
            assert_eq!(ask("/before").await.unwrap(), StatusCode::OK);
            let error = ask(crash).await.unwrap_err();
            assert!(error.is_reset(), "{error}");
            assert_eq!(ask("/after").await.unwrap(), StatusCode::OK);
        }
    }
}
