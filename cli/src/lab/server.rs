//! The lab on a socket: HTTP by hyper, one thread for all connections, a few more that compute.
//!
//! Nobody can hold it up: whoever sends slowly is cut off, what is sent may only be so large, only so many requests are
//! computed or wait at a time, and one that panics fails alone.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::api::{Door, Refusal, Route};
use super::files::file;

/// Connections at a time; more wait at the door.
const CONNECTIONS: usize = 128;
/// Requests that are computed at a time.
const AT_ONCE: usize = 2;
/// How long a request may wait for its turn.
const TURN: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request, and then its body.
const SENDING: Duration = Duration::from_secs(5);
/// How long a connection lives, and how long its last answer may take after that.
const LIFE: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
const HEAD: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// Bytes of a request's body: the longest text, four bytes a character, escaped.
const BODY: usize = 64 << 10;

/// Nothing from elsewhere, nothing inside another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers a question, by its name and its body if it has one.
pub type Answer = dyn Fn(&str, Option<&[u8]>) -> Result<Value, Refusal> + Send + Sync;

/// All that a request needs.
pub struct Service {
    door: Door,
    answer: Box<Answer>,
    /// Turns to compute.
    turns: Arc<Semaphore>,
}

impl Service {
    pub fn new(door: Door, answer: Box<Answer>) -> Self {
        Self { door, answer, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Serves on `listener` until the process ends.
pub fn serve(listener: TcpListener, service: Service) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(AT_ONCE)
        .build()?;
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (service, doors) = (Arc::new(service), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let permit = Arc::clone(&doors).acquire_owned().await.expect("it is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let service = Arc::clone(&service);
                    tokio::spawn(async move {
                        connection(stream, service).await;
                        drop(permit);
                    });
                }
                // As when all file descriptors are in use: the next may find some.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    })
}

/// Answers the requests of one client. What goes wrong with it concerns nobody else.
async fn connection(stream: TcpStream, service: Arc<Service>) {
    let service = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(answer(request, service).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SENDING)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if timeout(LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LIFE, connection).await;
    }
}

async fn answer(request: Request<Incoming>, service: Arc<Service>) -> Response<Full<Bytes>> {
    match respond(request, service).await {
        Ok((body, kind)) => response(StatusCode::OK, body, kind),
        Err(Refusal { status, sentence }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response(status, json!({ "error": sentence }).to_string().into(), JSON)
        }
    }
}

const JSON: &str = "application/json";

async fn respond(
    request: Request<Incoming>,
    service: Arc<Service>,
) -> Result<(Bytes, &'static str), Refusal> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path().to_string();
    match service.door.open(request.method().as_str(), &path, host)? {
        Route::File(name) => {
            let (text, kind) =
                file(name).ok_or_else(|| Refusal::new(404, "there is no such page in the lab"))?;
            Ok((Bytes::from_static(text.as_bytes()), kind))
        }
        Route::Get(name) | Route::Ask(name) => {
            let (name, is_question) = (name.to_string(), request.method() == Method::POST);
            let body = if is_question { Some(body(request).await?) } else { None };
            let busy = "the lab is busy with other requests; try again in a moment";
            let turn = timeout(TURN, Arc::clone(&service.turns).acquire_owned()).await;
            let turn = turn.map_err(|_| Refusal::new(503, busy))?;
            let work = spawn_blocking(move || {
                let _turn = turn; // held until the work is done, whether or not anybody waits for it
                // On this thread and not on one of rayon's: what waits for an answer that another question is
                // computing must not be what computes it.
                (service.answer)(&name, body.as_deref())
            });
            // A panic ends here.
            let failed = |_| Refusal::new(500, "this request made the lab fail; others still work");
            let value = work.await.map_err(failed)??;
            Ok((value.to_string().into(), JSON))
        }
    }
}

/// The body of a request, which must be small and come soon.
async fn body(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let late = || Refusal::new(408, "the request took too long to arrive");
    let large = || Refusal::new(413, format!("the request is larger than {BODY} bytes"));
    let collected = timeout(SENDING, Limited::new(request.into_body(), BODY).collect());
    Ok(collected.await.map_err(|_| late())?.map_err(|_| large())?.to_bytes())
}

fn response(status: StatusCode, body: Bytes, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = [
        ("content-type", kind),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// The port of a server that answers so.
    fn serve_here(answer: impl Fn(&str) -> Result<Value, Refusal> + Send + Sync + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Box::new(move |name: &str, _: Option<&[u8]>| answer(name));
        let service = Service::new(Door::new("token".into(), port), answer);
        std::thread::spawn(move || serve(listener, service));
        port
    }

    fn send(port: u16, name: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = format!("GET /token/api/{name} HTTP/1.1\r\nHost: localhost:{port}\r\n");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        stream
    }

    fn ask(port: u16, name: &str) -> String {
        let mut answer = String::new();
        send(port, name).read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_question_that_panics_fails_alone() {
        let port = serve_here(|name| match name {
            "bad" => panic!("this panic belongs to the test"),
            _ => Ok(json!(name)),
        });
        for _ in 0..2 * AT_ONCE {
            let answer = ask(port, "bad");
            assert!(
                answer.starts_with("HTTP/1.1 500 ") && answer.contains("made the lab fail"),
                "{answer}"
            );
            assert!(ask(port, "good").ends_with("\"good\""));
        }
    }

    #[test]
    fn a_question_that_nobody_waits_for_any_more_is_not_computed() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let (tell, wait) = (std::sync::Mutex::new(tell), std::sync::Mutex::new(wait));
        let port = serve_here(move |name| {
            tell.lock().unwrap().send(name.to_string()).unwrap();
            if name == "slow" {
                let _ = wait.lock().unwrap().recv();
            }
            Ok(json!(name))
        });
        let slow: Vec<_> = (0..AT_ONCE).map(|_| send(port, "slow")).collect();
        let started: Vec<_> = slow.iter().map(|_| told.recv().unwrap()).collect();
        drop(send(port, "abandoned")); // before it has its turn
        std::thread::sleep(Duration::from_millis(200));
        drop(end);
        ask(port, "wanted");
        assert_eq!((started.len(), told.recv().unwrap()), (AT_ONCE, "wanted".into()));
    }
}
