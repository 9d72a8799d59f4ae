//! Queries within a limit of time.
//!
//! A thread answers; when it is late, the query is answered with an error, the thread is left to itself and a new one takes over.
//! Every walk is bounded, so this is for combinations of very many walks.

use crate::Options;
use crate::compose::{Composed, Source};
use crate::format;
use crate::query::{Failure, Query};
use crate::session::{Library, Session};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use trav_runtime::call::Images;
use trav_runtime::image::{self, Image};

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
        let answer = if sent.is_ok() {
            answers.recv_timeout(self.options.time_max)
        } else {
            Err(RecvTimeoutError::Disconnected)
        };
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
        let names: Vec<String> = first.images().into_iter().map(Into::into).collect();
        let family = first.prefix().to_string();
        let opened = open(&names).map(|plain| instead(&library, plain, &first));
        let mut session =
            opened.as_ref().map(|(images, starts)| Session::new(&library, images).with_starts(starts.clone()));
        let mut query = first;
        loop {
            let reply = match &mut session {
                Ok(session) => format::answer(session, &query),
                Err(failure) => Err(failure.clone()),
            };
            if outbox.send(line(&query.id, reply)).is_err() {
                return;
            }
            match inbox.recv() {
                Ok(same) if same.images() == names && same.prefix() == family => query = same,
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => return,
            }
        }
    }
}

/// The images, or what the query's family needs instead of them.
fn instead(library: &Library, (images, starts): (Images, Vec<u64>), query: &Query) -> (Images, Vec<u64>) {
    format::instead(&mut Session::new(library, &images), query).unwrap_or((images, starts))
}

/// The images one behind the other, and where each but the first begins.
fn open(names: &[String]) -> Result<(Images, Vec<u64>), Failure> {
    let failed = |e: std::io::Error| Failure::error(e.to_string());
    let images: Vec<Arc<dyn Image>> = names.iter().map(image::open).collect::<Result<_, _>>().map_err(failed)?;
    if let [one] = images.as_slice() {
        return Ok((Images::from([("image".into(), one.clone())]), Vec::new()));
    }
    let (mut end, mut starts, mut stretches) = (0, Vec::new(), Vec::new());
    for image in images {
        starts.push(end);
        stretches.push((end, image.len(), Source::Image(image.clone(), 0)));
        end += image.len();
    }
    Ok((Composed::new(end, stretches)?.images(), starts.split_off(1)))
}

fn line(id: &str, reply: Result<Json, Failure>) -> Json {
    match reply {
        Ok(result) => json!({ "id": id, "result": result }),
        Err(Failure::Error(text)) => json!({ "id": id, "error": text }),
        Err(Failure::Unsupported) => json!({ "id": id, "unsupported": true }),
    }
}
