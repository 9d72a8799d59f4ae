//! The file of a hook as it is read from here: up to the end of the time that a call may take, or to its cancellation.

use super::cancel::Flag;
use crate::image::{FileImage, Image};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Timed {
    file: FileImage,
    deadline: Mutex<Option<Instant>>,
    cancelled: Flag,
}

impl Timed {
    pub(super) fn new(file: FileImage, cancelled: Flag) -> Timed {
        Timed { file, deadline: Mutex::new(None), cancelled }
    }

    /// From now on, or without end.
    pub(super) fn start(&self, timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

impl Image for Timed {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn bytes(&self) -> Option<&[u8]> {
        None
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        if self.cancelled.is_set() || deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(self.cancelled.over());
        }
        self.file.read_at(offset, buf)
    }
}
