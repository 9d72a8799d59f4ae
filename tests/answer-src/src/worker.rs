//! Queries within a limit of time.
//!
//! A thread answers; when it is late, the query is answered with an error, the thread is left to itself and a new one takes over.
//! Every walk is bounded, so this is for combinations of very many walks.

use crate::Options;
use crate::format;
use crate::query::{Failure, Query};
use crate::session::{Library, Session};
use serde_json::{Value as Json, json};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use trav_runtime::call::Images;
use trav_runtime::image;

/// Below the 10 s that a query may take.
const TIME_MAX: Duration = Duration::from_millis(8500);

/// Deep enough for the compiler on any standard format.
const STACK_BYTES: usize = 64 << 20;

/// The thread that answers.
pub struct Pool {
    options: Options,
    worker: Option<(Sender<Query>, Receiver<Json>)>,
}

impl Pool {
    /// No thread yet.
    pub fn new(options: Options) -> Self {
        Pool { options, worker: None }
    }

    /// The answer's line.
    pub fn answer(&mut self, query: Query) -> Json {
        let id = query.id.clone();
        let (queries, answers) = self.worker.get_or_insert_with(|| start(self.options.clone()));
        let sent = queries.send(query);
        let answer = if sent.is_ok() { answers.recv_timeout(TIME_MAX) } else { Err(RecvTimeoutError::Disconnected) };
        answer.unwrap_or_else(|error| {
            self.worker = None;
            match error {
                RecvTimeoutError::Timeout => json!({ "id": id, "error": "the query takes too long" }),
                // A bug of ours, not an answer: it must not pass for the error that a query may ask for.
                RecvTimeoutError::Disconnected => json!({ "id": id, "panic": true }),
            }
        })
    }
}

fn start(options: Options) -> (Sender<Query>, Receiver<Json>) {
    let (queries, inbox) = channel();
    let (outbox, answers) = channel();
    let work = move || work(&options, &inbox, &outbox);
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("the system has room for a thread");
    (queries, answers)
}

/// Answers until nobody asks. The queries about one image share a session.
fn work(options: &Options, inbox: &Receiver<Query>, outbox: &Sender<Json>) {
    let library = Library::new(options);
    let mut next = inbox.recv().ok();
    while let Some(first) = next.take() {
        let image = first.image.clone();
        let images = image::open(&image).map(|i| Images::from([("image".into(), i)]));
        let mut session = images.as_ref().map(|images| Session::new(&library, images));
        let mut query = first;
        loop {
            let reply = match &mut session {
                Ok(session) => format::answer(session, &query),
                Err(error) => Err(Failure::error(error.to_string())),
            };
            if outbox.send(line(&query.id, reply)).is_err() {
                return;
            }
            match inbox.recv() {
                Ok(same) if same.image == image => query = same,
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => return,
            }
        }
    }
}

fn line(id: &str, reply: Result<Json, Failure>) -> Json {
    match reply {
        Ok(result) => json!({ "id": id, "result": result }),
        Err(Failure::Error(text)) => json!({ "id": id, "error": text }),
        Err(Failure::Unsupported) => json!({ "id": id, "unsupported": true }),
    }
}
